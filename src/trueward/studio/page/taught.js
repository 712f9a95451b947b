// What an annotator's choices taught, once all are given: what they go by, and how often others chose the same.
import { get } from "./api.js";
import { waiting } from "./outbox.js";
import { percent, useData } from "./parts.js";
import { html } from "./vendor.js";

export function Taught({ name }) {
  // asked again when the last click has arrived: until then something is left
  const { data } = useData(() => get(`/api/projects/${encodeURIComponent(name)}/taught`), `${name} ${waiting.value}`);
  if (!data?.choices) return null; // nothing was chosen, or something is left to judge
  const { taste, agreement } = data;
  return html`<section class="card gap" data-test="taught"><h2>What your answers taught</h2>
    ${taste
      ? html`<p>A small reward model was fitted to your ${taste.choices} choices. Of choices that it had not seen it picked yours in <b>${percent(taste.accuracy)}</b> (95 %: ${percent(taste.accuracy_low)} to ${percent(taste.accuracy_high)}); a coin picks 50 %. It knows a few outward features only, nothing of what the answers say.</p>
          ${taste.leanings.length
            ? html`<ul class="leanings">${taste.leanings.map((one) => html`<${Leaning} one=${one} />`)}</ul>`
            : html`<p class="soft">None of these features tells which you choose: whatever you went by is in what the answers say.</p>`}`
      : html`<p class="soft">With ${data.choices} choices nothing can be told yet. From ${data.needed} on a small reward model is fitted to them.</p>`}
    ${agreement && html`<p data-test="others">On the pairs that others judged too, you chose the same in <b>${percent(agreement.equal / agreement.of)}</b> of ${agreement.of} comparisons with one of them (95 %: ${percent(agreement.low)} to ${percent(agreement.high)}). Two people usually agree on about 73 %.</p>`}
    <p class="small soft">This is no score: a clear leaning may be just what was asked for. If one surprises you, read the instructions again before the next round.</p></section>`;
}

function Leaning({ one }) {
  return html`<li><div class="meter" aria-hidden="true"><i style=${{ width: `${(100 * one.chosen) / one.of}%` }}></i></div>
    <span>the one that <b>${one.words}</b>: in ${percent(one.chosen / one.of)} of ${one.of} pairs that differ in it (${percent(one.low)} to ${percent(one.high)})</span></li>`;
}
