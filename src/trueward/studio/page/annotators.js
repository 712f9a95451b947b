// The people of a project: how much each has done, how quickly and how well, and when they were last here.
import { number, percent, when } from "./parts.js";
import { Link } from "./place.js";
import { html } from "./vendor.js";

// A time that is some while ago, in words.
export function ago(at) {
  if (!at) return "never";
  const minutes = (Date.now() / 1000 - at) / 60;
  if (minutes < 2) return "now";
  if (minutes < 60) return `${Math.floor(minutes)} min ago`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return `${Math.floor(minutes / 1440)} days ago`;
}

export const Annotators = ({ rows, compares, items, project, assigned }) =>
  rows.length > 0 &&
  html`<div class="card"><h2>Annotators</h2>${assigned.length > 0 && html`<p class="small soft">Only ${assigned.join(", ")} may work here.</p>`}
    <div class="scroll" tabindex="0" role="region" aria-label="Annotators"><table class="annotators">
    <thead><tr><th>name</th><th class="num">this round</th><th class="num">answers</th><th class="num">median time</th><th class="num" title="answers in an hour of work">an hour</th><th class="num">skipped</th><th class="num">excluded</th>${compares && html`<th class="num" title="both answers were on the screen to their ends">read whole</th><th>on check pairs, with 95 %</th>`}<th>last seen</th></tr></thead>
    <tbody>${rows.map((row) => html`<tr><th scope="row"><${Link} to=${`/desk/${encodeURIComponent(project)}?annotator=${encodeURIComponent(row.name)}`}>${row.name}</${Link}></th>
      <td class="num">${row.round} of ${items}</td><td class="num">${row.answers}</td>
      <td class="num">${row.seconds === null ? "–" : `${number(row.seconds, 1)} s`}</td><td class="num">${row.per_hour === null ? "–" : Math.round(row.per_hour).toLocaleString()}</td>
      <td class="num">${row.skipped}</td><td class="num">${row.excluded}</td>
      ${compares && html`<td class="num">${percent(row.read)}</td><td>${row.checks
        ? html`<span class="small num">${percent(row.accuracy)} of ${row.checks} (${percent(row.accuracy_low)} to ${percent(row.accuracy_high)})</span>
            <div class="bracket" aria-hidden="true"><i style=${{ left: `${100 * row.accuracy_low}%`, width: `${100 * (row.accuracy_high - row.accuracy_low)}%` }}></i><b style=${{ left: `${100 * row.accuracy}%` }}></b></div>`
        : html`<span class="soft small">none seen</span>`}</td>`}
      <td class="small soft" title=${row.last ? `last answer: ${when(row.last)}` : ""}>${ago(row.seen)}</td></tr>`)}</tbody></table></div></div>`;
