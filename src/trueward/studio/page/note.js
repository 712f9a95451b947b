// A note on a run, kept in the studio; the run's files stay as they are.
import { attempt, encoded, me, post } from "./api.js";
import { when } from "./parts.js";
import { pieces } from "./signs.js";
import { html, useState } from "./vendor.js";

export function Note({ name, note, onChange }) {
  const [open, setOpen] = useState(false);
  const rules = me.value.role === "admin";
  const keep = async (event) => {
    event.preventDefault();
    const text = new FormData(event.currentTarget).get("note");
    const made = await attempt(() => post(`/api/runs/${encoded(name)}/note`, { text }));
    if (!made) return;
    onChange(made.note);
    setOpen(false);
  };
  if (open)
    return html`<form class="run-note" onSubmit=${keep}><label>A note on this run<textarea name="note" maxlength="4000" autofocus>${note?.text ?? ""}</textarea></label>
      <div class="row"><button class="main">Keep the note</button><button type="button" onClick=${() => setOpen(false)}>Not now</button></div></form>`;
  if (!note && !rules) return null;
  return html`<div class="run-note">${note && html`<p class="told">${pieces(note.text)}</p><span class="small soft">${pieces(note.by)}, ${when(note.at)}</span>`}
    ${rules && html`<button class="quiet" onClick=${() => setOpen(true)}>${note ? "Change the note" : "+ note"}</button>`}</div>`;
}
