// One run: its pipeline, what is measured, whether it is healthy, what it says.
import { Chart, Trail, trail } from "./chart.js";
import { follow } from "./live.js";
import { Badge, number, percent, signed, Stat, Verdict } from "./parts.js";
import { Link } from "./place.js";
import { Samples } from "./samples.js";
import { Tags } from "./tags.js";
import { html, useEffect, useMemo, useState } from "./vendor.js";

const NAMES = {
  "objective/scores": "Proxy of the rollouts (SD)",
  "objective/kl": "KL of the rollouts (nats)",
  "objective/rlhf_reward": "Reward, anchor included",
  "objective/kl_coef": "β",
  "policy/entropy_avg": "Entropy (nats a token)",
  "policy/approxkl_avg": "KL of the update",
  "policy/clipfrac_avg": "Clipped share, policy",
  "policy/grad_norm": "Gradient norm, policy",
  "val/clipfrac_avg": "Clipped share, value",
  "val/ratio": "Ratio",
  "val/ratio_first": "Ratio before the first update",
  "val/explained_variance": "Explained variance",
  "val/grad_norm": "Gradient norm, value",
  "val/num_eos_tokens": "Answers that ended",
  "loss/policy_avg": "Loss, policy",
  "loss/value_avg": "Loss, value",
  length: "Length (tokens)",
  lr: "Learning rate",
  learning_rate: "Learning rate",
  nll: "NLL (nats a token)",
  loss: "Loss",
  accuracy: "Accuracy",
  margin: "Margin",
  grad_norm: "Gradient norm",
};
const STAGES = { sft: "SFT", reward_model: "Reward model", policy: "Policy", control: "Control" };

export function Run({ name }) {
  const live = useMemo(() => follow(name), [name]);
  const [beta, setBeta] = useState(0);
  const [stage, setStage] = useState("");
  useEffect(() => live.close, [live]);
  const run = live.run.value;
  if (live.problem.value) return html`<p class="note bad">${live.problem.value}</p><${Link} to="/runs">All runs</${Link}>`;
  if (!run) return html`<p class="soft" aria-busy="true">Reading ${name} …</p>`;
  const evaluations = live.evaluations.value;
  const last = evaluations.at(-1);
  const word = run.verdict?.word ?? last?.verdict;
  const rule = run.verdict?.rule ?? last?.rule;
  const there = Object.keys(live.series.value).filter((key) => live.series.value[key].steps.length);
  const tab = stage || (there.includes("policy") ? "policy" : there.at(-1));
  const steps = evaluations.map((row) => row.step);
  const column = (key) => evaluations.map((row) => row[key] ?? null);
  const band = (key, side) => evaluations.map((row) => (row[key] == null || row[`${key}_se`] == null ? null : row[key] + side * 1.96 * row[`${key}_se`]));
  const line = (key, label, colour) => ({ name: label, colour, values: column(key), low: band(key, -1), high: band(key, 1) });
  const best = evaluations.reduce((top, row) => (row.truth != null && (!top || row.truth > top.truth) ? row : top), null);
  const end = run.policies?.policy || last; // of a finished run what its report prints, which its verdict is about
  const peak = run.policies?.best?.truth ?? best?.truth;
  return html`
    <p class="small" style=${{ margin: 0 }}><${Link} to="/runs">Runs</${Link}></p>
    <div class="row apart"><h1>${name}</h1><div class="row">${!live.connected.value && html`<span class="chip warn">reconnecting</span>`}<span data-test="badge"><${Badge} state=${run.state} /></span></div></div>
    <${Tags} name=${name} tags=${run.tags} onChange=${(tags) => (live.run.value = { ...live.run.value, tags })} />
    <ol class="pipeline" aria-label="Stages">${run.stages.map((row) => html`<li class=${row.state}>${row.state === "done" ? "✓" : row.state === "running" ? "…" : "✕"} ${row.name}${row.seconds ? html` <span class="soft num">${Math.round(row.seconds)} s</span>` : ""}</li>`)}</ol>
    ${word && html`<div class="card gap"><div class="verdict" data-test="verdict"><${Verdict} word=${word} /><span>${rule}</span>${!run.verdict && html`<span class="soft small">so far, at step ${last.step}</span>`}</div>
      ${end && html`<div class="stats gap"><${Stat} name="truth" value=${signed(end.truth)} hint="SD above SFT" /><${Stat} name="proxy" value=${signed(end.proxy)} hint="SD above SFT" /><${Stat} name="win rate against SFT" value=${percent(end.win_rate)} hint=${end.win_rate_low == null ? "" : `${percent(end.win_rate_low)} to ${percent(end.win_rate_high)}`} /><${Stat} name="KL to SFT" value=${number(end.kl, 1)} hint="nats" />${best && html`<${Stat} name="best step by truth" value=${best.step} hint=${signed(peak)} />`}</div>`}
      ${last?.early_warnings?.length > 0 && html`<details class="small gap"><summary>Early warnings (they decide nothing)</summary><ul>${last.early_warnings.map((warning) => html`<li>${warning}</li>`)}</ul></details>`}</div>`}
    ${evaluations.length > 0
      ? html`<div class="card gap"><div class="charts">
          <${Chart} title="Proxy and truth by step, in SDs under SFT" steps=${steps} lines=${[line("proxy", "proxy", "proxy"), line("truth", "truth", "truth")]} group=${`evaluations ${name}`} marks=${best ? [{ step: best.step }] : []} />
          <${Trail} title="The same against the distance, √KL" xLabel="√KL" trails=${[trail(evaluations, "proxy", "proxy", "proxy"), trail(evaluations, "truth", "truth", "truth")]} />
          <${Chart} title="KL to SFT, nats" steps=${steps} lines=${[line("kl", "KL", "kl")]} group=${`evaluations ${name}`} />
        </div><${Table} evaluations=${evaluations} /></div>`
      : html`<div class="card empty gap"><p>The policy has not been evaluated yet: the pipeline is at an earlier stage.</p></div>`}
    ${evaluations.length > 0 && html`<${Samples} name=${name} evaluations=${evaluations.length} />`}
    ${run.reward_model?.accuracy != null && html`<${RewardModel} figures=${run.reward_model} />`}
    ${tab &&
    html`<div class="card"><div class="row apart"><h2>Health</h2><label class="row" style=${{ margin: 0 }}>smoothing<input type="range" min="0" max="0.98" step="0.02" value=${beta} onInput=${(e) => setBeta(Number(e.target.value))} style=${{ width: "130px", display: "inline-block" }} /><span class="num">${beta.toFixed(2)}</span></label></div>
      <div class="tabs" role="tablist">${there.map((key) => html`<button role="tab" aria-selected=${key === tab} onClick=${() => setStage(key)}>${STAGES[key]}</button>`)}</div>
      <${Health} series=${live.series.value[tab]} beta=${beta} group=${`${name} ${tab}`} /></div>`}`;
}

// The reward model beside the people that it learnt from, on one axis from a coin's 50 % to 100 %.
function RewardModel({ figures }) {
  const place = (share) => `${Math.max(0, Math.min(100, 200 * (share - 0.5)))}%`;
  const rows = [["it picks what the annotator picked", figures.accuracy, figures.accuracy_low, figures.accuracy_high]];
  if (figures.agreement != null) rows.push(["two annotators agree", figures.agreement]);
  return html`<div class="card"><h2>The reward model</h2>${rows.map(([name, share, low, high]) => html`<div class="axis"><span>${name}</span>
      <div class="bracket" aria-hidden="true">${low != null && html`<i style=${{ left: place(low), width: `calc(${place(high)} - ${place(low)})` }}></i>`}<b style=${{ left: place(share) }}></b></div>
      <span class="num small">${percent(share, 1)}${low != null ? ` (${percent(low)} to ${percent(high)})` : ""}</span></div>`)}
    <p class="small soft gap">On comparisons held out by prompt. The axis begins at a coin's 50 %; a reward model can hardly agree with people more than they do with each other.</p></div>`;
}

function Health({ series, beta, group }) {
  const keys = Object.keys(series.columns).filter((key) => series.columns[key].some((value) => value !== null));
  keys.sort((a, b) => (a in NAMES ? Object.keys(NAMES).indexOf(a) : 99) - (b in NAMES ? Object.keys(NAMES).indexOf(b) : 99));
  return html`<div class="charts small">${keys.map((key) => html`<${Chart} key=${key} title=${NAMES[key] || key} height=${150} steps=${series.steps} beta=${beta} group=${group} lines=${[{ name: key, values: series.columns[key], colour: key.startsWith("val/") || key.includes("value") ? "kl" : "truth" }]} />`)}</div>
    <p class="small soft gap num">${series.rows ? `${series.rows.toLocaleString()} rows` : ""}${series.bucket > 1 ? `, the lowest and highest of every ${series.bucket}` : ""}${Object.keys(series.gaps || {}).length ? `; not a number: ${Object.entries(series.gaps).map(([key, n]) => `${key} ${n}`).join(", ")}` : ""}</p>`;
}

const COLUMNS = ["step", "proxy", "truth", "kl", "win_rate", "length", "distinct_1", "eos_rate", "verdict"];
const Table = ({ evaluations }) => html`<details class="gap small"><summary>The numbers</summary><div class="scroll" tabindex="0" role="region" aria-label="The numbers"><table>
  <thead><tr>${COLUMNS.map((key) => html`<th class="num">${key.replace("_", " ")}</th>`)}</tr></thead>
  <tbody>${evaluations.map((row) => html`<tr>${COLUMNS.map((key) => html`<td class="num">${typeof row[key] === "number" ? number(row[key], key === "step" ? 0 : 2) : (row[key] ?? "–")}</td>`)}</tr>`)}</tbody></table></div></details>`;
