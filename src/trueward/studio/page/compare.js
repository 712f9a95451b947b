// Compare: two answers, one click. Keys do all of it.
import { attempt, me, say } from "./api.js";
import { different, Marked } from "./difference.js";
import { waiting } from "./outbox.js";
import { Copy, Dialog, Meter, PlainText, PromptText } from "./parts.js";
import { Link } from "./place.js";
import { sitting } from "./sitting.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor.js";

// key, side, strength, words, short words
const SCALE = [
  ["1", "left", 3, "A much better", "A"],
  ["2", "left", 2, "A better", "A"],
  ["3", "left", 1, "A slightly", "A"],
  ["4", null, null, "Tie", "Tie"],
  ["5", "right", 1, "B slightly", "B"],
  ["6", "right", 2, "B better", "B"],
  ["7", "right", 3, "B much better", "B"],
];
const REASONS = ["I can't judge this", "The prompt makes no sense", "Harmful content", "Broken text", "Something else"];
const MOST_SECONDS = 3600;

export function Compare({ name }) {
  const work = useMemo(() => sitting(name), [name]);
  const [open, setOpen] = useState(""); // help, skip, note
  const [both, setBoth] = useState(null);
  const [note, setNote] = useState("");
  const [differences, setDifferences] = useState(false);
  const current = useRef({ at: 0, id: "" });
  const item = work.items.value?.[0];

  useEffect(() => work.close, [work]);
  if (item && current.current.id !== item.assignment) current.current = { at: performance.now(), id: item.assignment };

  const answer = (what, announcement) => {
    if (!work.items.value?.length) return;
    const seconds = Math.min(MOST_SECONDS, Math.round(performance.now() - current.current.at) / 1000);
    const more = { ...(both && what.kind !== "skip" ? { both } : {}), ...(note.trim() ? { text: note.trim() } : {}) };
    work.answer({ ...what, ...more, seconds });
    setBoth(null);
    setNote("");
    setOpen("");
    document.getElementById("announcement").textContent = announcement;
  };
  const choose = ([, side, strength, words]) =>
    answer(side ? { kind: "win", side, strength } : { kind: "tie" }, `${words}. Next pair.`);
  const skip = (reason) => answer({ kind: "skip", reason }, "Skipped. Next pair.");
  const undo = async () => {
    if (await attempt(work.undo)) document.getElementById("announcement").textContent = "Taken back.";
  };

  // in a layout effect, so that the next key, however fast, finds the state that the last one left
  useLayoutEffect(() => {
    const keys = {
      ArrowLeft: () => choose(SCALE[1]),
      ArrowRight: () => choose(SCALE[5]),
      ArrowDown: () => choose(SCALE[3]),
      t: () => choose(SCALE[3]),
      s: () => setOpen("skip"),
      u: undo,
      g: () => setBoth((old) => (old === "good" ? null : "good")),
      b: () => setBoth((old) => (old === "bad" ? null : "bad")),
      d: () => setDifferences((old) => !old),
      n: () => setOpen("note"),
      "?": () => setOpen("help"),
    };
    for (const step of SCALE) keys[step[0]] = () => choose(step);
    const press = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      if (event.target.matches("input, textarea, select")) return;
      if (open === "skip" && REASONS[Number(event.key) - 1]) skip(REASONS[Number(event.key) - 1]);
      else if (!open) {
        const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
        if (!act || (event.key.startsWith("Arrow") && event.target.closest(".scrolls"))) return;
        if (!item && event.key !== "u" && event.key !== "?") return;
        act();
      } else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });

  const { done, left } = work.progress.value;
  return html`<div class="judge">
    <div class="row apart">
      <h1 style=${{ margin: 0, fontSize: "20px" }}>${name}</h1>
      <div class="where" style=${{ flex: "1 1 240px", maxWidth: "440px" }}>
        <${Meter} part=${done / (done + left || 1)} label="your part of the round" />
        <span class="num" data-test="progress">${done} done · ${left} left</span>
        ${waiting.value > 0 && html`<span class="chip warn" title="kept here and sent again">${waiting.value} to send</span>`}
      </div>
    </div>
    <div id="announcement" class="unseen" aria-live="polite"></div>
    ${work.about.value?.instructions && html`<${Instructions} text=${work.about.value.instructions} />`}
    ${item
      ? html`<${Pair} item=${item} differences=${differences} />
          <div class="dock">
            <div class="scale" role="group" aria-label="Which answer is better">
              ${SCALE.map(
                (step) => html`<button class=${step[1] === "left" ? "a" : step[1] === "right" ? "b" : ""}
                  title=${step[3]} onClick=${() => choose(step)}>
                  <span class="weight" aria-hidden="true">${[...Array(step[2] || 0)].map(() => html`<i></i>`)}</span>
                  <span class="words">${step[3]}</span><span class="letter-only" aria-hidden="true">${step[4]}</span><kbd aria-hidden="true">${step[0]}</kbd></button>`,
              )}
            </div>
            <div class="tools" style=${{ marginTop: "10px" }}>
              <button onClick=${() => setOpen("skip")}>Skip <kbd>S</kbd></button>
              <button onClick=${undo}>Undo <kbd>U</kbd></button>
              <button aria-pressed=${both === "good"} onClick=${() => setBoth(both === "good" ? null : "good")}>Both good <kbd>G</kbd></button>
              <button aria-pressed=${both === "bad"} onClick=${() => setBoth(both === "bad" ? null : "bad")}>Both bad <kbd>B</kbd></button>
              <button aria-pressed=${!!note} onClick=${() => setOpen("note")}>Note <kbd>N</kbd></button>
              <button aria-pressed=${differences} onClick=${() => setDifferences(!differences)}>Differences <kbd>D</kbd></button>
              <button class="quiet end" onClick=${() => setOpen("help")}>Keys <kbd>?</kbd></button>
            </div>
          </div>`
      : html`<${Nothing} work=${work} onUndo=${undo} />`}
    ${open === "skip" &&
    html`<${Dialog} title="Why skip it?" onClose=${() => setOpen("")}>
      <div class="reasons">${REASONS.map((r, i) => html`<button onClick=${() => skip(r)}><kbd>${i + 1}</kbd> ${r}</button>`)}</div>
    </${Dialog}>`}
    ${open === "note" && html`<${Note} note=${note} onSave=${setNote} onClose=${() => setOpen("")} />`}
    ${open === "help" && html`<${Help} onClose=${() => setOpen("")} />`}
  </div>`;
}

function Pair({ item, differences }) {
  const marked = useMemo(
    () => (differences ? different(item.left.text, item.right.text) : null),
    [item.assignment, differences],
  );
  const side = (letter, answer, i) => html`<section class="answer" aria-label=${`Answer ${letter}`} tabindex="0">
    <h2><span class=${`letter ${letter.toLowerCase()}`}>${letter}</span>${!answer.finished && html`<span class="chip">cut</span>`}</h2>
    ${marked ? html`<${Marked} parts=${marked[i]} />` : html`<${PlainText} text=${answer.text} />`}
  </section>`;
  return html`<section class="prompt" aria-label="Prompt" tabindex="0"><h2>Prompt</h2><${PromptText} prompt=${item.prompt} /></section>
    <div class="answers" key=${item.assignment}>${side("A", item.left, 0)}${side("B", item.right, 1)}</div>`;
}

function Instructions({ text }) {
  const [seen, setSeen] = useState(true);
  return html`<details class="small soft" open=${seen} onToggle=${(e) => setSeen(e.target.open)}>
    <summary>What to go by</summary><p class="verbatim" style=${{ marginTop: "4px" }}>${text}</p></details>`;
}

function Nothing({ work, onUndo }) {
  if (work.problem.value) return html`<p class="note bad" role="alert">${work.problem.value}</p>`;
  if (work.items.value === null) return html`<p class="empty" aria-busy="true">Fetching pairs …</p>`;
  if (me.value.role === "panelist") return html`<${Completed} of=${work.completed.value} onUndo=${onUndo} />`;
  return html`<div class="card empty" data-test="finished">
    <h2>Nothing left for you here</h2>
    <p>${work.progress.value.done ? `You have judged ${work.progress.value.done} in this round. Thank you.` : "There are no pairs to judge yet."}</p>
    <div class="row" style=${{ justifyContent: "center" }}>
      <button onClick=${onUndo}>Undo the last one <kbd>U</kbd></button>
      <button onClick=${() => work.refill().then(() => work.items.value.length || say("Still nothing."))}>Look again</button>
      <${Link} to="/" class="button">Home</${Link}>
    </div>
  </div>`;
}

// The end of a panel's part: its code, and the way back to where they came from.
function Completed({ of, onUndo }) {
  if (!of) return html`<p class="empty" aria-busy="true">Sending your answers …</p>`;
  if (!of.items)
    return html`<div class="card empty" data-test="completed"><h2>No pairs are left</h2>
      <p>Others have judged them all, so there is nothing to do. Please return the study.</p></div>`;
  return html`<div class="card empty" data-test="completed">
    <h2>That was all. Thank you!</h2>
    <p>You have judged ${of.items} ${of.items === 1 ? "pair" : "pairs"}, and your answers are stored.</p>
    ${of.code && html`<p>Your completion code:</p><div class="row" style=${{ justifyContent: "center" }}><code data-test="code" style=${{ fontSize: "20px" }}>${of.code}</code><${Copy} text=${of.code} /></div>`}
    <div class="row gap" style=${{ justifyContent: "center" }}>
      ${of.redirect && html`<a class="button main" href=${of.redirect} rel="noreferrer">Complete the study</a>`}
      <button onClick=${onUndo}>Undo the last one <kbd>U</kbd></button></div>
    ${!of.code && !of.redirect && html`<p class="soft">You can close this page.</p>`}
  </div>`;
}

function Note({ note, onSave, onClose }) {
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

const Help = ({ onClose }) => html`<${Dialog} title="Keys" onClose=${onClose}>
  <dl class="keys">
    <dt><kbd>1</kbd> <kbd>2</kbd> <kbd>3</kbd></dt><dd>A is much better, better, slightly better</dd>
    <dt><kbd>4</kbd> or <kbd>T</kbd></dt><dd>tie</dd>
    <dt><kbd>5</kbd> <kbd>6</kbd> <kbd>7</kbd></dt><dd>B is slightly better, better, much better</dd>
    <dt><kbd>←</kbd> <kbd>→</kbd> <kbd>↓</kbd></dt><dd>A is better, B is better, tie</dd>
    <dt><kbd>S</kbd></dt><dd>skip, with a reason</dd>
    <dt><kbd>U</kbd></dt><dd>undo</dd>
    <dt><kbd>G</kbd> <kbd>B</kbd></dt><dd>both are good, both are bad (beside your choice)</dd>
    <dt><kbd>D</kbd> <kbd>N</kbd></dt><dd>show the differences; add a note</dd>
  </dl>
  <form method="dialog"><button class="main">Go on</button></form>
</${Dialog}>`;
