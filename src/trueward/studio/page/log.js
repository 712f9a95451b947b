// What happened in a run, in order.
import { encoded, get } from "./api.js";
import { duration, useData, when } from "./parts.js";
import { pieces } from "./signs.js";
import { html, useState } from "./vendor.js";

export function Log({ name, stamp }) {
  const path = `/api/runs/${encoded(name)}/log`;
  const { data, problem } = useData(() => get(path), `${path} ${stamp}`);
  const [only, setOnly] = useState(false);
  if (!data) return html`<div class="card"><p class="soft" aria-busy="true">${problem?.message || ""}</p></div>`;
  const rows = only ? data.filter((row) => row.level !== "plain") : data;
  const told = data.filter((row) => row.level !== "plain").length;
  return html`<div class="card"><div class="row apart"><h2>What happened</h2>${told > 0 && html`<button aria-pressed=${only} onClick=${() => setOnly(!only)}>Only what to look at (${told})</button>`}</div>
    <div class="scroll" tabindex="0" role="region" aria-label="What happened"><table class="log"><thead><tr><th>stage</th><th class="num">step</th><th>what</th><th class="num wide">when</th></tr></thead>
      <tbody>${rows.map((row) => html`<tr class=${row.level}><td>${pieces(row.stage.replaceAll("_", " "))}</td><td class="num">${row.step ?? ""}</td><td>${pieces(row.text)}</td><td class="num wide soft small">${row.at ? when(row.at) : row.seconds != null ? `after ${duration(row.seconds)}` : ""}</td></tr>`)}</tbody></table></div>
    ${!rows.length && html`<p class="empty">Nothing yet.</p>`}</div>`;
}
