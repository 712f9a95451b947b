// The page: one state, one function that shows it, and what each act does to it.

import { drawBars } from "./bars.js";
import { trained, writeClicks } from "./clicks.js";
import { drawTrap, showSource } from "./code.js";
import { goTo, listen } from "./controls.js";
import { proxies } from "./core.js";
import { drawDistance } from "./distance.js";
import { $, say, setPlace } from "./draw.js";
import { ENGINE } from "./engine.js";
import { buildFilm, drawFilm } from "./film.js";
import { drawSlope, drawTiles, drawVerdict } from "./judgement.js";
import { listenToKeys } from "./keys.js";
import { MOST_STEPS, annotated, fresh, longer, stepsOf, within, write } from "./lesson.js";
import { leftOutText, read } from "./links.js";
import { buildMore } from "./more.js";
import { drawNano } from "./nano.js";
import { drawCallouts, drawLog, drawPair, drawScores, lastClick, pairOf } from "./pair.js";
import { player } from "./player.js";
import { goOn, policyOf, startRun } from "./policy.js";
import { PRESETS } from "./presets.js";
import { drawPromise } from "./promise.js";
import { askGuesses, drawGuesses, drawReveal } from "./reveal.js";
import { drawNumbers, drawTraces } from "./traces.js";
import { judge, spread } from "./verdict.js";
import { counted, plain } from "./words.js";

let state = fresh("classic");
let view = {};
let walked = ""; // what the run in the view was walked for
let ahead = 0; // the step that a run in progress will end at
let undoing = false; // the address is on its way back
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
  for (const draw of [drawTiles, drawPromise, drawBars, drawTraces, drawDistance, drawSlope, drawReveal, drawTrap]) draw(view);
  const taken = stepsOf(state.path);
  $("play").disabled = $("step").disabled = !runner.playing() && taken >= MOST_STEPS;
  $("reset").disabled = taken === 0;
  say("play", runner.playing() ? "Pause" : taken ? "Go on" : "Play");
  if (!runner.playing()) {
    drawVerdict(view); // during a run a word would change too often to be heard
    drawNumbers(view);
  } else {
    say("verdict", "running …");
    say("strip-word", "running …");
    say("because", "It keeps its opinion until the run is over, or paused.");
    $("verdict-card").dataset.word = "";
  }
}

function show() {
  derive();
  showRun();
  if ($("last-click").textContent === "") say("last-click", lastClick(view));
  for (const draw of [drawPair, drawScores, drawCallouts, drawLog, drawGuesses, drawNano, drawFilm]) draw(view);
  $("undo").disabled = state.clicks.length === 0 && !hasLeapt();
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
  setPlace("beta", Math.log10(state.beta).toFixed(2), `β = ${plain(state.beta)}`);
  setValue("beta-number", plain(state.beta));
  say("strip-beta", plain(state.beta));
}

/** A field that someone is typing into is left alone until it is done. */
function setValue(id, value) {
  $(id).defaultValue = value;
  if (document.activeElement !== $(id)) $(id).value = value;
}

/** The state is a new one: show it, and write it into the address. */
function changed(patch = {}) {
  state = { ...state, ...patch };
  if (!runner.playing()) ahead = stepsOf(state.path);
  show();
  history.replaceState(history.state, "", `#${write(state)}`);
}

/** What changes the reward puts the policy back to SFT: it has nothing in common with the new one's path. */
function rewarded(patch) {
  runner.pause();
  changed({ ...patch, path: [] });
}

/** To other clicks than one more or one less: an entry of the browser's history keeps those that were there. */
function leap(next, told = "") {
  runner.pause();
  const work = state.path.length > 0 || writeClicks(state.clicks) !== writeClicks(fresh(state.preset, state.seed).clicks);
  const kept = work ? ` ${counted(state.clicks.length, "click")} and the run are kept: Undo, or Back, brings them back.` : "";
  const entry = { leapt: writeClicks(next.clicks), preset: next.preset };
  if (write(next) !== write(state)) history.pushState(entry, "", `#${write(next)}`);
  changed(next);
  say("notice", told && `${told}.${kept}`);
}

/** Whether nothing was clicked since the last leap, so that undoing means going back over it. */
function hasLeapt() {
  return history.state?.preset === state.preset && history.state.leapt === writeClicks(state.clicks);
}

function opened(text) {
  const { state: next, left } = read(text);
  state = next;
  say("notice", leftOutText(left));
  changed();
}

const acts = {
  show,
  change: changed,
  reward: rewarded,
  click(side, tie = false) {
    const pair = pairOf(view);
    const [winner, loser] = side === 0 ? pair : [pair[1], pair[0]];
    rewarded({ clicks: [...state.clicks, { winner, loser, tie }] });
    say("last-click", lastClick(view));
  },
  undo() {
    if (hasLeapt()) {
      undoing = true;
      history.back();
      return;
    }
    rewarded({ clicks: state.clicks.slice(0, -1) });
    say("last-click", `Undone. ${lastClick(view)}`);
  },
  clear() {
    leap({ ...state, clicks: [], path: [] }, "All clicks are cleared");
    say("last-click", lastClick(view));
  },
  annotate() {
    leap({ ...state, clicks: [...state.clicks, ...view.preset.annotator], path: [] });
    say("last-click", lastClick(view));
  },
  /** Another pair than the one that is shown, as long as there is another one among the least compared. */
  pass() {
    const current = pairOf(view).sort().join();
    const other = (more) => pairOf({ ...view, state: { ...state, skipped: state.skipped + more } }).sort().join() !== current;
    const more = Array.from({ length: 100 }, (_, i) => i + 1).find(other) ?? 1;
    changed({ skipped: state.skipped + more });
  },
  play() {
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
  },
  step() {
    runner.pause();
    advance(1);
    changed();
  },
  reset: () => rewarded({}),
  beta(beta) {
    if (!Number.isFinite(beta) || beta <= 0) return;
    state = { ...state, beta: within("beta", beta) };
    if (runner.playing()) showBeta();
    else changed();
  },
  seed(value) {
    const seed = Math.min(2 ** 32 - 1, Math.max(0, Math.round(value)));
    const own = writeClicks(state.clicks) === writeClicks(annotated(state.preset, state.seed));
    rewarded({ seed, skipped: 0, ...(own ? { clicks: annotated(state.preset, seed) } : {}) });
  },
  leaveOut(i, out) {
    const others = state.leftOut.filter((k) => k !== i);
    changed({ leftOut: out ? [...others, i].sort() : others });
  },
  preset(name) {
    leap({ ...fresh(name, state.seed), nano: state.nano, text: state.text }, `${PRESETS[name].title}: ${PRESETS[name].about.replace(/\.$/, "")}`);
    say("last-click", lastClick(view));
  },
  afresh() {
    leap({ ...fresh(state.preset, state.seed), nano: state.nano, text: state.text }, "Started over");
    say("last-click", lastClick(view));
  },
  follow(link, title) {
    leap({ ...read(link).state, nano: state.nano, text: state.text }, `Set up: ${title}`);
    say("last-click", lastClick(view));
    goTo("act2");
  },
};

/** The address is another one: a link that was followed, or the way back. */
function readdressed() {
  const part = location.hash.slice(1);
  if (part === write(state)) return; // our own writing
  runner.pause();
  const place = document.getElementById(part);
  if (place) {
    changed();
    goTo(part);
    return;
  }
  opened(part);
  say("last-click", `${undoing ? "Undone. " : ""}${lastClick(view)}`);
  undoing = false;
}

function build() {
  buildMore(acts);
  buildFilm((text) => changed({ text }));
  askGuesses(PRESETS.classic.responses.length, (guess) => changed(guess));
  showSource();
  listen(acts, () => state);
  for (const id of ["trap-box", "numbers-box"]) $(id).addEventListener("toggle", () => showRun());
  $("clicks-box").addEventListener("toggle", () => show()); // it had no width before
  addEventListener("hashchange", readdressed);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (width !== innerWidth) show();
    width = innerWidth;
  });
  listenToKeys();
  const fromStudio = location.pathname.endsWith("/lab/") && document.querySelector("script[src]") !== null;
  $("studio").hidden = $("studio-here").hidden = !fromStudio;
}

build();
const first = location.hash.slice(1);
if (first && document.getElementById(first)) {
  changed();
  goTo(first);
} else {
  opened(first);
}
globalThis.trueward = { ...ENGINE, state: () => state, view: () => view }; // for the console, and for the tests
for (const script of document.querySelectorAll("script")) script.remove(); // its text holds what the reveal will show
