// What each β ends in: the closed form over β, the marker at the slider's β, and the sentences that say the same.

import { letter } from "./clicks.js";
import { $, apart, label, line, picture, say, svg, widthOf } from "./draw.js";
import { bestOf, optimum, sweep } from "./tilt.js";
import { axis, scale } from "./traces.js";
import { fixed, percent, plain, signed } from "./words.js";

const PLOT = { y: 22, height: 208 };
export const SIDES_OF_PLOT = [44, 22]; // pixels left and right of the plot; the slider under it has the same
const FINE = Array.from({ length: 81 }, (_, i) => 10 ** (-2 + i / 20));

/** What a policy is truly worth is told of it when it has run, not before. */
export function isTold({ run, state }) {
  return run.history.length > 1 || state.swept || state.revealed;
}

export function drawPromise(view) {
  const { run, state, preset, proxy } = view;
  const width = widthOf("promise");
  const [left, right] = SIDES_OF_PLOT;
  const at = (beta) => optimum(proxy, preset.truths, preset.reference, beta);
  const goal = at(state.beta);
  const told = isTold(view);
  const fine = FINE.map(at);
  const [start, last] = [run.history[0], run.history[run.history.length - 1]];
  const values = [start.true, start.proxy, last.proxy, last.true, ...fine.flatMap((p) => (told ? [p.proxy, p.true] : [p.proxy]))];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const y = scale(low - (high - low < 0.2 ? 0.1 : 0), high + (high - low < 0.2 ? 0.1 : 0), PLOT);
  const x = (beta) => left + ((Math.log10(beta) + 2) / 4) * (width - left - right);
  const [foot, here] = [PLOT.y + PLOT.height, x(state.beta)];
  const shapes = axis(y, PLOT, left, width - right);
  for (const beta of [0.01, 0.1, 1, 10, 100]) shapes.push(svg("line", { x1: x(beta), x2: x(beta), y1: foot, y2: foot + 5, class: "zero" }));
  shapes.push(svg("line", { x1: left, x2: width - right, y1: y(start.true), y2: y(start.true), class: "peak" }));
  shapes.push(label(0, 11, "reward where each β ends"));
  if (state.swept) shapes.push(...truthCurve(fine, sweep(proxy, preset.truths, preset.reference), x, y));
  shapes.push(svg("path", { d: line(fine.map((p) => [x(p.beta), y(p.proxy)])), class: "line proxy" }));
  shapes.push(svg("line", { x1: here, x2: here, y1: PLOT.y, y2: foot + 8, class: "cursor" }));
  if (told) shapes.push(svg("line", { x1: here, x2: here, y1: y(goal.proxy), y2: y(goal.true), class: "apart" }));
  shapes.push(diamond(here, y(goal.proxy), "proxy"));
  if (told) shapes.push(diamond(here, y(goal.true), "truth"));
  shapes.push(svg("circle", { cx: here, cy: y(last.proxy), r: 5, class: "dot proxy" }), svg("circle", { cx: here, cy: y(last.true), r: 5, class: "dot truth" }));
  shapes.push(...names(goal, start, told, { here, y, width }));
  const truth = told ? `, true ${fixed(goal.true)}` : "";
  const where = `The closed form at β = ${plain(state.beta)}: proxy ${fixed(goal.proxy)}${truth}. `;
  picture("promise", foot + 10, `${where}The policy now: proxy ${fixed(last.proxy)}, true ${fixed(last.true)}.`, ...shapes);
  tell(view, goal, told);
}

function truthCurve(fine, points, x, y) {
  const band = [...fine.map((p) => [x(p.beta), y(p.proxy)]), ...fine.map((p) => [x(p.beta), y(p.true)]).reverse()];
  const best = bestOf(points);
  return [
    svg("path", { d: `${line(band)}Z`, class: "gap" }),
    svg("path", { d: line(fine.map((p) => [x(p.beta), y(p.true)])), class: "line truth" }),
    svg("circle", { cx: x(best.beta), cy: y(best.true), r: 8, class: "ring truth" }),
  ];
}

function diamond(x, y, kind) {
  return svg("path", { d: `M${x} ${y - 8}L${x + 8} ${y}L${x} ${y + 8}L${x - 8} ${y}Z`, class: `diamond ${kind}` });
}

/** The two values at the marker, on the side where there is room. */
function names(goal, start, told, { here, y, width }) {
  const right = here < width * 0.62;
  const place = { "text-anchor": right ? "start" : "end" };
  const aside = here + (right ? 14 : -14);
  const [up, down] = told ? apart(y(goal.proxy), y(goal.true), 18) : [y(goal.proxy), 0];
  const made = [label(aside, up + 5, `proxy ${fixed(goal.proxy)}`, { ...place, class: "name proxy" })];
  if (told) made.push(label(aside, down + 5, `true ${fixed(goal.true)}`, { ...place, class: "name truth" }));
  return made;
}

function tell(view, goal, told) {
  const { state, run, preset, model } = view;
  const most = goal.pi.indexOf(Math.max(...goal.pi));
  const truth = told
    ? ` In truth that is worth ${fixed(goal.true)}, ${signed(goal.true - run.history[0].true)} against SFT.`
    : " What that is truly worth shows when it has run.";
  say(
    "prose",
    `On a leash of β = ${plain(state.beta)} it comes to rest ${fixed(goal.kl, 2)} nats from SFT and says ${letter(most)} ${percent(goal.pi[most])} of the time. ` +
      `The reward model promises ${fixed(goal.proxy)}.${truth} Diamonds: where it ends. Dots: where it is now.`,
  );
  const unseen = model.compared.flatMap((seen, i) => (seen ? [] : [i]));
  say(
    "job-region",
    unseen.length === 0
      ? "Here every answer was compared, so there is no such place."
      : unseen.length === goal.pi.length
        ? "Here nothing was compared yet."
        : `Here that is ${unseen.map(letter).join(", ")}: ${shares(unseen, preset, goal, state)}.`,
  );
  const { degenerate } = preset;
  say("job-fluent", degenerate === null ? "" : `Here that is ${letter(degenerate)}: ${shares([degenerate], preset, goal, state)}.`);
  $("jobs-link").parentElement.hidden = degenerate !== null;
}

function shares(of, preset, goal, state) {
  const share = (pi) => percent(of.reduce((total, i) => total + pi[i], 0));
  return `${share(preset.reference)} under SFT, ${share(goal.pi)} at the end of β = ${plain(state.beta)}`;
}
