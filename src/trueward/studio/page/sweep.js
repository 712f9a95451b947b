// A sweep as far as it is: what each value gave, what the distance bought, and every run.
import { encoded, get } from "./api.js";
import { number, percent, signed, useData, Verdict } from "./parts.js";
import { Link } from "./place.js";
import { html } from "./vendor.js";

const STANDINGS = { best: "good", "as good": "info", hacked: "bad", "past the best": "bad", "held too tightly": "warn", worse: "warn" };
const half = (width) => (Number.isFinite(width) ? html` <span class="soft small">± ${number(width)}</span>` : "");

export function Sweep({ name }) {
  const path = `/api/sweeps/${encoded(name)}`;
  const { data, problem } = useData(() => get(path), path, 3000);
  if (problem && !data) return html`<p class="note bad">${problem.message}</p><${Link} to="/runs">All runs</${Link}>`;
  if (!data) return html`<p class="soft" aria-busy="true">Reading ${name} …</p>`;
  const stamp = `${data.done}-${Math.round(data.points.reduce((sum, p) => sum + 1e4 * p.truth, 0))}`;
  const failed = data.runs.filter((run) => run.error);
  return html`<p class="small" style=${{ margin: 0 }}><${Link} to="/runs">Runs</${Link}></p>
    <div class="row apart"><h1>${data.recipe} over ${data.over}</h1>${data.done < data.planned
      ? html`<span class="chip good live" data-test="progress">${data.done} of ${data.planned} runs</span>` : html`<span class="chip" data-test="progress">${data.done} runs</span>`}</div>
    <p class="lead" style=${{ marginTop: "6px" }} data-test="sentence">${data.sentence}</p>
    ${failed.map((run) => html`<p class="note bad">${run.run} failed: ${run.error}</p>`)}
    ${data.points.length
      ? html`<div class="card gap"><h2>What each value gave</h2>
          <${Picture} path=${path} kind="value" stamp=${stamp} alt=${description(data)} />
          <p class="small soft">Each place is one value of ${data.short}, from the same SFT policy and against the same reward model. The <b>proxy</b> is what training pushes up; the <b>truth</b> is a scorer that no training sees.${data.short === "β" ? " On the left the policy is held loosely, and may go where the proxy is wrong; on the right tightly, and hardly moves." : ""} Bands are 95 % intervals.</p>
          <div class="scroll" tabindex="0" role="region" aria-label="The numbers by value"><table>
            <thead><tr><th>${data.short}</th><th class="num">truth</th><th class="num">proxy</th><th class="num">win rate</th><th class="num">KL</th><th class="num">seeds</th><th>verdicts</th><th>it is</th></tr></thead>
            <tbody>${data.points.map((p) => html`<tr><th scope="row">${p.text}</th><td class="num">${signed(p.truth)}${half(p.truth_half)}</td><td class="num">${signed(p.proxy)}${half(p.proxy_half)}</td><td class="num">${percent(p.win_rate)}</td><td class="num">${number(p.kl, 1)}</td><td class="num">${p.seeds}</td><td>${p.words}</td><td>${p.standing && html`<span class=${`chip ${STANDINGS[p.standing] || ""}`}>${p.standing}</span>`}</td></tr>`)}</tbody></table></div></div>
        <div class="card"><h2>What the distance bought</h2>
          <${Picture} path=${path} kind="distance" stamp=${stamp} alt="Truth at every evaluation of every run against √KL to the SFT policy. The table above has where each value ended." />
          <p class="small soft">The same runs by how far they went. A line that turns down has gone past the point to which the reward model can be trusted.</p></div>`
      : html`<div class="card empty gap"><p>The first run isn't finished yet. It is among the <${Link} to="/runs">runs</${Link}>.</p></div>`}
    ${data.runs.length > 0 && html`<div class="card"><h2>Every run</h2><div class="scroll" tabindex="0" role="region" aria-label="Every run"><table>
      <thead><tr><th>run</th><th class="num">${data.short}</th><th class="num">seed</th><th class="num">truth</th><th class="num">proxy</th><th class="num">KL</th><th class="num">best checkpoint’s truth</th><th>verdict</th></tr></thead>
      <tbody>${data.runs.map((run) => html`<tr key=${run.run}><td><${Link} to=${`/runs/${encoded(run.run)}`}>${run.run.split("/").at(-1)}</${Link}></td><td class="num">${run.text}</td><td class="num">${run.seed}</td><td class="num">${signed(run.truth)}</td><td class="num">${signed(run.proxy)}</td><td class="num">${number(run.kl, 1)}</td><td class="num">${signed(run.best_truth)}${run.best_step == null ? "" : html` <span class="soft small">step ${run.best_step}</span>`}</td><td>${run.error ? html`<span class="chip bad">failed</span>` : html`<${Verdict} word=${run.verdict} />`}</td></tr>`)}</tbody></table></div>
      ${data.command && html`<p class="small soft gap">Made with <code>${data.command}</code>. The same command goes on where it was; a value that is added is all that is trained.</p>`}</div>`}`;
}

// The picture of sweep.html, drawn by the same code; narrower on a phone.
const Picture = ({ path, kind, stamp, alt }) => html`<picture><source media="(max-width: 700px)" srcset=${`${path}/${kind}.svg?narrow=true&v=${stamp}`} /><img class="picture" src=${`${path}/${kind}.svg?v=${stamp}`} alt=${alt} /></picture>`;

const description = (data) => `Truth and proxy by ${data.short}: ${data.points.map((p) => `at ${p.text} truth ${signed(p.truth)}, proxy ${signed(p.proxy)}`).join("; ")}.`;

export function Sweeps() {
  const { data } = useData(() => get("/api/sweeps"), "sweeps", 5000);
  if (!data?.length) return null;
  return html`<div class="grid">${data.map((sweep) => html`<div class="card" key=${sweep.name}><div class="row apart"><h2 style=${{ margin: 0 }}><${Link} to=${`/sweeps/${encoded(sweep.name)}`}>${sweep.recipe} over ${sweep.over}</${Link}></h2>
      <span class=${`chip ${sweep.done < sweep.planned ? "good live" : ""}`}>${sweep.done < sweep.planned ? `${sweep.done} of ${sweep.planned} runs` : `${sweep.done} runs`}</span></div>
    <p class="small soft" style=${{ margin: "6px 0 0" }}>${sweep.sentence.split(". ")[0].replace(/\.?$/, ".")}</p></div>`)}</div>`;
}
