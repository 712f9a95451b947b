// People: accounts and invitations for an admin; for everybody their own password and way out.
import { attempt, get, me, post, say } from "./api.js";
import { Credentials } from "./credentials.js";
import { Copy, useData } from "./parts.js";
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
    <div class="scroll gap" tabindex="0" role="region" aria-label="Accounts"><table><thead><tr><th>name</th><th>role</th><th>password</th><th></th></tr></thead><tbody>
      ${(data || []).map((row) => html`<tr><td>${row.name}${!row.active && html` <span class="chip bad">locked</span>`}</td><td>${row.role}</td><td>${row.password ? "yes" : "–"}</td>
        <td><button class="quiet" onClick=${() => invite(row)}>New link</button>${row.name !== me.value.name && html`<button class="quiet" onClick=${() => lock(row)}>${row.active ? "Lock" : "Unlock"}</button>`}</td></tr>`)}</tbody></table></div></div>`;
}

function Password() {
  const change = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const body = { password: form.get("password"), current: form.get("current") };
    if (await attempt(() => post("/api/password", body))) {
      say("The password is changed; your other sessions, tokens and links have ended.");
      event.target.reset();
    }
  };
  return html`<form class="card" onSubmit=${change}><h2>Your password</h2>
    <div class="grid"><label>The present one, if you have one<input name="current" type="password" autocomplete="current-password" /></label>
    <label>The new one, 10 characters or more<input name="password" type="password" minlength="10" required autocomplete="new-password" /></label></div><button>Change it</button></form>`;
}
