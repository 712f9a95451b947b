// People: accounts and invitations for an admin; for everybody their own password and way out.
import { attempt, get, me, post } from "./api.js";
import { Credentials } from "./credentials.js";
import { ago } from "./annotators.js";
import { Copy, useData } from "./parts.js";
import { Password } from "./password.js";
import { html, useState } from "./vendor.js";

export function People() {
  const leave = async () => {
    await attempt(() => post("/api/logout", {}));
    location.assign("/");
  };
  return html`<div class="row apart"><h1>People</h1><button onClick=${leave}>Sign out</button></div>
    ${me.value.role === "admin" && html`<${Accounts} />`}<${Password} /><${Credentials} />`;
}

const address = (token) => `${location.origin}/#key=${token}`;

function Accounts() {
  const { data, again } = useData(() => get("/api/accounts"), "accounts");
  const [invited, setInvited] = useState(null);
  const add = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const made = await attempt(() => post("/api/accounts", { name: form.get("name"), role: form.get("role") }));
    if (!made) return;
    setInvited({ name: form.get("name"), token: made.token });
    event.target.reset();
    again();
  };
  const invite = async (row) => {
    const made = await attempt(() => post(`/api/accounts/${row.id}/invite`, {}));
    if (made) setInvited({ name: row.name, token: made.token });
    again();
  };
  const lock = async (row) => {
    await attempt(() => post(`/api/accounts/${row.id}/active`, { active: !row.active }));
    again();
  };
  return html`<div class="card"><h2>Invite somebody</h2>
    <form class="row" onSubmit=${add}>
      <label style=${{ flex: "1 1 200px", margin: 0 }}>Name<input name="name" required maxlength="79" /></label>
      <label style=${{ flex: "0 1 180px", margin: 0 }}>May<select name="role"><option value="annotator">compare and write</option><option value="viewer">only watch</option><option value="admin">do everything</option></select></label>
      <button class="main" style=${{ alignSelf: "flex-end" }}>Invite</button></form>
    ${invited && html`<div class="note gap" role="status"><p>Send this to ${invited.name}. It works once, within a week:</p>
      <div class="row"><code data-test="invitation">${address(invited.token)}</code><${Copy} text=${address(invited.token)} /></div></div>`}
    <div class="scroll gap" tabindex="0" role="region" aria-label="Accounts"><table class="accounts"><thead><tr><th>name</th><th>role</th><th class="wide">password</th><th class="wide">last seen</th><th></th></tr></thead><tbody>
      ${(data || []).map((row) => html`<tr><td>${row.name}${!row.active && html` <span class="chip bad">locked</span>`}${row.link_wanted && html` <span class="chip warn">asks for a new link</span>`}</td><td>${row.role}<div class="small soft narrow">${ago(row.seen)}</div></td><td class="wide">${row.password ? "yes" : "–"}</td><td class="small soft wide">${ago(row.seen)}</td>
        <td><button class="quiet" onClick=${() => invite(row)}>New link</button>${row.name !== me.value.name && html`<button class="quiet" onClick=${() => lock(row)}>${row.active ? "Lock" : "Unlock"}</button>`}</td></tr>`)}</tbody></table></div></div>`;
}
