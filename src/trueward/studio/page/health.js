// Whether training is healthy: every figure of a stage's log, and the reward model beside the people that it learnt from.
import { Chart } from "./chart.js";
import { NAMES, STAGES } from "./metrics.js";
import { percent } from "./parts.js";
import { html, useState } from "./vendor.js";

export function Health({ name, series }) {
  const [beta, setBeta] = useState(0);
  const [stage, setStage] = useState("");
  const there = Object.keys(series).filter((key) => series[key].steps.length);
  const tab = there.includes(stage) ? stage : there.includes("policy") ? "policy" : there.at(-1);
  if (!tab) return null;
  return html`<div class="card"><div class="row apart"><h2>Health</h2><label class="row" style=${{ margin: 0 }}>smoothing<input type="range" min="0" max="0.98" step="0.02" value=${beta} onInput=${(e) => setBeta(Number(e.target.value))} style=${{ width: "130px", display: "inline-block" }} /><span class="num">${beta.toFixed(2)}</span></label></div>
      <div class="tabs inner" role="group" aria-label="Stage">${there.map((key) => html`<button aria-pressed=${key === tab} onClick=${() => setStage(key)}>${STAGES[key]}</button>`)}</div>
      <${Curves} series=${series[tab]} beta=${beta} group=${`${name} ${tab}`} /></div>`;
}

// The reward model beside the people that it learnt from, on one axis from a coin's 50 % to 100 %.
export function RewardModel({ figures }) {
  const place = (share) => `${Math.max(0, Math.min(100, 200 * (share - 0.5)))}%`;
  const rows = [["it picks what the annotator picked", figures.accuracy, figures.accuracy_low, figures.accuracy_high]];
  if (figures.agreement != null) rows.push(["two annotators agree", figures.agreement]);
  return html`<div class="card"><h2>The reward model</h2>${rows.map(([name, share, low, high]) => html`<div class="axis"><span>${name}</span>
      <div class="bracket" aria-hidden="true">${low != null && html`<i style=${{ left: place(low), width: `calc(${place(high)} - ${place(low)})` }}></i>`}<b style=${{ left: place(share) }}></b></div>
      <span class="num small">${percent(share, 1)}${low != null ? ` (${percent(low)} to ${percent(high)})` : ""}</span></div>`)}
    <p class="small soft gap">On comparisons held out by prompt. The axis begins at a coin's 50 %; a reward model can hardly agree with people more than they do with each other.</p></div>`;
}

function Curves({ series, beta, group }) {
  const keys = Object.keys(series.columns).filter((key) => series.columns[key].some((value) => value !== null));
  keys.sort((a, b) => (a in NAMES ? Object.keys(NAMES).indexOf(a) : 99) - (b in NAMES ? Object.keys(NAMES).indexOf(b) : 99));
  return html`<div class="charts small">${keys.map((key) => html`<${Chart} key=${key} title=${NAMES[key] || key} height=${150} steps=${series.steps} beta=${beta} group=${group} lines=${[{ name: key, values: series.columns[key], colour: key.startsWith("val/") || key.includes("value") ? "kl" : "truth" }]} />`)}</div>
    <p class="small soft gap num"><span data-test="rows">${series.rows.toLocaleString()} ${series.rows === 1 ? "row" : "rows"}</span>${series.bucket > 1 ? `, the lowest and highest of every ${series.bucket}` : ""}${Object.keys(series.gaps || {}).length ? `; not a number: ${Object.entries(series.gaps).map(([key, n]) => `${key} ${n}`).join(", ")}` : ""}</p>`;
}

