// The state of a sitting, all of it, and how the page's address writes it down: a lesson is a link.

import { NOISE, uniform } from "./chance.js";
import { letter, parseClicks, writeClicks } from "./clicks.js";
import { PRESETS } from "./presets.js";
import { NANO } from "./recorded.js";

export const MOST_STEPS = 20000; // of one path; far beyond where anything still moves
export const BOUNDS = { beta: [0.01, 100], lr: [0.01, 5], blind: [-10, 10], steps: [1, 5000] };

/** The clicks of the preset's annotator; those of a noisy one depend on the seed. */
export function annotated(name, seed) {
  const { clicks, responses, wrong } = PRESETS[name];
  return parseClicks(clicks, responses.length).map((click, n) =>
    uniform(seed, NOISE, n) < wrong ? { ...click, winner: click.loser, loser: click.winner } : click,
  );
}

/** The recorded run with β = 0.3, or the middle one. */
export const MIDDLE = Math.max(0, NANO.runs.findIndex(({ beta }) => beta === 0.3));

export function fresh(name, seed = 1) {
  const preset = PRESETS[name];
  return {
    preset: name,
    seed,
    lr: 0.5,
    beta: 0.3,
    blind: preset.blind,
    steps: preset.steps,
    clicks: preset.begin === "empty" ? [] : annotated(name, seed),
    skipped: 0, // pairs that were passed over
    leftOut: [], // responses that nobody is asked about
    path: [], // [β, steps], one after the other
    swept: false,
    shift: 0, // added to every score
    best: null, // the two guesses
    word: null,
    revealed: false,
    nano: MIDDLE, // which of the recorded runs
    text: 0, // which of the reviews
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
  if (state.nano !== first.nano) out.set("nano", NANO.runs[state.nano].beta);
  if (state.text !== first.text) out.set("text", state.text + 1);
  return out.toString();
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
