// Compare: two answers, one click. Keys do all of it.
import { announce, Elsewhere, Instructions, Nothing, Note, Where } from "./around.js";
import { attempt } from "./api.js";
import { different, Marked } from "./difference.js";
import { EditAnswer } from "./edit.js";
import { onwardAll, Pane } from "./pane.js";
import { Dialog } from "./parts.js";
import { lean, Questions, rates, Rating, useQuestions } from "./questions.js";
import { SCALE } from "./scale.js";
import { sitting } from "./sitting.js";
import { PromptText } from "./talk.js";
import { raw, turnRaw, Words } from "./words.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor.js";

const MOST_SECONDS = 3600;

export function Compare({ name }) {
  const work = useMemo(() => sitting(name), [name]);
  const [open, setOpen] = useState(""); // help, skip, note
  const [both, setBoth] = useState(null);
  const [note, setNote] = useState("");
  const [differences, setDifferences] = useState(false);
  const current = useRef({ at: 0, id: "", ends: new Set() });
  const [read, setRead] = useState(""); // the pair of which both answers were seen to their ends
  const item = work.items.value?.[0];
  const reasons = work.about.value?.skip_reasons ?? [];
  const asking = useQuestions(work.about.value?.criteria ?? [], item?.assignment);

  useEffect(() => work.close, [work]);
  if (item && current.current.id !== item.assignment)
    current.current = { at: performance.now(), id: item.assignment, ends: new Set() };
  const seen = (letter) => {
    const { id, ends } = current.current;
    if (ends.add(letter).size === 2) setRead(id);
  };

  const answer = (what, announcement) => {
    if (!work.items.value?.length) return;
    scrollTo(0, 0); // on a phone the page itself scrolls, and the next pair begins at its top
    const seconds = Math.min(MOST_SECONDS, Math.round(performance.now() - current.current.at) / 1000);
    const further = what.kind !== "skip" && asking.all.length ? { criteria: asking.value() } : {};
    const more = { ...further, ...(both && what.kind !== "skip" ? { both } : {}), ...(note.trim() ? { text: note.trim() } : {}) };
    work.answer({ ...what, ...more, seconds, read: current.current.ends.size === 2 });
    setBoth(null);
    setNote("");
    setOpen("");
    announce(announcement);
  };
  // a choice answers the question at hand; the overall one, which is the last, ends the pair
  const choose = (step) => {
    const [, side, strength, words] = step;
    if (asking.step && !asking.step.side) return give(lean(step));
    if (asking.step) return;
    return answer(side ? { kind: "win", side, strength } : { kind: "tie" }, `${words}. Next pair.`);
  };
  const give = (value) => {
    asking.give(value);
    announce("Next question.");
  };
  const skip = (reason) => answer({ kind: "skip", reason }, "Skipped. Next pair.");
  const undo = async () => {
    if (asking.back()) return;
    scrollTo(0, 0);
    if (await attempt(work.undo)) announce("Taken back.");
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
      r: turnRaw,
      m: onwardAll,
      n: () => setOpen("note"),
      e: () => setOpen("edit"),
      "?": () => setOpen("help"),
    };
    for (const step of SCALE) keys[step[0]] = () => (asking.step?.side ? rates(step[0]) && give(rates(step[0])) : choose(step));
    const press = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      if (event.target.matches("input, textarea, select")) return;
      if (open === "skip" && reasons[Number(event.key) - 1]) skip(reasons[Number(event.key) - 1]);
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

  const kind = work.about.value?.kind ?? "compare";
  if (kind !== "compare") return html`<${Elsewhere} kind=${kind} name=${name} />`;
  return html`<div class="judge">
    <div class="head">
      <h1>${name}</h1>
      ${work.about.value?.instructions && html`<${Instructions} project=${name} text=${work.about.value.instructions} />`}
      <${Where} work=${work} />
    </div>
    <div id="announcement" class="unseen" aria-live="polite"></div>
    ${item
      ? html`<${Pair} key=${item.assignment} item=${item} differences=${differences} onEnd=${seen} />
          <div class="dock">
            ${read !== item.assignment && html`<button class="below" onClick=${onwardAll}>The answers go on below</button>`}
            <${Questions} asking=${asking} />
            ${asking.step?.side && html`<${Rating} step=${asking.step} onGive=${give} />`}
            ${!asking.step?.side && html`<div class="sides" aria-hidden="true"><span class="a"><b class="letter">A</b> is</span><span class="b"><b class="letter b">B</b> is</span></div>`}
            ${!asking.step?.side && html`<div class="scale" role="group" aria-label=${asking.step?.question ?? "Which answer is better"}>
              ${SCALE.map(
                (step) => html`<button class=${step[1] === "left" ? "a" : step[1] === "right" ? "b" : ""}
                  title=${step[3]} onClick=${() => choose(step)}>
                  <span class="weight" aria-hidden="true">${[...Array(step[2] || 0)].map(() => html`<i></i>`)}</span>
                  <span class="words">${step[3]}</span><span class="short" aria-hidden="true">${step[4]}</span><kbd aria-hidden="true">${step[0]}</kbd></button>`,
              )}
            </div>`}
            <div class="tools">
              <button onClick=${() => setOpen("skip")}>Skip <kbd>S</kbd></button>
              <button onClick=${undo}>Undo <kbd>U</kbd></button>
              <button aria-pressed=${both === "good"} onClick=${() => setBoth(both === "good" ? null : "good")}>Both good <kbd>G</kbd></button>
              <button aria-pressed=${both === "bad"} onClick=${() => setBoth(both === "bad" ? null : "bad")}>Both bad <kbd>B</kbd></button>
              <button aria-pressed=${!!note} onClick=${() => setOpen("note")}>Note <kbd>N</kbd></button>
              <button onClick=${() => setOpen("edit")}>Edit <kbd>E</kbd></button>
              <button aria-pressed=${differences} onClick=${() => setDifferences(!differences)}>Differences <kbd>D</kbd></button>
              <button aria-pressed=${raw.value} onClick=${turnRaw}>Raw <kbd>R</kbd></button>
              <button class="quiet end" onClick=${() => setOpen("help")}>Keys <kbd>?</kbd></button>
            </div>
          </div>`
      : html`<${Nothing} work=${work} name=${name} onUndo=${undo} />`}
    ${open === "skip" &&
    html`<${Dialog} title="Why skip it?" onClose=${() => setOpen("")}>
      <div class="reasons">${reasons.map((r, i) => html`<button onClick=${() => skip(r)}><kbd>${i + 1}</kbd> ${r}</button>`)}</div>
    </${Dialog}>`}
    ${open === "note" && html`<${Note} note=${note} onSave=${setNote} onClose=${() => setOpen("")} />`}
    ${open === "edit" && item && html`<${EditAnswer} item=${item} onClose=${() => setOpen("")} />`}
    ${open === "help" && html`<${Help} onClose=${() => setOpen("")} />`}
  </div>`;
}

function Pair({ item, differences, onEnd }) {
  const marked = useMemo(
    () => (differences ? different(item.left.text, item.right.text) : null),
    [item.assignment, differences],
  );
  const side = (letter, answer, i) => html`<${Pane} kind="answer" label=${`Answer ${letter}`} onEnd=${() => onEnd(letter)}>
    <h2><span class=${`letter ${letter.toLowerCase()}`}>${letter}</span>${!answer.finished && html`<span class="chip">cut</span>`}</h2>
    ${marked ? html`<${Marked} parts=${marked[i]} />` : html`<${Words} text=${answer.text} />`}
  </${Pane}>`;
  return html`<${Pane} kind="prompt" label="Prompt"><h2>Prompt</h2><${PromptText} prompt=${item.prompt} /></${Pane}>
    <div class="answers">${side("A", item.left, 0)}${side("B", item.right, 1)}</div>`;
}

const Help = ({ onClose }) => html`<${Dialog} title="Keys" onClose=${onClose}>
  <dl class="keys">
    <dt><kbd>1</kbd> <kbd>2</kbd> <kbd>3</kbd></dt><dd>A is much better, better, slightly better</dd>
    <dt><kbd>4</kbd> or <kbd>T</kbd></dt><dd>tie</dd>
    <dt><kbd>5</kbd> <kbd>6</kbd> <kbd>7</kbd></dt><dd>B is slightly better, better, much better</dd>
    <dt><kbd>←</kbd> <kbd>→</kbd> <kbd>↓</kbd></dt><dd>A is better, B is better, tie</dd>
    <dt><kbd>1</kbd> to <kbd>5</kbd></dt><dd>where an answer is rated: from worst to best</dd>
    <dt><kbd>S</kbd></dt><dd>skip, with a reason</dd>
    <dt><kbd>U</kbd></dt><dd>undo: the question before, or the pair before</dd>
    <dt><kbd>G</kbd> <kbd>B</kbd></dt><dd>both are good, both are bad (beside your choice)</dd>
    <dt><kbd>D</kbd> <kbd>N</kbd></dt><dd>show the differences; add a note</dd>
    <dt><kbd>E</kbd></dt><dd>make an answer better, in your own words</dd>
    <dt><kbd>M</kbd> <kbd>R</kbd></dt><dd>more of the texts; every sign as it was written (raw)</dd>
  </dl>
  <form method="dialog"><button class="main">Go on</button></form>
</${Dialog}>`;
