// An answer made better by whoever compares: it is kept as a demonstration, and beats what it was made from.
import { newKey, say } from "./api.js";
import { put } from "./outbox.js";
import { Dialog } from "./parts.js";
import { html, useState } from "./vendor.js";

// A text that can be stored: halves of characters and NULs, which come in by pasting, are replaced.
const whole = (text) => text.replace(/[\p{Surrogate}\0]/gu, "\ufffd");

export function EditAnswer({ item, onClose }) {
  const [side, setSide] = useState("left");
  const [texts, setTexts] = useState({ left: item.left.text, right: item.right.text });
  const text = texts[side];
  const fresh = text.trim() && text !== item[side].text;
  const save = (event) => {
    event.preventDefault();
    if (!fresh) return;
    put("/api/edits", { assignment: item.assignment, key: newKey(), side, text: whole(text) });
    say("Kept. Now say which of the two was better, as they stand.");
    onClose();
  };
  const choice = (value, letter) => html`<label class="check"><input type="radio" name="side" value=${value} checked=${side === value} onChange=${() => setSide(value)} /><span class=${`letter ${letter.toLowerCase()}`}>${letter}</span></label>`;
  return html`<${Dialog} title="Make an answer better" onClose=${onClose} wide=${true}><form onSubmit=${save}>
    <div class="row" role="group" aria-label="Which answer">${choice("left", "A")}${choice("right", "B")}</div>
    <label>The text as it should be<textarea rows="12" maxlength="100000" autofocus value=${text} onInput=${(e) => setTexts({ ...texts, [side]: e.target.value })}
      onKeyDown=${(e) => e.key === "Enter" && (e.ctrlKey || e.metaKey) && save(e)}></textarea></label>
    <div class="row"><button class="main" disabled=${!fresh}>Keep it <kbd>Ctrl ↵</kbd></button><span class="small soft">It becomes an example to follow, and counts as better than what it was made from.</span></div></form></${Dialog}>`;
}
