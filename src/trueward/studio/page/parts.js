// Small pieces that several places show.
import { pieces } from "./signs.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor.js";

// Somebody's text. Characters that turn the direction of what follows are shown by their number, not obeyed.
export function PlainText({ text, empty = "(an empty answer)", cut = false }) {
  return html`<p class="verbatim" dir="auto">${pieces(text || empty)}${cut ? html` <span class="chip">cut</span>` : ""}</p>`;
}

export const plain = (prompt) => prompt.text ?? prompt.messages.map((m) => m.content).join(" · ");

export function Meter({ part, label }) {
  const share = Math.max(0, Math.min(1, part || 0));
  return html`<div class="meter" role="progressbar" aria-label=${label} aria-valuemin="0" aria-valuemax="100"
    aria-valuenow=${Math.round(100 * share)}><i style=${{ width: `${100 * share}%` }}></i></div>`;
}

export const Stat = ({ name, value, hint }) =>
  html`<div class="stat"><span class="small soft">${name}</span><b>${value}</b>${hint ? html`<span class="small soft">${hint}</span>` : ""}</div>`;

const STATES = { live: "good live", stale: "warn", crashed: "bad", stopped: "warn", finished: "" };
export const Badge = ({ state }) => html`<span class=${`chip ${STATES[state] ?? ""}`}>${state}</span>`;

const CHIPS = { learning: "good", "over-optimised": "bad", hacking: "bad", broken: "bad" };
export const Verdict = ({ word, title }) =>
  word ? html`<span class=${`chip ${CHIPS[word] ?? ""}`} title=${title}>${word}</span>` : html`<span class="soft">–</span>`;

export const number = (value, digits = 2) =>
  value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−");
export const signed = (value, digits = 2) =>
  value === null || value === undefined ? "–" : `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(digits)}`;
export const percent = (value, digits = 0) =>
  value === null || value === undefined ? "–" : `${(100 * value).toFixed(digits)} %`;
export const when = (seconds) =>
  new Date(1000 * seconds).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

export function Dialog({ title, onClose, children }) {
  const box = useRef();
  useLayoutEffect(() => {
    box.current.showModal();
  }, []);
  return html`<dialog ref=${box} aria-label=${title} onClose=${onClose} onClick=${(e) => e.target === box.current && box.current.close()}>
    <h2>${title}</h2>${children}
  </dialog>`;
}

export function Copy({ text, label = "Copy" }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text).catch(() => {});
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return html`<button onClick=${copy}>${done ? "Copied" : label}</button>`;
}

// What a request returned, requested again whenever `key` changes.
export function useData(load, key, every = 0) {
  const [state, set] = useState({});
  const turn = useRef(0);
  const again = () => {
    const mine = ++turn.current;
    return load().then(
      (data) => mine === turn.current && set({ data }),
      (problem) => mine === turn.current && set((old) => ({ data: old.data, problem })),
    );
  };
  useEffect(() => {
    set({});
    again();
    const timer = every ? setInterval(() => document.hidden || again(), every) : 0;
    return () => {
      turn.current++;
      clearInterval(timer);
    };
  }, [key]);
  return { ...state, again };
}
