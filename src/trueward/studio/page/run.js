// One run: what it came to first, then how it went; its settings, the doctor, its files and its log in tabs.
import { encoded } from "./api.js";
import { Doctor } from "./doctor.js";
import { Final, highest } from "./final.js";
import { Health, RewardModel } from "./health.js";
import { Files } from "./listing.js";
import { follow } from "./live.js";
import { Log } from "./log.js";
import { Note } from "./note.js";
import { named } from "./palette.js";
import { Badge, number } from "./parts.js";
import { Link, look, view } from "./place.js";
import { Plot } from "./plot.js";
import { lastView } from "./runs.js";
import { Samples } from "./samples.js";
import { Settings } from "./settings.js";
import { pieces } from "./signs.js";
import { Stages } from "./stages.js";
import { Tags } from "./tags.js";
import { html, useEffect, useMemo } from "./vendor.js";

const TABS = { "": "Overview", config: "Config", doctor: "Doctor", files: "Files", log: "Log" };

export function Run({ name }) {
  const live = useMemo(() => follow(name), [name]);
  useEffect(() => live.close, [live]);
  const run = live.run.value;
  if (live.problem.value) return html`<h1 class="unseen">${name}</h1><p class="note bad">${live.problem.value}</p><${Link} to="/runs">All runs</${Link}>`;
  if (!run) return html`<p class="soft" aria-busy="true">Reading ${pieces(name)} …</p>`;
  const evaluations = live.evaluations.value;
  const tab = view().get("tab") in TABS ? view().get("tab") : "";
  const stamp = `${evaluations.length} ${run.stages.map((row) => row.state).join()}`; // what the tabs show changes with it
  return html`
    <p class="small" style=${{ margin: 0 }}><${Link} to=${lastView()}>Runs</${Link}></p>
    <div class="row apart"><h1>${pieces(name)}</h1><div class="row">${!live.connected.value && html`<span class="chip warn">reconnecting</span>`}<span data-test="badge"><${Badge} state=${run.state} /></span></div></div>
    ${run.damage && html`<p class="note bad" data-test="damage">This run is damaged: ${pieces(run.damage)}. What can be read is shown.</p>`}
    <${Tags} name=${name} tags=${run.tags} onChange=${(tags) => (live.run.value = { ...live.run.value, tags })} />
    <${Note} name=${name} note=${run.note} onChange=${(note) => (live.run.value = { ...live.run.value, note })} />
    <${Stages} run=${run} />
    <div class="row apart tabs gap"><div role="tablist" aria-label="What of this run">${Object.entries(TABS).map(([key, label]) => html`<button role="tab" id=${`tab-${key}`} aria-selected=${key === tab} aria-controls="of-run" tabindex=${key === tab ? 0 : -1} onClick=${() => look({ tab: key }, true)} onKeyDown=${along}>${label}</button>`)}</div>
      ${run.has_report && html`<a class="button" href=${`/api/runs/${encoded(name)}/report.html`} target="_blank" rel="noopener">Report <span aria-hidden="true">↗</span><span class="unseen">, in another tab</span></a>`}</div>
    <div id="of-run" role="tabpanel" aria-labelledby=${`tab-${tab}`}>${tab === "config" ? html`<${Settings} name=${name} />` : tab === "doctor" ? html`<${Doctor} name=${name} stamp=${stamp} />`
      : tab === "files" ? html`<${Files} name=${name} stamp=${stamp} />` : tab === "log" ? html`<${Log} name=${name} stamp=${stamp} />`
      : html`<${Overview} name=${name} run=${run} evaluations=${evaluations} series=${live.series.value} />`}</div>`;
}

// Arrows go from tab to tab, as in any list of tabs.
function along(event) {
  const all = [...event.currentTarget.parentElement.children];
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  const next = all[(all.indexOf(event.currentTarget) + by + all.length) % all.length];
  next.focus();
  next.click();
}

function Overview({ name, run, evaluations, series }) {
  const end = run.policies?.policy;
  const curves = useMemo(() => charts(run, evaluations), [evaluations, end]);
  return html`<${Final} run=${run} evaluations=${evaluations} />
    ${evaluations.length > 0
      ? html`<div class="card gap"><div class="charts">${curves.map((each) => html`<${Plot} key=${each.title} ...${each} />`)}</div>
          ${end && html`<p class="small soft">Lines are the looks while training; the large dots at the end are the final evaluation, on fresh prompts.</p>`}<${Table} evaluations=${evaluations} /></div>`
      : html`<div class="card empty gap"><p>The policy has not been evaluated yet: the pipeline is at an earlier stage.</p></div>`}
    ${evaluations.length > 0 && html`<${Samples} name=${name} evaluations=${evaluations.length} />`}
    ${run.reward_model?.accuracy != null && html`<${RewardModel} figures=${run.reward_model} />`}
    <${Health} name=${name} series=${series} />`;
}

const root = (kl) => (kl === null || kl === undefined ? null : Math.sqrt(Math.max(0, kl)));

// Proxy and truth by step and by distance, and the distance by step; the final evaluation as dots of its own.
function charts(run, evaluations) {
  const end = run.policies?.policy;
  const at = run.recipe?.policy?.steps ?? evaluations.at(-1)?.step ?? 0;
  const best = highest(evaluations);
  const point = (x, row, key) => ({ x, y: row[key] ?? null, step: row.step, ...(row[`${key}_se`] == null || row[key] == null ? {} : { low: row[key] - 1.96 * row[`${key}_se`], high: row[key] + 1.96 * row[`${key}_se`] }) });
  const lines = (keys, where) => keys.flatMap((key) => {
    const tone = named(key);
    const points = evaluations.map((row) => point(where(row), row, key));
    const peak = key === "truth" && best && evaluations.length > 1 ? point(where(best), best, key) : null;
    const line = { name: key === "kl" ? "KL" : key, ...tone, points, peak };
    if (!end || end[key] == null) return [line];
    return [line, { name: `${line.name}, final`, ...tone, apart: true, quiet: true, points: [point(where({ ...end, step: at }), { ...end, step: at }, key)] }];
  });
  const step = (row) => row.step;
  const far = (row) => root(row.kl);
  return [
    { title: "Proxy and truth by step", x: { name: "step" }, y: { name: "score", unit: "SD above SFT" }, lines: lines(["proxy", "truth"], step) },
    { title: "The same by the distance", x: { name: "√KL", unit: "√nats", zero: true }, y: { name: "score", unit: "SD above SFT" }, lines: lines(["proxy", "truth"], far) },
    { title: "KL to SFT", x: { name: "step" }, y: { name: "KL", unit: "nats" }, lines: lines(["kl"], step) },
  ];
}

const COLUMNS = ["step", "proxy", "truth", "kl", "win_rate", "length", "distinct_1", "eos_rate", "verdict"];
const Table = ({ evaluations }) => html`<details class="gap small"><summary>The looks in numbers</summary><div class="scroll" tabindex="0" role="region" aria-label="The looks in numbers"><table>
  <thead><tr>${COLUMNS.map((key) => html`<th class="num">${key.replace("_", " ")}</th>`)}</tr></thead>
  <tbody>${evaluations.map((row) => html`<tr>${COLUMNS.map((key) => html`<td class="num">${typeof row[key] === "number" ? number(row[key], key === "step" ? 0 : 2) : pieces(String(row[key] ?? "–"))}</td>`)}</tr>`)}</tbody></table></div></details>`;
