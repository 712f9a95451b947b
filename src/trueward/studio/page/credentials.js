// What stands for an account: tokens for scripts and sessions, what ends when, and a way to end it now.
import { attempt, get, me, post, say } from "./api.js";
import { Copy, useData, when } from "./parts.js";
import { pieces } from "./signs.js";
import { html, useState } from "./vendor.js";

export function Credentials() {
  const { data, again } = useData(() => get("/api/tokens"), "tokens");
  const [made, setMade] = useState("");
  const make = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const reply = await attempt(() => post("/api/tokens", { label: form.get("label"), days: Number(form.get("days")) }));
    if (!reply) return;
    setMade(reply.token);
    again();
  };
  const revoke = async (row) => {
    if (await attempt(() => post(`/api/tokens/${row.id}/revoke`, {}))) say(`The ${row.kind} has ended.`);
    again();
  };
  const everybody = me.value.role === "admin";
  return html`<form class="card" onSubmit=${make}><h2>A token for scripts</h2>
    <div class="grid"><label>What for?<input name="label" maxlength="80" required /></label>
      <label>Days until it ends<input name="days" type="number" min="1" max="366" value="90" required /></label></div><button>Make one</button>
    ${made && html`<div class="note gap"><p>Shown once: <code>Authorization: Bearer ${made}</code></p><${Copy} text=${made} /></div>`}</form>
    <div class="card"><h2>What works now</h2>
      <div class="scroll" tabindex="0" role="region" aria-label="Tokens and sessions"><table data-test="credentials">
        <thead><tr>${everybody && html`<th>account</th>`}<th>kind</th><th>what for</th><th>ends</th><th></th></tr></thead><tbody>
        ${(data || []).map((row) => html`<tr>${everybody && html`<td>${row.account}</td>`}<td>${row.kind}</td>
          <td>${row.this ? html`<span class="chip">this page</span>` : pieces(row.label)}</td><td>${when(row.expires)}</td>
          <td>${!row.this && html`<button class="quiet" type="button" aria-label=${`Revoke the ${row.kind} ${row.id}`} onClick=${() => revoke(row)}>Revoke</button>`}</td></tr>`)}</tbody></table></div>
      <p class="small soft gap">A new password ends them all, and the account's links.</p></div>`;
}
