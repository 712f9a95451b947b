// The doctor on a run: each fault, what was seen, the rule, what to change.
import { encoded, get } from "./api.js";
import { useData } from "./parts.js";
import { pieces } from "./signs.js";
import { html } from "./vendor.js";

export function Doctor({ name, stamp }) {
  const path = `/api/runs/${encoded(name)}/doctor`;
  const { data, problem } = useData(() => get(path), `${path} ${stamp}`);
  if (!data) return html`<div class="card"><p class="soft" aria-busy="true">${problem?.message || ""}</p></div>`;
  if (data.problem) return html`<div class="card"><h2>The doctor can’t read this run</h2><p class="note bad">${pieces(data.problem)}</p></div>`;
  const left = Object.entries(data.not_checked);
  return html`<div class="card"><h2>${data.findings.length ? `${data.findings.length} ${data.findings.length === 1 ? "finding" : "findings"}` : "Nothing found"}</h2>
    <p class="small soft">${data.final ? "As the run’s report has it." : "So far: the run has no report yet, and a rule that lacks its figures is not checked."}${data.findings.length > 1 ? " Fix the first one first: a fault in one stage explains what is seen in later ones." : ""}</p>
    <ol class="findings">${data.findings.map((finding) => html`<li key=${finding.fault}><h3>${pieces(finding.fault)}</h3><p>${pieces(finding.what)}</p>
      <dl><dt>seen</dt><dd class="num">${pieces(finding.seen)}</dd><dt>rule</dt><dd>${pieces(finding.because)}</dd>${finding.changes.length > 0 && html`<dt>change</dt><dd>${finding.changes.map((change) => html`<div><code>${pieces(change)}</code></div>`)}</dd>`}</dl></li>`)}</ol>
    <p class="small soft">Checked: ${data.checked.join(", ") || "nothing"}.</p>
    ${left.length > 0 && html`<details class="small"><summary>${left.length} not checked</summary><ul>${left.map(([fault, why]) => html`<li>${pieces(`${fault}: ${why}`)}</li>`)}</ul></details>`}</div>`;
}
