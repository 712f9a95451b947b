// The page: one state, one function that shows it, and what each control does to it.

import { drawBars } from "./bars.js";
import { letter, trained } from "./clicks.js";
import { drawTrap, showSource } from "./code.js";
import { proxies } from "./core.js";
import { drawDistance } from "./distance.js";
import { $, html, say } from "./draw.js";
import { ENGINE } from "./engine.js";
import { drawSlope, drawTiles, drawVerdict } from "./judgement.js";
import { listenToKeys } from "./keys.js";
import { MOST_STEPS, annotated, fresh, longer, read, stepsOf, within, write } from "./lesson.js";
import { listMissions } from "./missions.js";
import { drawCallouts, drawLog, drawPair, drawScores, lastClick, pairOf } from "./pair.js";
import { player } from "./player.js";
import { goOn, policyOf, startRun } from "./policy.js";
import { PRESETS } from "./presets.js";
import { askGuesses, drawGuesses, drawReveal } from "./reveal.js";
import { drawNumbers, drawTraces } from "./traces.js";
import { judge, spread } from "./verdict.js";
import { plain } from "./words.js";

let state = read(location.hash.slice(1));
let view = {};
let walked = ""; // what the run in the view was walked for
let ahead = 0; // the step that a run in progress will end at
const runner = player(advance, () => changed());

/** What a run depends on. */
function origin() {
  const { preset, clicks, lr, blind, shift, path } = state;
  return JSON.stringify([preset, clicks, lr, blind, shift, path]);
}

/** All that follows from the state. A link holds only the stretches of a run, so another run is walked from SFT. */
function derive() {
  const table = PRESETS[state.preset];
  const preset = { ...table, annotator: annotated(state.preset, state.seed) };
  const { model, rows } = trained(state.clicks, preset.responses.length, state.lr);
  const proxy = proxies(model, state.blind, state.shift);
  let { run } = view;
  if (walked !== origin()) {
    run = startRun(proxy, preset.truths, preset.reference);
    for (const [beta, steps] of state.path) goOn(run, beta, steps);
    walked = origin();
  }
  view = { state, preset, model, rows, proxy, run, sd: spread(preset.truths, preset.reference) };
}

function advance(steps) {
  goOn(view.run, state.beta, steps);
  state = { ...state, path: longer(state.path, state.beta, steps) };
  walked = origin();
  showRun();
}

/** What moves while the policy is trained. */
function showRun() {
  view = { ...view, state, pi: policyOf(view.run), verdict: judge(view.run.history, view.sd), ahead: Math.max(ahead, state.steps) };
  for (const draw of [drawTiles, drawBars, drawTraces, drawDistance, drawSlope, drawReveal, drawTrap]) draw(view);
  const taken = stepsOf(state.path);
  $("play").disabled = $("step").disabled = !runner.playing() && taken >= MOST_STEPS;
  $("reset").disabled = taken === 0;
  say("play", runner.playing() ? "Pause" : taken ? "Go on" : "Play");
  if (!runner.playing()) {
    drawVerdict(view); // during a run a word would change too often to be heard
    drawNumbers(view);
  } else {
    say("verdict", "running …");
    say("because", "It keeps its opinion until the run is over, or paused.");
    $("verdict-card").dataset.word = "";
  }
}

function show() {
  derive();
  showRun();
  if ($("last-click").textContent === "") say("last-click", lastClick(view));
  for (const draw of [drawPair, drawScores, drawCallouts, drawLog, drawGuesses]) draw(view);
  say("about", view.preset.about);
  for (const input of document.querySelectorAll("#presets input")) input.checked = input.value === state.preset;
  for (const box of document.querySelectorAll("#leave-out input")) {
    box.checked = state.leftOut.includes(Number(box.value));
    box.disabled = !box.checked && state.leftOut.length >= view.preset.responses.length - 2;
  }
  $("blind-on").checked = state.blind !== null;
  $("blind").disabled = state.blind === null;
  for (const id of ["seed", "lr", "blind", "steps"]) setValue(id, state[id] ?? "");
  showBeta();
}

function showBeta() {
  setValue("beta", Math.log10(state.beta).toFixed(2));
  setValue("beta-number", plain(state.beta));
  $("beta").setAttribute("aria-valuetext", `β = ${plain(state.beta)}`);
}

/** A field that someone is typing into is left alone until it is done. */
function setValue(id, value) {
  $(id).defaultValue = value;
  if (document.activeElement !== $(id) || $(id).type === "range") $(id).value = value;
}

/** The state is a new one: show it, and write it into the address. */
function changed(patch = {}) {
  state = { ...state, ...patch };
  if (!runner.playing()) ahead = stepsOf(state.path);
  show();
  history.replaceState(null, "", `#${write(state)}`);
}

/** What changes the reward puts the policy back to SFT: it has nothing in common with the new one's path. */
function rewarded(patch) {
  runner.pause();
  changed({ ...patch, path: [] });
}

function click(side, tie = false) {
  const pair = pairOf(view);
  const [winner, loser] = side === 0 ? pair : [pair[1], pair[0]];
  rewarded({ clicks: [...state.clicks, { winner, loser, tie }] });
  say("last-click", lastClick(view));
}

/** Another pair than the one that is shown, as long as there is another one among the least compared. */
function pass() {
  const current = pairOf(view).sort().join();
  const other = (more) => pairOf({ ...view, state: { ...state, skipped: state.skipped + more } }).sort().join() !== current;
  const more = Array.from({ length: 100 }, (_, i) => i + 1).find(other) ?? 1;
  changed({ skipped: state.skipped + more });
}

function follow(link) {
  runner.pause();
  state = read(link);
  say("last-click", "");
  changed();
  goTo("predict");
}

function goTo(id) {
  $(id).focus({ preventScroll: true });
  $(id).scrollIntoView();
}

function setBeta(beta) {
  if (!Number.isFinite(beta) || beta <= 0) return;
  state = { ...state, beta: within("beta", beta) };
  showBeta();
  if (!runner.playing()) changed();
}

function number(id, use) {
  $(id).addEventListener("change", () => {
    if ($(id).value !== "" && Number.isFinite($(id).valueAsNumber)) use($(id).valueAsNumber);
    show();
    $(id).value = $(id).defaultValue; // what was clamped, or made no sense, is put right
  });
}

function build() {
  const choices = Object.entries(PRESETS).map(([name, { title }]) => {
    const input = html("input", { type: "radio", name: "preset", value: name });
    input.addEventListener("change", () => {
      runner.pause();
      state = fresh(name, state.seed);
      say("last-click", "");
      changed();
    });
    return html("label", { class: "chip" }, input, html("span", {}, title));
  });
  $("presets").append(...choices);
  const boxes = PRESETS.classic.responses.map((_, i) => {
    const box = html("input", { type: "checkbox", value: String(i) });
    box.addEventListener("change", () => {
      const others = state.leftOut.filter((k) => k !== i);
      changed({ leftOut: box.checked ? [...others, i].sort() : others });
    });
    return html("label", { class: "chip small" }, box, html("span", {}, letter(i)));
  });
  $("leave-out").append(...boxes);
  askGuesses(PRESETS.classic.responses.length, (guess) => changed(guess));
  listMissions(follow);
  showSource();
}

function listen() {
  const on = (what, act) => (typeof what === "string" ? $(what) : what).addEventListener("click", act);
  on("left", () => click(0));
  on("right", () => click(1));
  on("tie", () => click(0, true));
  on("another", pass);
  on("undo", () => {
    rewarded({ clicks: state.clicks.slice(0, -1) });
    say("last-click", `Undone. ${lastClick(view)}`);
  });
  on("clear", () => {
    rewarded({ clicks: [] });
    say("last-click", lastClick(view));
  });
  on("annotate", () => {
    rewarded({ clicks: [...state.clicks, ...view.preset.annotator] });
    say("last-click", lastClick(view));
  });
  on("shift", () => changed({ shift: 1 - state.shift }));
  on("play", () => {
    if (runner.playing()) {
      runner.pause();
      changed();
      return;
    }
    const taken = stepsOf(state.path);
    const steps = Math.min(state.steps, MOST_STEPS - taken);
    ahead = taken + steps;
    runner.play(taken, steps);
    showRun();
  });
  on("step", () => {
    runner.pause();
    advance(1);
    changed();
  });
  on("reset", () => rewarded({}));
  on("sweep", () => changed({ swept: !state.swept }));
  on("reveal-button", () => changed({ revealed: !state.revealed }));
  on("afresh", () => {
    runner.pause();
    state = fresh(state.preset, state.seed);
    say("last-click", "");
    changed();
  });
  on("link", async () => {
    const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
    say("link", copied ? "Copied" : "It is in the address bar");
    setTimeout(() => say("link", "Copy the link"), 2000);
  });
  $("beta").addEventListener("input", () => setBeta(Number((10 ** Number($("beta").value)).toPrecision(3))));
  number("beta-number", setBeta);
  number("steps", (value) => changed({ steps: Math.round(within("steps", value)) }));
  number("blind", (value) => rewarded({ blind: within("blind", value) }));
  number("lr", (value) => rewarded({ lr: within("lr", value) }));
  number("seed", (value) => {
    const seed = Math.min(2 ** 32 - 1, Math.max(0, Math.round(value)));
    const own = JSON.stringify(state.clicks) === JSON.stringify(annotated(state.preset, state.seed));
    rewarded({ seed, skipped: 0, ...(own ? { clicks: annotated(state.preset, seed) } : {}) });
  });
  $("blind-on").addEventListener("change", () => rewarded({ blind: $("blind-on").checked ? 1.5 : null }));
  for (const link of document.querySelectorAll("a[href^='#']:not(.button)")) {
    on(link, (event) => {
      event.preventDefault(); // the address keeps the state
      goTo(link.hash.slice(1));
    });
  }
  for (const id of ["trap-box", "numbers-box"]) $(id).addEventListener("toggle", () => showRun());
  addEventListener("hashchange", () => {
    const part = location.hash.slice(1);
    if (document.getElementById(part) || part === write(state)) return; // a place on the page, or our own writing
    runner.pause();
    state = read(part);
    changed();
  });
  let width = innerWidth;
  addEventListener("resize", () => {
    if (width !== innerWidth) show();
    width = innerWidth;
  });
  listenToKeys();
}

build();
listen();
changed();
globalThis.trueward = { ...ENGINE, state: () => state, view: () => view }; // for the console, and for the tests
for (const script of document.querySelectorAll("script")) script.remove(); // its text holds what the reveal will show
