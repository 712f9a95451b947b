// Rank: several answers to a prompt, put in order by dragging or by keys. The first is the best; answers may be as good as each other.
import { attempt, say } from "./api.js";
import { announce, Elsewhere, Instructions, Nothing, Note, Where } from "./around.js";
import { useDrag } from "./drag.js";
import { onwardAll, Pane } from "./pane.js";
import { Dialog } from "./parts.js";
import { letter, moved, ordered, places, ranks, spelled, tied } from "./ranking.js";
import { sitting } from "./sitting.js";
import { PromptText } from "./talk.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor.js";
import { raw, turnRaw, Words } from "./words.js";

const MOST_SECONDS = 3600;

export function Rank({ name }) {
  const work = useMemo(() => sitting(name), [name]);
  const [open, setOpen] = useState(""); // help, skip, note
  const [note, setNote] = useState("");
  const [state, setState] = useState({ id: "", order: [], at: 0, touched: false, sure: false });
  const current = useRef({ at: 0, id: "", ends: new Set() });
  const [read, setRead] = useState("");
  const follow = useRef(false); // whether the card at hand takes the focus after the next change
  const item = work.items.value?.[0];
  const reasons = work.about.value?.skip_reasons ?? [];
  const here = item && state.id === item.assignment ? state : begun(item);
  const { order, at } = here;

  useEffect(() => work.close, [work]);
  if (item && current.current.id !== item.assignment)
    current.current = { at: performance.now(), id: item.assignment, ends: new Set() };
  const seen = (i) => current.current.ends.add(i).size === order.length && setRead(current.current.id);
  const change = (next, to, words) => {
    setState({ ...here, order: next, at: to, touched: true });
    announce(words ?? `${letter(next[to].i)} has place ${places(next)[to]} of ${next.length}.`);
  };
  const move = (from, to) => item && to >= 0 && to < order.length && change(moved(order, from, to), to);
  const tie = (which) => which > 0 && change(tied(order, which), which, `${letter(order[which].i)} is ${order[which].tied ? "worse than" : "as good as"} ${letter(order[which - 1].i)}.`);
  const look = (to) => to >= 0 && to < order.length && setState({ ...here, at: to });
  const [drag, begin] = useDrag(".ranked", move);

  const answer = (what, announcement) => {
    if (!item) return;
    scrollTo(0, 0);
    const seconds = Math.min(MOST_SECONDS, Math.round(performance.now() - current.current.at) / 1000);
    work.answer({ ...what, ...(note.trim() ? { text: note.trim() } : {}), seconds, read: current.current.ends.size === order.length });
    setNote("");
    setOpen("");
    announce(announcement);
  };
  const keep = () => {
    if (here.touched || here.sure) return answer({ kind: "rank", ranks: ranks(order) }, "Kept. The next one.");
    setState({ ...here, sure: true });
    say("Nothing was moved yet. Once more, if the order is right as it stands.");
  };
  const skip = (reason) => answer({ kind: "skip", reason }, "Skipped. The next one.");
  const undo = async () => {
    scrollTo(0, 0);
    if (await attempt(work.undo)) announce("Taken back.");
  };

  useLayoutEffect(() => {
    if (!follow.current) return;
    follow.current = false;
    const card = document.querySelectorAll(".ranked")[at];
    card?.focus({ preventScroll: true });
    card?.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  useLayoutEffect(() => {
    const back = (event) => (event.shiftKey ? move(at, at - 1) : look(at - 1));
    const on = (event) => (event.shiftKey ? move(at, at + 1) : look(at + 1));
    const keys = {
      ArrowLeft: back, ArrowUp: back, ArrowRight: on, ArrowDown: on,
      k: () => look(at - 1), j: () => look(at + 1), "=": () => tie(at), t: () => tie(at),
      Enter: keep, s: () => setOpen("skip"), u: undo, n: () => setOpen("note"), r: turnRaw, m: onwardAll, "?": () => setOpen("help"),
    };
    const press = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.matches("input, textarea, select")) return;
      if (event.key === "Enter" && (event.repeat || event.target.matches("button, a, summary"))) return;
      if (open === "skip" && reasons[Number(event.key) - 1]) skip(reasons[Number(event.key) - 1]);
      else if (!open) {
        const digit = /^[1-9]$/.test(event.key) && Number(event.key) <= order.length;
        const act = digit ? () => move(at, Number(event.key) - 1) : keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
        if (!act || (!item && event.key !== "u" && event.key !== "?")) return;
        follow.current = digit || event.key.startsWith("Arrow") || "jkt=".includes(event.key.toLowerCase());
        act(event);
      } else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });

  const kind = work.about.value?.kind ?? "rank";
  if (kind !== "rank") return html`<${Elsewhere} kind=${kind} name=${name} />`;
  const places_now = places(order);
  return html`<div class="judge rank">
    <div class="head"><h1>${name}</h1>
      ${work.about.value?.instructions && html`<${Instructions} project=${name} text=${work.about.value.instructions} />`}
      <${Where} work=${work} /></div>
    <div id="announcement" class="unseen" aria-live="polite"></div>
    ${item
      ? html`<${Pane} key=${item.assignment} kind="prompt" label="Prompt"><h2>Prompt</h2><${PromptText} prompt=${item.prompt} /></${Pane}>
          <ol class=${`ranked-list ${drag ? "dragging" : ""}`} aria-label="Answers, the best first">
            ${order.map((entry, i) => html`<li key=${`${item.assignment} ${entry.i}`} data-at=${i} tabindex="-1" onFocusIn=${() => i !== at && setState({ ...here, at: i })}
              class=${`ranked ${i === at ? "at" : ""} ${entry.tied ? "tied" : ""} ${drag?.from === i ? "lifted" : ""} ${drag && drag.over === i && drag.from !== i ? (drag.from < i ? "after" : "before") : ""}`}
              aria-label=${`Answer ${letter(entry.i)}, place ${places_now[i]}${entry.tied ? `, as good as ${letter(order[i - 1].i)}` : ""}`}>
              <div class="grip" onPointerDown=${begin(i)} title="drag it to its place"><b class="num">${places_now[i]}</b><span class="letter">${letter(entry.i)}</span>
                ${!item.answers[entry.i].finished && html`<span class="chip">cut</span>`}<span class="dots" aria-hidden="true"></span></div>
              <${Pane} kind="answer" label=${`Answer ${letter(entry.i)}`} onEnd=${() => seen(entry.i)}><${Words} text=${item.answers[entry.i].text} /></${Pane}>
              <div class="moves"><button disabled=${i === 0} aria-label=${`${letter(entry.i)} one place better`} onClick=${() => move(i, i - 1)}><span aria-hidden="true" class="arrow back"></span></button>
                <button disabled=${i === 0} aria-pressed=${entry.tied} onClick=${() => tie(i)}>${i ? `as good as ${letter(order[i - 1].i)}` : "the best"}</button>
                <button disabled=${i === order.length - 1} aria-label=${`${letter(entry.i)} one place worse`} onClick=${() => move(i, i + 1)}><span aria-hidden="true" class="arrow"></span></button></div></li>`)}
          </ol>
          <div class="dock">
            ${read !== item.assignment && html`<button class="below" onClick=${onwardAll}>The answers go on below</button>`}
            <div class="tools"><button class="main" onClick=${keep}>Keep the ranking <kbd>↵</kbd></button>
              <span class="spelled num" data-test="order">${spelled(order)}</span>
              <button onClick=${() => setOpen("skip")}>Skip <kbd>S</kbd></button>
              <button onClick=${undo}>Undo <kbd>U</kbd></button>
              <button aria-pressed=${!!note} onClick=${() => setOpen("note")}>Note <kbd>N</kbd></button>
              <button aria-pressed=${raw.value} onClick=${turnRaw}>Raw <kbd>R</kbd></button>
              <button class="quiet end" onClick=${() => setOpen("help")}>Keys <kbd>?</kbd></button></div></div>`
      : html`<${Nothing} work=${work} name=${name} onUndo=${undo} things="prompts" />`}
    ${open === "skip" && html`<${Dialog} title="Why skip it?" onClose=${() => setOpen("")}>
      <div class="reasons">${reasons.map((r, i) => html`<button onClick=${() => skip(r)}><kbd>${i + 1}</kbd> ${r}</button>`)}</div></${Dialog}>`}
    ${open === "note" && html`<${Note} note=${note} onSave=${setNote} onClose=${() => setOpen("")} />`}
    ${open === "help" && html`<${Help} onClose=${() => setOpen("")} />`}
  </div>`;
}

// What is known of a prompt's answers when it comes: the order in which they are shown, or the one that was taken back.
const begun = (item) => ({ id: item?.assignment ?? "", order: item?.answers ? ordered(item.answers.length, item.was?.ranks) : [], at: 0, touched: !!item?.was, sure: false });

const Help = ({ onClose }) => html`<${Dialog} title="Keys" onClose=${onClose}>
  <dl class="keys">
    <dt><kbd>←</kbd> <kbd>→</kbd> or <kbd>K</kbd> <kbd>J</kbd></dt><dd>choose an answer</dd>
    <dt><kbd>1</kbd> to <kbd>9</kbd></dt><dd>put it at this place</dd>
    <dt><kbd>⇧</kbd> with <kbd>←</kbd> <kbd>→</kbd></dt><dd>move it one place</dd>
    <dt><kbd>=</kbd> or <kbd>T</kbd></dt><dd>as good as the one before it, or no longer</dd>
    <dt><kbd>↵</kbd></dt><dd>keep the ranking, and go on</dd>
    <dt><kbd>S</kbd> <kbd>U</kbd></dt><dd>skip, with a reason; undo: the one before</dd>
    <dt><kbd>N</kbd></dt><dd>add a note</dd>
    <dt><kbd>M</kbd> <kbd>R</kbd></dt><dd>more of the texts; every sign as it was written (raw)</dd>
  </dl>
  <p class="small soft">Or drag an answer by its head, with a mouse, a pen or a finger.</p>
  <form method="dialog"><button class="main">Go on</button></form>
</${Dialog}>`;
