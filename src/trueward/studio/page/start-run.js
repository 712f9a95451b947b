// Starting a recipe on a project's closed rounds, where whoever started the studio allows it; and the run that was started last.
import { attempt, encoded, get, post, say } from "./api.js";
import { useData, when } from "./parts.js";
import { Link } from "./place.js";
import { pieces } from "./signs.js";
import { html } from "./vendor.js";

const FEW = 12; // lines of the log that are shown at once

export function StartRun({ name, rounds }) {
  const path = `/api/projects/${encodeURIComponent(name)}/start`;
  const { data, again } = useData(() => get(path), path, 3000);
  if (!data?.allowed) return null;
  const { last, recipes } = data;
  const start = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    if (await attempt(() => post(path, { recipe: form.get("recipe"), run: form.get("run").trim() }))) say("It is starting.");
    again();
  };
  const stop = async () => {
    const reply = await attempt(() => post("/api/started/stop", {}));
    if (reply) say(reply.stopped ? "It ends after its step, and goes on from there by the same command." : "Nothing is running.");
    again();
  };
  const plain = name.normalize("NFKD").replace(/[^A-Za-z0-9.-]+/g, "-").replace(/^[-.]+/, "").slice(0, 40) || "run";
  return html`<div class="start-run" data-test="start-run"><h3>Start one here</h3>
    <form class="row" onSubmit=${start}><label>Recipe<select name="recipe">${recipes.map((recipe) => html`<option value=${recipe} selected=${recipe === "reviews"}>${recipe}</option>`)}</select></label>
      <label>Name of the run<input name="run" required maxlength="64" defaultValue=${`${plain}-${rounds}`} /></label>
      <button class="main" disabled=${last?.lives}>Start</button></form>
    ${last && html`<div class="note"><div class="row apart"><span><b>${pieces(last.run)}</b> (${pieces(last.recipe)} on ${pieces(last.project)}), started by ${pieces(last.by)} ${when(last.at)}: <span data-test="started">${state(last)}</span></span>
      <span class="row"><${Link} to=${`/runs/${encoded(last.run)}`} class="button">Its page</${Link}>${last.lives && html`<button onClick=${stop}>Stop it</button>`}</span></div>
      ${last.log && html`<details open=${!!last.code}><summary>Its log</summary><pre tabindex="0"><code>${pieces(last.log.trimEnd().split("\n").slice(-FEW).join("\n"))}</code></pre></details>`}</div>`}</div>`;
}

const state = ({ lives, code }) => (lives ? "running" : code === 0 ? "done" : code === null ? "no longer running" : code === 143 || code === -15 ? "stopped" : `ended with an error (code ${code})`);
