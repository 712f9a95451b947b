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

const STATES = { live: "good live", stale: "warn", crashed: "bad", stopped: "warn", finished: "", damaged: "bad", several: "" };
export const Badge = ({ state }) => html`<span class=${`chip ${STATES[state] ?? ""}`}>${state}</span>`;

const CHIPS = { learning: "good", "over-optimised": "bad", hacking: "bad", broken: "bad" };
export const Verdict = ({ word, title }) =>
  word ? html`<span class=${`chip ${CHIPS[word] ?? ""}`} title=${title}>${word}</span>` : html`<span class="soft">–</span>`;

export const number = (value, digits = 2) =>
  value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−");
export const signed = (value, digits = 2) =>
  value === null || value === undefined ? "–" : `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(digits)}`;
// As the reports print it: 99.6 % is not rounded to 100 %.
export function percent(value, digits = 0) {
  if (value === null || value === undefined) return "–";
  while (digits < 2 && value !== 0 && value !== 1 && ["0", "100"].includes((100 * value).toFixed(digits).replace(/\.0+$/, ""))) digits++;
  return `${(100 * value).toFixed(digits)} %`;
}
// Half of a 95 % interval, from a standard error.
export const within = (error, digits = 2) => (error === null || error === undefined ? "" : `± ${(1.96 * error).toFixed(digits)}`);
export const duration = (seconds) => {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 59.95) return `${seconds < 9.95 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3599.5) return `${Math.floor(Math.round(seconds) / 60)} min ${String(Math.round(seconds) % 60).padStart(2, "0")} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
};
export const bytes = (n) => (n < 1000 ? `${n} B` : n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : n < 1e9 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e9).toFixed(2)} GB`);
export const when = (seconds) =>
  new Date(1000 * seconds).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

export function Dialog({ title, onClose, children, wide = false }) {
  const box = useRef();
  useLayoutEffect(() => {
    box.current.showModal();
  }, []);
  return html`<dialog ref=${box} class=${wide ? "wide" : ""} aria-label=${title} onClose=${onClose} onClick=${(e) => e.target === box.current && box.current.close()}>
    <h2>${pieces(title)}</h2>${children}
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
