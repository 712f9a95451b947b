// One's own password: asked for at the first entry, and changed under People.
import { attempt, me, post, say } from "./api.js";
import { html } from "./vendor.js";

// onDone: called when there is one.
export function Password({ first = false, onDone, onLater }) {
  const change = async (event) => {
    event.preventDefault();
    const form = event.target;
    const given = new FormData(form);
    const body = { password: given.get("password"), current: given.get("current") ?? "" };
    if (!(await attempt(() => post("/api/password", body)))) return;
    say(first ? "That is your way in from now on, with your name." : "The password is changed; your other sessions, tokens and links have ended.");
    me.value = { ...me.value, password: true };
    form.reset();
    onDone?.();
  };
  const has = me.value.password;
  return html`<form class="card" onSubmit=${change}><h2>${first ? "Choose a password" : "Your password"}</h2>
    ${first && html`<p>Your link worked this once. With a password you come in from anywhere, as <b>${me.value.name}</b>.</p>`}
    <input class="unseen" type="text" name="name" autocomplete="username" value=${me.value.name} tabindex="-1" aria-hidden="true" readonly />
    <div class="grid">${has && html`<label>The present one<input name="current" type="password" autocomplete="current-password" required /></label>`}
      <label>${has ? "The new one" : "A password"}, 10 characters or more<input name="password" type="password" minlength="10" required autocomplete="new-password" /></label></div>
    <div class="row"><button class=${first ? "main" : ""}>${has ? "Change it" : "Keep it"}</button>${onLater && html`<button type="button" class="quiet" onClick=${onLater}>Not now</button>`}</div></form>`;
}
