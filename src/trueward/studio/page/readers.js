// The runs that read a project: trained on its closed rounds, or measured by its people.
import { encoded, get, me } from "./api.js";
import { Badge, Copy, signed, useData, Verdict, when } from "./parts.js";
import { Link } from "./place.js";
import { StartRun } from "./start-run.js";
import { html } from "./vendor.js";

export function Readers({ name, source, rounds }) {
  const { data } = useData(() => get(`/api/projects/${encodeURIComponent(name)}/runs`), name, 6000);
  const command = `trueward run RECIPE --set ${source}`;
  return html`<h3>What became of them</h3>
    <p class="small soft">Any recipe trains on them by this command; its run appears here by itself.</p>
    <div class="row apart"><pre tabindex="0" style=${{ margin: 0, flex: 1 }}><code>${command}</code></pre><${Copy} text=${command} /></div>
    ${me.value.role === "admin" && html`<${StartRun} name=${name} rounds=${rounds} />`}
    ${data?.runs.length > 0 && html`<div class="scroll gap" tabindex="0" role="region" aria-label="Runs of this project"><table data-test="readers">
      <thead><tr><th>run</th><th>state</th><th>what it does with them</th><th>verdict</th><th class="num">truth</th><th>written</th></tr></thead>
      <tbody>${data.runs.map((run) => html`<tr><th scope="row"><${Link} to=${`/runs/${encoded(run.name)}`}>${run.name}</${Link}></th><td><${Badge} state=${run.state} /> <span class="small soft">${run.state === "finished" ? "" : `${run.stage ?? ""}${run.step != null && run.steps ? ` ${run.step} of ${run.steps}` : ""}`}</span></td><td>${run.reads.join(", ")} <span class="small soft mono">${run.source}</span></td><td>${run.verdict && html`<${Verdict} word=${run.verdict} />`}</td><td class="num">${signed(run.truth)}</td><td>${when(run.touched)}</td></tr>`)}</tbody></table></div>`}`;
}
