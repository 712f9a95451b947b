// The columns of the table of runs: each one's name, what it sorts by, and how it is shown.
import { Badge, duration, number, percent, signed, Verdict, when } from "./parts.js";
import { pieces } from "./signs.js";
import { html } from "./vendor.js";

const written = (value) => (value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));
const figure = (key, show, tone) => ({ number: true, of: (run) => run[key], show: (run) => html`<span style=${tone ? { color: `var(--${tone})` } : undefined}>${show(run[key])}</span>${run.halves?.[key] != null ? html` <span class="soft small half">± ${show === percent ? percent(run.halves[key]) : run.halves[key].toFixed(show === signed ? 2 : 1)}</span>` : ""}` });
const scored = (key) => figure(key, signed, key);
const LIVE = ["live", "stale"];

export const COLUMNS = {
  state: { name: "state", of: (run) => (run.damage ? "damaged" : run.state), show: (run) => html`<${Badge} state=${run.damage ? "damaged" : run.state} />${run.stage && LIVE.includes(run.state) ? html`<div class="small soft">${pieces(run.stage.replaceAll("_", " "))}</div>` : ""}` },
  verdict: { name: "verdict", of: (run) => run.verdict, show: (run) => (run.words ? html`<span class="small">${run.words}</span>` : html`<${Verdict} word=${run.verdict} title=${run.rule} />`) },
  step: { name: "step", number: true, of: (run) => run.step, show: (run) => html`${run.step ?? "–"}${run.steps ? html`<span class="soft"> / ${run.steps}</span>` : ""}` },
  proxy: { name: "proxy", ...scored("proxy") },
  truth: { name: "truth", ...scored("truth") },
  kl: { name: "KL", ...figure("kl", (value) => number(value, 1)) },
  win_rate: { name: "win rate", ...figure("win_rate", percent) },
  differs: { name: "what differs", of: () => null, fixed: true, show: (run) => html`<${Differs} differs=${run.differs} />` },
  figures: { name: "figures of", of: (run) => (run.final ? 1 : 0), show: (run) => html`<span class="small soft">${run.final ? "final evaluation" : run.evaluated == null ? "–" : `look at step ${run.evaluated}`}</span>` },
  seed: { name: "seed", number: true, of: (run) => run.seed, show: (run) => run.seed ?? "–" },
  kind: { name: "optimiser", of: (run) => run.kind, show: (run) => pieces(run.kind ?? "–") },
  length: { name: "length", ...figure("length", (value) => number(value, 1)) },
  entropy: { name: "entropy", ...figure("entropy", number) },
  eos_rate: { name: "ended", ...figure("eos_rate", percent) },
  distinct_1: { name: "distinct-1", ...figure("distinct_1", number) },
  best_truth: { name: "best checkpoint’s truth", ...figure("best_truth", signed) },
  accuracy: { name: "reward model’s accuracy", ...figure("accuracy", percent) },
  seconds: { name: "time", number: true, of: (run) => run.seconds, show: (run) => duration(run.seconds) },
  touched: { name: "last change", number: true, of: (run) => run.touched, show: (run) => when(run.touched) },
  note: { name: "note", of: (run) => run.note?.text, show: (run) => html`<span class="small note-cell">${run.note ? pieces(run.note.text.length > 160 ? `${run.note.text.slice(0, 160)}…` : run.note.text) : ""}</span>` },
};
export const USUAL = ["state", "verdict", "step", "proxy", "truth", "kl", "win_rate", "differs"];
const SETTING = "set.";

export function column(key) {
  if (!key.startsWith(SETTING)) return COLUMNS[key];
  const name = key.slice(SETTING.length);
  return { name, of: (run) => run.differs[name], number: false, show: (run) => html`<code>${pieces(written(run.differs[name]))}</code>` };
}

function Differs({ differs }) {
  const all = Object.entries(differs).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return html`<div class="differs">${all.slice(0, 3).map((text) => html`<div>${pieces(text)}</div>`)}${all.length > 3 && html`<div title=${all.slice(3).join("\n")}>and ${all.length - 3} more</div>`}</div>`;
}

// Which columns there are: the figures, and each setting in which runs of a recipe differ.
export function Chooser({ runs, chosen, onChoose }) {
  const settings = [...new Set(runs.flatMap((run) => Object.keys(run.differs)))].filter((key) => key !== "seed").map((key) => SETTING + key);
  const flip = (key) => onChoose(chosen.includes(key) ? chosen.filter((each) => each !== key) : [...chosen, key]);
  const box = (key) => html`<label class="check" key=${key}><input type="checkbox" checked=${chosen.includes(key)} onChange=${() => flip(key)} />${pieces(column(key).name)}</label>`;
  return html`<details class="chooser"><summary class="button">Columns</summary><div class="card"><div class="choices">${Object.keys(COLUMNS).map(box)}</div>
    ${settings.length > 0 && html`<h3 class="gap">Settings that differ</h3><div class="choices">${settings.map(box)}</div>`}
    <button class="quiet" onClick=${() => onChoose(USUAL)}>As it was</button></div></details>`;
}

export function sorted(rows, key, down) {
  if (!column(key) || column(key).fixed) return rows;
  const { of } = column(key);
  const missing = (value) => value === null || value === undefined || value === "";
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
  return rows.toSorted((one, other) => {
    const [a, b] = [of(one), of(other)];
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    return down ? order(b, a) : order(a, b);
  });
}

