// What can be changed of a project: what people go by, how many an item takes, reasons to skip, who works in it, its end.
import { attempt, get, post, say } from "./api.js";
import { Dialog, useData } from "./parts.js";
import { QuestionList } from "./questions.js";
import { pieces } from "./signs.js";
import { html, useState } from "./vendor.js";

export const rate = (percent) => (percent === "" ? null : Number(percent) / 100);
const lines = (text) => [...new Set(text.split("\n").map((line) => line.trim()).filter(Boolean))];

export function Settings({ path, data, onClose }) {
  const compares = data.kind === "compare";
  const people = useData(() => get("/api/accounts"), "accounts");
  const [assigned, setAssigned] = useState(data.assigned);
  const [criteria, setCriteria] = useState(data.criteria);
  const save = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const reasons = lines(form.get("reasons"));
    const body = { instructions: form.get("instructions").trim(), overlap: Number(form.get("overlap")), skip_reasons: reasons.length ? reasons : null, assigned };
    if (await attempt(() => post(`${path}/settings`, compares ? { ...body, check_rate: rate(form.get("checks")), criteria } : body))) onClose();
  };
  const archive = async () => {
    if (!(await attempt(() => post(`${path}/settings`, { archived: !data.archived })))) return;
    say(data.archived ? "It is back: people can work in it again." : "It is archived. Nothing is lost, and it can come back.");
    onClose();
  };
  const workers = (people.data ?? []).filter((row) => row.role !== "viewer");
  const turn = (name) => setAssigned((old) => (old.includes(name) ? old.filter((each) => each !== name) : [...old, name]));
  return html`<${Dialog} title=${`Settings of ${data.name}`} onClose=${onClose} wide=${true}><form onSubmit=${save} class="settings">
    <label>What should they go by? (Markdown)<textarea name="instructions" maxlength="20000" rows="7" defaultValue=${data.instructions}></textarea></label>
    <div class="grid"><label>People an item<input name="overlap" type="number" min="1" max="100" required defaultValue=${data.overlap} /></label>
      ${compares && html`<label>Check pairs, % of each person’s<input name="checks" type="number" min="0" max="50" step="any" placeholder="as they are spread"
        defaultValue=${data.check_rate === null ? "" : 100 * data.check_rate} /></label>`}</div>
    <label>Reasons to skip, one a line, at most nine<textarea name="reasons" rows="4" placeholder="the usual five" defaultValue=${(data.skip_reasons ?? []).join("\n")}></textarea></label>
    ${compares && html`<${QuestionList} criteria=${criteria} onChange=${setCriteria} />`}
    <fieldset><legend>Who works in it</legend><p class="small soft">${assigned.length ? "Only these, and who comes by a panel’s link." : "Everybody may. Tick some, and only they do."}</p>
      <div class="choices">${workers.map((row) => html`<label class="check" key=${row.name}><input type="checkbox" checked=${assigned.includes(row.name)} onChange=${() => turn(row.name)} />${pieces(row.name)}</label>`)}</div></fieldset>
    <div class="row apart gap"><button class="main">Save</button><button type="button" onClick=${archive}>${data.archived ? "Take it out of the archive" : "Archive it"}</button></div>
  </form></${Dialog}>`;
}
