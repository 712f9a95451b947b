// The state of a sitting, all of it, and how the page's address writes it down: a lesson is a link.

import { NOISE, uniform } from "./chance.js";
import { letter, parseClicks, writeClicks } from "./clicks.js";
import { PRESETS } from "./presets.js";
import { WORDS } from "./words.js";

export const MOST_STEPS = 20000; // of one path; far beyond where anything still moves
const BOUNDS = { beta: [0.01, 100], lr: [0.01, 5], blind: [-10, 10], steps: [1, 5000] };

/** The clicks of the preset's annotator; those of a noisy one depend on the seed. */
export function annotated(name, seed) {
  const { clicks, responses, wrong } = PRESETS[name];
  return parseClicks(clicks, responses.length).map((click, n) =>
    uniform(seed, NOISE, n) < wrong ? { ...click, winner: click.loser, loser: click.winner } : click,
  );
}

export function fresh(name, seed = 1) {
  const preset = PRESETS[name];
  return {
    preset: name,
    seed,
    lr: 0.5,
    beta: 0.3,
    blind: preset.blind,
    steps: 300,
    clicks: preset.begin === "empty" ? [] : annotated(name, seed),
    skipped: 0, // pairs that were passed over
    leftOut: [], // responses that nobody is asked about
    path: [], // [β, steps], one after the other
    swept: false,
    shift: 0, // added to every score
    best: null, // the two guesses
    word: null,
    revealed: false,
  };
}

export function within(key, value) {
  const [low, high] = BOUNDS[key];
  return Math.min(high, Math.max(low, value));
}

/** The address' part after #. What is as it was at the start is left out. */
export function write(state) {
  const first = fresh(state.preset, state.seed);
  const out = new URLSearchParams({ preset: state.preset, seed: String(state.seed) });
  for (const key of ["lr", "beta", "steps", "skipped", "shift"]) if (state[key] !== first[key]) out.set(key, state[key]);
  if (state.blind !== first.blind) out.set("blind", state.blind ?? "none");
  const clicks = writeClicks(state.clicks);
  if (clicks !== writeClicks(first.clicks)) out.set("clicks", clicks || "none");
  if (state.leftOut.length) out.set("out", state.leftOut.map(letter).join(""));
  if (state.path.length) out.set("path", state.path.map(([beta, steps]) => `${beta}x${steps}`).join("_"));
  if (state.swept) out.set("sweep", "1");
  if (state.best !== null) out.set("best", letter(state.best));
  if (state.word !== null) out.set("word", state.word);
  if (state.revealed) out.set("revealed", "1");
  return out.toString();
}

/** The state that an address stands for; what is missing or makes no sense is as at the start. */
export function read(text) {
  const given = new URLSearchParams(text);
  const name = Object.hasOwn(PRESETS, given.get("preset") ?? "") ? given.get("preset") : "classic";
  const count = PRESETS[name].responses.length;
  const seed = whole(given.get("seed"), 1, 2 ** 32 - 1);
  const state = fresh(name, seed);
  for (const key of ["lr", "beta", "blind"]) {
    const value = given.get(key);
    if (value && Number.isFinite(Number(value))) state[key] = within(key, Number(value));
  }
  if (given.get("blind") === "none") state.blind = null;
  state.steps = Math.max(1, whole(given.get("steps"), 300, BOUNDS.steps[1]));
  state.skipped = whole(given.get("skipped"), 0, 1e6);
  state.shift = given.get("shift") === "1" ? 1 : 0;
  if (given.has("clicks")) state.clicks = parseClicks(given.get("clicks"), count);
  const out = [...new Set(given.get("out") ?? "")].map((c) => c.charCodeAt(0) - 65).filter((i) => i >= 0 && i < count);
  if (out.length <= count - 2) state.leftOut = out;
  let left = MOST_STEPS;
  for (const stretch of (given.get("path") ?? "").split("_")) {
    const [beta, steps] = stretch.split("x").map(Number);
    const taken = Math.min(left, Math.floor(steps));
    if (!(beta > 0 && taken > 0)) continue;
    state.path.push([within("beta", beta), taken]);
    left -= taken;
  }
  state.swept = given.get("sweep") === "1";
  const best = (given.get("best") ?? "").charCodeAt(0) - 65;
  if (best >= 0 && best < count) state.best = best;
  if (Object.hasOwn(WORDS, given.get("word") ?? "")) state.word = given.get("word");
  state.revealed = given.get("revealed") === "1" && state.best !== null && state.word !== null;
  return state;
}

function whole(text, otherwise, most) {
  return /^\d{1,12}$/.test(text ?? "") ? Math.min(most, Number(text)) : otherwise;
}

/** The path with so many more steps at β. */
export function longer(path, beta, steps) {
  const last = path[path.length - 1];
  if (last && last[0] === beta) return [...path.slice(0, -1), [beta, last[1] + steps]];
  return [...path, [beta, steps]];
}

export function stepsOf(path) {
  return path.reduce((total, [, steps]) => total + steps, 0);
}
