// What is around a turn at a pair or a ranking: what to go by, how far one is, a note, and what stands there when nothing is left.
import { me, say } from "./api.js";
import { waiting } from "./outbox.js";
import { Copy, Dialog, Meter } from "./parts.js";
import { Link } from "./place.js";
import { Taught } from "./taught.js";
import { html, useEffect, useState } from "./vendor.js";
import { Words } from "./words.js";

// Say it to who can't see the page; when it has been left meanwhile, there is nobody to tell.
export function announce(text) {
  const place = document.getElementById("announcement");
  if (place) place.textContent = text;
}

export function Where({ work }) {
  const { done, left } = work.progress.value;
  return html`<div class="where">
        <${Meter} part=${done / (done + left || 1)} label="your part of the round" />
        <span class="num" data-test="progress">${done} done · ${left} left</span>
        ${waiting.value > 0 && html`<span class="chip warn" title="kept here and sent again">${waiting.value} to send</span>`}
      </div>`;
}

// Open at the first visit, and again when it says something else; folded from then on, and one press away.
export function Instructions({ project, text }) {
  const place = `guidelines:${project}`;
  const mark = `${text.length} ${text.slice(0, 200)}`;
  const [seen, setSeen] = useState(localStorage.getItem(place) !== mark);
  useEffect(() => localStorage.setItem(place, mark), [mark]);
  return html`<details class="guidelines" open=${seen} onToggle=${(e) => setSeen(e.target.open)}>
    <summary>What to go by</summary><div class="card small" tabindex="0" role="region" aria-label="What to go by"><${Words} text=${text} /></div></details>`;
}

// things: what is judged, by its name.
export function Nothing({ work, name, onUndo, things = "pairs" }) {
  if (work.problem.value) return html`<div class="card empty"><p class="note bad" role="alert">${work.problem.value}</p>${me.value.role !== "panelist" && html`<${Link} to="/" class="button main">Home</${Link}>`}</div>`;
  if (work.items.value === null) return html`<p class="empty" aria-busy="true">Fetching ${things} …</p>`;
  if (me.value.role === "panelist") return html`<${Completed} of=${work.completed.value} onUndo=${onUndo} things=${things} />`;
  return html`<div><div class="card empty" data-test="finished">
    <h2>Nothing left for you here</h2>
    <p>${work.progress.value.done ? `You have judged ${work.progress.value.done} in this round. Thank you.` : `There are no ${things} to judge yet.`}</p>
    <div class="row" style=${{ justifyContent: "center" }}>
      <button onClick=${onUndo}>Undo the last one <kbd>U</kbd></button>
      <button onClick=${() => work.refill().then(() => work.items.value.length || say("Still nothing."))}>Look again</button>
      <${Link} to="/" class="button">Home</${Link}>
    </div>
  </div>${work.progress.value.done > 0 && things === "pairs" && html`<${Taught} name=${name} />`}</div>`;
}

// A project of another kind than this page is for: the way to the right one.
export const Elsewhere = ({ kind, name }) => html`<div class="card empty"><h1>${name}</h1><p>People ${kind} in this project.</p>
  <${Link} to=${`/${kind}/${encodeURIComponent(name)}`} class="button main">${kind === "write" ? "Write" : kind === "rank" ? "Rank" : "Compare"}</${Link}></div>`;

// The end of a panel's part: its code, and the way back to where they came from.
function Completed({ of, onUndo, things }) {
  if (!of) return html`<p class="empty" aria-busy="true">Sending your answers …</p>`;
  if (!of.items)
    return html`<div class="card empty" data-test="completed"><h2>No ${things} are left</h2>
      <p>Others have judged them all, so there is nothing to do. Please return the study.</p></div>`;
  return html`<div class="card empty" data-test="completed">
    <h2>That was all. Thank you!</h2>
    <p>You have judged ${of.items} ${of.items === 1 ? things.slice(0, -1) : things}, and your answers are stored.</p>
    ${of.code && html`<p>Your completion code:</p><div class="row" style=${{ justifyContent: "center" }}><code data-test="code" style=${{ fontSize: "20px" }}>${of.code}</code><${Copy} text=${of.code} /></div>`}
    <div class="row gap" style=${{ justifyContent: "center" }}>
      ${of.redirect && html`<a class="button main" href=${of.redirect} rel="noreferrer">Complete the study</a>`}
      <button onClick=${onUndo}>Undo the last one <kbd>U</kbd></button></div>
    ${!of.code && !of.redirect && html`<p class="soft">You can close this page.</p>`}
  </div>`;
}

export function Note({ note, onSave, onClose }) {
  const [text, setText] = useState(note);
  const save = (event) => {
    event.preventDefault();
    onSave(text);
    onClose();
  };
  return html`<${Dialog} title="Why? (if you like)" onClose=${onClose}>
    <form onSubmit=${save}>
      <label>It is stored with your next choice.
        <textarea autofocus maxlength="5000" value=${text} onInput=${(e) => setText(e.target.value)}
          onKeyDown=${(e) => e.key === "Enter" && (e.ctrlKey || e.metaKey) && save(e)}></textarea></label>
      <button class="main">Keep the note</button>
    </form>
  </${Dialog}>`;
}
