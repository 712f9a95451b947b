// Links for panels: each opens one project to many people, blind, and ends with a code.
import { attempt, get, post } from "./api.js";
import { Copy, useData, when } from "./parts.js";
import { html, useState } from "./vendor.js";

const PROLIFIC = "PROLIFIC_PID={{%PROLIFIC_PID%}}&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}";

export function Panels({ path }) {
  const { data, again } = useData(() => get(`${path}/panels`), path, 6000);
  const [made, setMade] = useState("");
  const add = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const text = (name) => form.get(name).trim();
    const body = { items: Number(text("items")), places: Number(text("places")), code: text("code"), redirect: text("redirect") };
    const reply = await attempt(() => post(`${path}/panels`, body));
    if (!reply) return;
    setMade(`${location.origin}/panel/${reply.key}?${PROLIFIC}`);
    again();
  };
  const turn = async (row) => {
    await attempt(() => post(`/api/panels/${row.id}/active`, { active: !row.active }));
    again();
  };
  return html`<div class="card" data-test="panels"><h2>A link for a panel</h2>
    <form onSubmit=${add}><div class="grid">
      <label>Pairs for each person<input name="items" type="number" min="1" max="1000" defaultValue="20" required /></label>
      <label>People at most<input name="places" type="number" min="1" max="10000" defaultValue="50" required /></label>
      <label>Completion code<input name="code" maxlength="100" /></label>
      <label>or address at the end<input name="redirect" type="url" maxlength="500" placeholder="app.prolific.com/submissions/complete?cc=…, with https" /></label></div>
      <button class="main">Make the link</button></form>
    ${made && html`<div class="gap"></div><div class="note" role="status"><p>Give this to the panel; it is shown once:</p>
      <div class="row"><code data-test="panel-link">${made}</code><${Copy} text=${made} /></div></div>`}
    ${data?.length > 0 && html`<div class="scroll gap" tabindex="0" role="region" aria-label="Links for panels"><table>
      <thead><tr><th>made</th><th class="num">pairs each</th><th class="num">began</th><th class="num">completed</th><th>code</th><th></th></tr></thead>
      <tbody>${data.map((row) => html`<tr><td>${when(row.created)}</td><td class="num">${row.items}</td><td class="num">${row.begun} of ${row.places}</td><td class="num">${row.completed}</td>
        <td class="mono">${row.code || (row.redirect ? "an address" : "–")}</td><td><button class="quiet" onClick=${() => turn(row)}>${row.active ? "Close" : "Open again"}</button></td></tr>`)}</tbody></table></div>`}
    <p class="small soft gap">Who opens it judges these pairs alone, without name or password, and never sees who wrote which answer. Prolific's three values are kept with every event that is exported.</p></div>`;
}
