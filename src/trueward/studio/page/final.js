// What a run came to: the final evaluation on fresh prompts first, and the last look of training labelled as such.
import { number, percent, signed, Stat, Verdict, within } from "./parts.js";
import { pieces } from "./signs.js";
import { html } from "./vendor.js";

const POLICIES = { base: "base", sft: "SFT", policy: "policy", best: "best checkpoint" };
const between = (row) => (row.win_rate_low == null || row.win_rate_high == null ? "" : `${percent(row.win_rate_low)} to ${percent(row.win_rate_high)}`);
const spread = (value, error) => [signed(value), error == null ? "" : html` <span class="soft small">${within(error)}</span>`];

export function Final({ run, evaluations }) {
  const last = evaluations.at(-1);
  const end = run.policies?.policy;
  const word = run.verdict?.word ?? last?.verdict;
  const rule = run.verdict?.rule ?? last?.rule;
  const shown = end || last;
  if (!shown) return null;
  const on = run.evaluated_on;
  const steps = run.recipe?.policy?.steps;
  return html`<div class="card gap"><div class="verdict" data-test="verdict"><${Verdict} word=${word} /><span>${pieces(String(rule ?? ""))}</span>${!run.verdict && html`<span class="soft small">so far, at step ${last.step}</span>`}</div>
    <h2 class="gap" data-test="whose">${end ? "The final evaluation" : `The last look, at step ${last.step}${steps ? ` of ${steps}` : ""}`}</h2>
    <p class="small soft">${end
      ? `The policy as it is at the end${on?.prompts ? `, on ${on.prompts} ${on.used_before ? `prompts, of which ${on.used_before} were used while training, too` : "fresh prompts that no training and no look has seen"}` : ""}. 95 % intervals.`
      : `A look while training${last.prompts ? `, on ${last.prompts} prompts` : ""}, the same ones each time. The final evaluation comes at the end, on fresh prompts. 95 % intervals.`}</p>
    <div class="stats" data-test="figures"><${Stat} name="truth" value=${signed(shown.truth)} hint=${`${within(shown.truth_se)} SD above SFT`} /><${Stat} name="proxy" value=${signed(shown.proxy)} hint=${`${within(shown.proxy_se)} SD above SFT`} /><${Stat} name="win rate against SFT" value=${percent(shown.win_rate)} hint=${between(shown)} /><${Stat} name="KL to SFT" value=${number(shown.kl, 1)} hint=${`${within(shown.kl_se, 1)} nats`} />${peak(run, evaluations)}</div>
    ${end && html`<${Measured} run=${run} last=${last} />`}
    <${Warnings} told=${end ? run.early_warnings : last.early_warnings} /></div>`;
}

// The step at which the truth was highest, as the report has it; before, as the looks have it so far.
function peak(run, evaluations) {
  if (run.policies?.best && run.best_step != null) return html`<${Stat} name="best step by truth" value=${run.best_step} hint=${`${signed(run.policies.best.truth)}, measured again`} />`;
  const best = highest(evaluations);
  return best && html`<${Stat} name="best step by truth" value=${best.step} hint=${`${signed(best.truth)}, at a look`} />`;
}

export const highest = (evaluations) => evaluations.reduce((top, row) => (row.truth != null && (!top || row.truth > top.truth) ? row : top), null);

function Measured({ run, last }) {
  const rows = Object.entries(POLICIES).filter(([key]) => run.policies[key]).map(([key, name]) => [name, run.policies[key], ""]);
  if (last) rows.push([`last look, step ${last.step}`, last, "soft"]);
  return html`<div class="scroll gap" tabindex="0" role="region" aria-label="The final evaluation"><table class="figures">
    <thead><tr><th>policy</th><th class="num">truth</th><th class="num">proxy</th><th class="num">win rate</th><th class="num">KL</th><th class="num">length</th><th class="num">ended</th></tr></thead>
    <tbody>${rows.map(([name, row, tone]) => html`<tr class=${tone}><th scope="row">${name}${tone ? html` <span class="chip" title="on the prompts of training's own looks, not on fresh ones">not fresh</span>` : ""}</th>
      <td class="num">${spread(row.truth, row.truth_se)}</td><td class="num">${spread(row.proxy, row.proxy_se)}</td><td class="num">${percent(row.win_rate)} <span class="soft small">${between(row)}</span></td><td class="num">${number(row.kl, 1)}</td><td class="num">${number(row.length, 1)}</td><td class="num">${percent(row.eos_rate)}</td></tr>`)}</tbody></table></div>`;
}

const Warnings = ({ told }) => told?.length > 0 && html`<details class="small gap"><summary>${told.length} early ${told.length === 1 ? "warning" : "warnings"} (they decide nothing)</summary><ul>${told.map((warning) => html`<li>${pieces(String(warning))}</li>`)}</ul></details>`;
