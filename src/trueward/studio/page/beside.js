// Runs beside each other: any figure by step, time or distance, one axis for those that share it, and how their settings differ.
import { encoded, get } from "./api.js";
import { called, STAGES } from "./metrics.js";
import { tone } from "./palette.js";
import { useData } from "./parts.js";
import { Link, look, view } from "./place.js";
import { Plot, Swatch } from "./plot.js";
import { mean } from "./seeds.js";
import { written } from "./settings.js";
import { pieces } from "./signs.js";
import { html } from "./vendor.js";

const ACROSS = { root_kl: ["√KL to SFT", "√nats"], kl: ["KL to SFT", "nats"], step: ["step", ""], seconds: ["time", "s"] };
const BY_STEP = ["sft", "reward_model"]; // stages that log nothing else to draw against
const FIRST = ["evaluations/truth", "evaluations/proxy"];

export function Beside({ picked, rows, seeds }) {
  const query = picked.map((name) => `run=${encodeURIComponent(name)}`).join("&");
  const { data, problem } = useData(() => get(`/api/comparison?${query}`), query);
  const at = view();
  const x = at.get("x") in ACROSS ? at.get("x") : "root_kl";
  const figures = at.getAll("y").length ? at.getAll("y") : FIRST;
  const goes = rows.some((run) => run.state === "live");
  const names = lines(picked, rows, data, seeds);
  const flip = (key) => look({ [key]: at.get(key) ? "" : "1" });
  return html`<div class="card beside" style=${{ marginBottom: "18px" }} data-test="beside"><div class="row apart"><h2>${picked.length === 1 ? "1 run" : `${picked.length} runs`} on one plot</h2>
      <div class="row"><label class="inline">across<select value=${x} onChange=${(e) => look({ x: e.target.value })}>${Object.entries(ACROSS).map(([key, [name]]) => html`<option value=${key}>${name}</option>`)}</select></label>
        <button aria-pressed=${!!at.get("lx")} onClick=${() => flip("lx")}>log across</button><button aria-pressed=${!!at.get("ly")} onClick=${() => flip("ly")}>log up</button>
        ${data && html`<label class="inline">figure<select value="" onChange=${(e) => (look({ y: [...figures, e.target.value] }), (e.target.value = ""))}><option value="">add one</option>${Object.entries(STAGES).map(([stage, label]) => {
          const there = data.metrics.filter((metric) => metric.startsWith(`${stage}/`) && !figures.includes(metric));
          return there.length > 0 && html`<optgroup label=${label}>${there.map((metric) => html`<option value=${metric}>${called(metric)[0]}</option>`)}</optgroup>`;
        })}</select></label>`}
        <button class="quiet" onClick=${() => look({ run: "", x: "", y: "", lx: "", ly: "" }, true)}>Clear</button></div></div>
    <div class="keys-of names">${names.map((each) => html`<span class="key" key=${each.name}><${Swatch} line=${each} />${each.members.length === 1 ? html`<${Link} to=${`/runs/${encoded(each.members[0])}`}>${pieces(each.name)}</${Link}>` : pieces(each.name)}</span>`)}</div>
    ${problem && html`<p class="note bad">${problem.message}</p>`}
    <div class="figures">${figures.map((metric) => html`<${Figure} key=${metric} metric=${metric} ...${{ query, x, seeds, names, rows, goes }} log=${[!!at.get("lx"), !!at.get("ly")]}
      onRemove=${figures.length > 1 ? () => look({ y: figures.filter((each) => each !== metric) }) : null} />`)}</div>
    ${seeds && names.some((each) => each.members.length > 1) && html`<p class="small soft">Runs that differ in their seed alone are one line: their mean, with Student’s 95 % interval over the seeds.</p>`}
    ${data && html`<${Differences} data=${data} names=${names} />`}
    ${picked.length > 1 && html`<${Frontier} query=${query} />`}</div>`;
}

// A line a run, or a group of seeds, with its colour: by the order in which they were picked.
function lines(picked, rows, data, seeds) {
  const groups = new Map();
  for (const name of picked) {
    const about = data?.runs.find((run) => run.name === name);
    const key = seeds && about?.group ? about.group : name;
    const label = seeds && about?.group ? about.label : name;
    groups.set(key, { label, members: [...(groups.get(key)?.members ?? []), name] });
  }
  return [...groups.values()].map(({ label, members }, i) => ({ ...tone(i), members, name: members.length > 1 ? `${label} (${members.length} seeds)` : seeds ? members[0] : label }));
}

function Figure({ metric, query, x, seeds, names, rows, goes, log, onRemove }) {
  const path = `/api/comparison/curves?${query}&metric=${encodeURIComponent(metric)}&x=${x}&seeds=${seeds}`;
  const alone = BY_STEP.includes(metric.split("/")[0]) && x !== "step"; // then there is nothing to ask for
  const { data, problem } = useData(() => (alone ? Promise.resolve(null) : get(path)), path, goes ? 4000 : 0);
  const [name, unit] = called(metric);
  const across = { name: ACROSS[x][0], unit: ACROSS[x][1], log: log[0], zero: true };
  const remove = onRemove && html`<button class="quiet" onClick=${onRemove} aria-label=${`Take off: ${name}`}>Take off</button>`;
  if (alone) return html`<div class="figure-of"><h3>${name}</h3><p class="note">${name} is logged by step alone: there is no ${x === "seconds" ? "time" : "KL"} to it. ${remove}</p></div>`;
  if (problem) return html`<div class="figure-of"><h3>${name}</h3><p class="note">${problem.message}. ${remove}</p></div>`;
  if (!data) return html`<div class="figure-of"><h3>${name}</h3><p class="soft small" aria-busy="true">Reading …</p></div>`;
  const apart = data.panels.length > 1;
  return html`<div class=${`figure-of ${apart ? "apart" : ""}`} data-test="figure">${remove}
    ${apart && html`<p class="note" data-test="apart">${name} is not the same measure in all of these runs, so they don’t share an axis: ${pieces(data.panels.slice(1).map((panel) => panel.why).join(". "))}.</p>`}
    <div class=${apart ? "charts" : ""}>${data.panels.map((panel, i) => html`<${Plot} key=${panel.names.join("\n")} title=${apart ? `${name}, ${i + 1} of ${data.panels.length}` : name} x=${across} y=${{ name, unit, log: log[1] }} height=${300} lines=${panel.lines.flatMap((line) => drawn(line, names, metric, x, rows))} />`)}</div>
    ${data.problems.map((text) => html`<p class="small soft">Left out: ${pieces(text)}</p>`)}
    ${without(data).map((text) => html`<p class="small soft">${pieces(text)}</p>`)}</div>`;
}

const without = (data) => {
  const missing = data.panels.flatMap((panel) => panel.lines.flatMap((line) => line.without));
  return missing.length ? [`Without this figure: ${missing.join(", ")}.`] : [];
};

const ENDS = ["truth", "proxy", "kl", "win_rate", "length", "entropy", "eos_rate", "distinct_1"];

// A line of the plot, and where the final evaluation put it.
function drawn(line, names, metric, x, rows) {
  const of = names.find((each) => line.runs.some((run) => each.members.includes(run))) ?? { ...tone(0), name: line.runs[0] };
  const points = line.x.map((value, i) => ({ x: value ?? NaN, y: line.y[i], low: line.low[i], high: line.high[i], step: line.step[i] }));
  const [stage, key] = [metric.split("/")[0], metric.split("/").slice(1).join("/")];
  const truth = key === "truth" && points.filter((p) => p.y !== null);
  const peak = truth?.length > 1 ? truth.reduce((best, p) => (p.y > best.y ? p : best)) : null;
  const all = [{ name: of.name, colour: of.colour, dash: of.dash, points, peak }];
  const ended = rows.filter((run) => line.runs.includes(run.name));
  if (stage !== "evaluations" || !ENDS.includes(key) || x === "seconds" || !ended.length || !ended.every((run) => run.final)) return all;
  const where = { step: (run) => run.steps, kl: (run) => run.kl, root_kl: (run) => (run.kl === null ? null : Math.sqrt(Math.max(0, run.kl))) }[x];
  const [end, half] = mean(ended.map((run) => run[key]));
  const place = mean(ended.map(where))[0];
  if (end === null || place === null) return all;
  const dot = { x: place, y: end, ...(half === null ? {} : { low: end - half, high: end + half }), label: `${of.name}, final evaluation: ${end.toFixed(2)}` };
  return [...all, { name: `${of.name}, final`, colour: of.colour, dash: "", apart: true, quiet: true, points: [dot] }];
}

function Differences({ data, names }) {
  const first = names.map((each) => data.runs.findIndex((run) => run.name === each.members[0]));
  const rows = data.differences.filter((row) => new Set(first.map((i) => JSON.stringify(row.values[i]))).size > 1);
  if (names.length < 2) return null;
  if (!rows.length) return html`<p class="small soft">Their settings are the same.</p>`;
  return html`<details class="gap" open><summary>How their settings differ</summary><div class="scroll" tabindex="0" role="region" aria-label="How their settings differ"><table class="settings"><thead><tr><th>setting</th>${names.map((each) => html`<th><${Swatch} line=${each} /> ${pieces(each.name)}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.key}><th scope="row"><code>${pieces(row.key)}</code></th>${first.map((i) => html`<td><code>${pieces(written(row.values[i]))}</code></td>`)}</tr>`)}</tbody></table></div></details>`;
}

function Frontier({ query }) {
  const { data } = useData(() => get(`/api/frontier?${query}`).then((found) => ({ ...found, query })), query); // the picture is of the runs that were asked about
  if (!data) return null;
  if (data.problem) return html`<p class="small soft gap">No frontier: ${pieces(data.problem)}</p>`;
  return html`<h3 class="gap">The frontier</h3><p class="small">${pieces(data.headline)}</p>
    <details><summary>The picture of <code>trueward frontier</code></summary><picture><source media="(max-width: 700px)" srcset=${`/api/frontier.svg?${data.query}&narrow=true`} /><img class="picture" src=${`/api/frontier.svg?${data.query}`} alt=${`Truth and proxy of these runs by the distance from SFT. ${data.headline}`} /></picture></details>
    ${data.notes.map((note) => html`<p class="small soft">${pieces(note)}</p>`)}`;
}
