// Reads a link. What means nothing in it is left out, and said: by the names of our own settings, never in the link's words.

import { letter, parseClicks } from "./clicks.js";
import { BOUNDS, MOST_STEPS, fresh, within } from "./lesson.js";
import { PRESETS } from "./presets.js";
import { NANO, REVIEWS } from "./recorded.js";
import { WORDS, counted, plain } from "./words.js";

const NAMES = { beta: "β", lr: "rate of a click", blind: "blind spot" };
const KNOWN = "preset seed lr beta blind steps skipped shift clicks out path sweep best word revealed nano text".split(" ");

/** The state that an address stands for, and a phrase for each part of it that was left out. */
export function read(text) {
  const given = new URLSearchParams(text);
  const left = [];
  const asked = given.get("preset");
  const known = Object.hasOwn(PRESETS, asked ?? "");
  if (asked !== null && !known) left.push(`preset (there is none of that name; this is ${PRESETS.classic.title})`);
  const name = known ? asked : "classic";
  const count = PRESETS[name].responses.length;
  const state = fresh(name, whole(given, "seed", 1, [0, 2 ** 32 - 1], left));
  for (const key of ["lr", "beta", "blind"]) state[key] = real(given, key, state[key], left);
  state.steps = whole(given, "steps", state.steps, BOUNDS.steps, left);
  state.skipped = whole(given, "skipped", 0, [0, 1e6], left);
  state.shift = whole(given, "shift", 0, [0, 1], left);
  state.swept = whole(given, "sweep", 0, [0, 1], left) === 1;
  if (given.has("clicks")) state.clicks = clicksOf(given.get("clicks"), count, left);
  state.leftOut = leftOutOf(given.get("out") ?? "", count, left);
  state.path = pathOf(given.get("path") ?? "", left);
  state.best = oneOf(given, "best", PRESETS[name].responses.map((_, i) => letter(i)), left);
  const words = Object.keys(WORDS);
  const word = oneOf(given, "word", words, left);
  state.word = word === null ? null : words[word];
  const revealed = whole(given, "revealed", 0, [0, 1], left) === 1;
  if (revealed && (state.best === null || state.word === null)) left.push("revealed (the reveal waits for both guesses)");
  state.revealed = revealed && state.best !== null && state.word !== null;
  state.nano = oneOf(given, "nano", NANO.runs.map(({ beta }) => String(beta)), left) ?? state.nano;
  state.text = oneOf(given, "text", (REVIEWS?.prompts ?? []).map((_, i) => String(i + 1)), left) ?? 0;
  const strange = new Set([...given.keys()].filter((key) => !KNOWN.includes(key))).size;
  if (strange) left.push(`${counted(strange, "part")} with a name that no setting has`);
  return { state, left };
}

/** What was left out of a link, as a sentence; nothing if it made sense. */
export function leftOutText(left) {
  return left.length ? `Not all of this link makes sense. Left out: ${left.join("; ")}.` : "";
}

function whole(given, key, otherwise, [least, most], left) {
  const text = given.get(key);
  if (text === null) return otherwise;
  if (!/^\d{1,12}$/.test(text)) {
    left.push(`${key} (expected a whole number)`);
    return otherwise;
  }
  return bounded(key, Number(text), [least, most], left);
}

function real(given, key, otherwise, left) {
  const text = given.get(key);
  if (text === null) return otherwise;
  if (key === "blind" && text === "none") return null;
  if (text.trim() === "" || !Number.isFinite(Number(text))) {
    left.push(`${NAMES[key]} (expected a number)`);
    return otherwise;
  }
  return bounded(key, Number(text), BOUNDS[key], left);
}

function bounded(key, value, [least, most], left) {
  const taken = Math.min(most, Math.max(least, value));
  if (taken !== value) left.push(`${NAMES[key] ?? key} beyond ${plain(taken)}`);
  return taken;
}

function oneOf(given, key, choices, left) {
  const text = given.get(key);
  if (text === null) return null;
  const place = choices.indexOf(text);
  if (place < 0) left.push(`${key} (there is none of that name)`);
  return place < 0 ? null : place;
}

function clicksOf(text, count, left) {
  if (text === "none") return [];
  const clicks = parseClicks(text, count);
  const lost = text.split(".").filter((word) => word !== "").length - clicks.length;
  if (lost) left.push(`${counted(lost, "click")} (expected two different letters up to ${letter(count - 1)})`);
  return clicks;
}

function leftOutOf(text, count, left) {
  const places = [...new Set(text)].map((c) => c.charCodeAt(0) - 65);
  const known = places.filter((i) => i >= 0 && i < count).sort();
  if (known.length < places.length) left.push("out (a letter that no answer has)");
  if (known.length <= count - 2) return known;
  left.push("out (at least two answers have to be asked about)");
  return [];
}

function pathOf(text, left) {
  const path = [];
  let room = MOST_STEPS;
  let lost = 0;
  for (const stretch of text.split("_").filter((part) => part !== "")) {
    const [beta, steps] = stretch.split("x").map(Number);
    const taken = Math.min(room, Math.floor(steps));
    if (beta > 0 && taken > 0) path.push([within("beta", beta), taken]);
    if (!(beta > 0 && taken === steps && within("beta", beta) === beta)) lost += 1;
    room -= beta > 0 && taken > 0 ? taken : 0;
  }
  if (lost) left.push(`${counted(lost, "stretch", "stretches")} of the run (expected β x steps, ${MOST_STEPS.toLocaleString("en")} steps at most in all)`);
  return path;
}
