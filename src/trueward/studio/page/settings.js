// A run's settings, beside those of a recipe that ships.
import { encoded, get } from "./api.js";
import { Copy, useData } from "./parts.js";
import { pieces } from "./signs.js";
import { html, useState } from "./vendor.js";

export const written = (value) => (value === null || value === undefined ? "not set" : JSON.stringify(value));

export function Settings({ name }) {
  const [against, setAgainst] = useState("");
  const [find, setFind] = useState("");
  const [all, setAll] = useState(false);
  const path = `/api/runs/${encoded(name)}/config${against ? `?against=${encodeURIComponent(against)}` : ""}`;
  const { data, problem } = useData(() => get(path), path);
  if (!data) return html`<div class="card"><p class="soft" aria-busy="true">${problem?.message || ""}</p></div>`;
  const differing = data.rows.filter((row) => row.differs);
  const whole = all || !data.against;
  const rows = (whole ? data.rows : differing).filter((row) => `${row.key} ${written(row.value)}`.toLowerCase().includes(find.toLowerCase()));
  const flags = differing.filter((row) => row.value !== null && row.value !== undefined).map((row) => `--set ${row.key}=${typeof row.value === "string" && /^[\w./:-]+$/.test(row.value) ? row.value : quoted(row.value)}`).join(" ");
  return html`<div class="card"><div class="row apart"><h2>${data.against ? `${differing.length} ${differing.length === 1 ? "setting differs" : "settings differ"} from ${data.against}, which ships` : "Every setting"}</h2>
      <label style=${{ margin: 0 }}><span class="unseen">Compare with</span><select value=${data.against ?? ""} onChange=${(e) => setAgainst(e.target.value)}>${!data.against && html`<option value="">compare with a recipe that ships</option>`}${data.shipped.map((recipe) => html`<option value=${recipe}>${recipe}</option>`)}</select></label></div>
    ${data.damage && html`<p class="note bad">${pieces(data.damage)}</p>`}
    <div class="row" style=${{ marginBottom: "10px" }}><label style=${{ margin: 0 }}><span class="unseen">Find a setting</span><input type="search" placeholder="Find a setting" value=${find} onInput=${(e) => setFind(e.target.value)} /></label>
      ${data.against && html`<button aria-pressed=${all} onClick=${() => setAll(!all)}>All ${data.rows.length} settings</button>`}
      ${data.against && flags && html`<${Copy} text=${`trueward run ${data.against} ${flags}`} label="Copy as a command" />`}</div>
    <div class="scroll" tabindex="0" role="region" aria-label="Settings"><table class="settings">
      <thead><tr><th>setting</th><th>this run</th>${data.against && html`<th>${data.against}</th>`}</tr></thead>
      <tbody>${rows.map((row) => html`<tr key=${row.key} class=${row.differs ? "differs-row" : ""}><th scope="row"><code>${pieces(row.key)}</code></th><td><code>${pieces(written(row.value))}</code></td>${data.against && html`<td class="soft"><code>${pieces(written(row.shipped))}</code></td>`}</tr>`)}</tbody></table></div>
    ${!rows.length && html`<p class="empty">${find ? "No setting matches." : "It is the recipe as it ships."}</p>`}</div>`;
}

const quoted = (value) => `'${JSON.stringify(value).replaceAll("'", "'\\''")}'`;
