// Proxy, truth and KL by step. The axis of steps is logarithmic, since most happens early.

import { $, apart, html, label, line, picture, svg, ticks, widthOf } from "./draw.js";
import { optimum } from "./tilt.js";
import { fixed, tick } from "./words.js";

const TOP = { y: 14, height: 196 };
const LOW = { y: 250, height: 74 };

export function drawTraces(view) {
  const { run, verdict, proxy, preset, state, ahead } = view;
  const width = widthOf("traces");
  const [left, right] = [40, 92];
  const last = run.history[run.history.length - 1];
  const most = Math.max(ahead, last.step, 1);
  const x = (step) => left + (Math.log1p(step) / Math.log1p(most)) * (width - left - right);
  const history = thinned(run.history, verdict.peakStep);
  const goal = optimum(proxy, preset.truths, preset.reference, state.beta); // so that the axis does not move in a run
  const values = [goal, ...history].flatMap((point) => [point.proxy, point.true]);
  const y = scale(Math.min(...values), Math.max(...values), TOP);
  const k = scale(0, Math.max(0.02, goal.kl, ...history.map((point) => point.kl)), LOW);
  const shapes = [...axis(y, TOP, left, width - right), ...axis(k, LOW, left, width - right, 2)];
  const numbered = steps(most).filter((step, i, all) => i === all.length - 1 || x(all[i + 1]) - x(step) > 26);
  for (const step of numbered) {
    shapes.push(label(x(step), LOW.y + LOW.height + 17, tick(step), { "text-anchor": "middle" }));
    shapes.push(svg("line", { x1: x(step), x2: x(step), y1: LOW.y + LOW.height, y2: LOW.y + LOW.height + 4, class: "grid" }));
  }
  shapes.push(label(width, LOW.y + LOW.height + 17, "step (log)", { "text-anchor": "end" }));
  const path = (key, height) => line(history.map((point) => [x(point.step), height(point[key])]));
  const gap = [...history.map((point) => [x(point.step), y(point.proxy)]), ...history.map((point) => [x(point.step), y(point.true)]).reverse()];
  shapes.push(svg("path", { d: `${line(gap)}Z`, class: "gap" }));
  if (verdict.peakStep > 0 && verdict.peak > 0) {
    const peak = run.history[verdict.peakStep];
    shapes.push(svg("line", { x1: x(peak.step), x2: x(peak.step), y1: TOP.y, y2: LOW.y + LOW.height, class: "peak" }));
    shapes.push(svg("circle", { cx: x(peak.step), cy: y(peak.true), r: 4.5, class: "ring truth" }));
  }
  shapes.push(svg("path", { d: path("proxy", y), class: "line proxy" }), svg("path", { d: path("true", y), class: "line truth" }));
  shapes.push(svg("path", { d: path("kl", k), class: "line kl" }));
  const end = x(last.step) + 9;
  const [up, down] = apart(y(last.proxy), y(last.true));
  shapes.push(svg("circle", { cx: x(last.step), cy: y(last.proxy), r: 3.5, class: "dot proxy" }));
  shapes.push(svg("circle", { cx: x(last.step), cy: y(last.true), r: 3.5, class: "dot truth" }));
  shapes.push(svg("circle", { cx: x(last.step), cy: k(last.kl), r: 3.5, class: "dot kl" }));
  shapes.push(label(end, up + 4, `proxy ${fixed(last.proxy)}`, { class: "name proxy" }));
  shapes.push(label(end, down + 4, `true ${fixed(last.true)}`, { class: "name truth" }));
  shapes.push(label(end, k(last.kl) + 4, `KL ${fixed(last.kl)}`, { class: "name" }));
  const now = `By step ${last.step}: proxy ${fixed(last.proxy)}, true ${fixed(last.true)}, KL ${fixed(last.kl)}. `;
  const peak = `The highest true reward was ${fixed(run.history[0].true + verdict.peak)} at step ${verdict.peakStep}.`;
  picture("traces", LOW.y + LOW.height + 24, now + peak, ...shapes);
}

/** The run's history as a table; drawn when it is open. */
export function drawNumbers({ run, verdict }) {
  if (!$("numbers-box").open) return;
  const rows = thinned(run.history, verdict.peakStep, 24).map((point) =>
    html(
      "tr",
      point.step === verdict.peakStep ? { class: "best" } : {},
      html("th", { scope: "row" }, point.step.toLocaleString("en")),
      ...[point.proxy, point.true, point.kl].map((value) => html("td", {}, fixed(value))),
    ),
  );
  $("numbers").replaceChildren(...rows);
}

/** About `count` points of the history, evenly along the logarithmic axis, with the first, the last and the peak among them. */
function thinned(history, peak, count = 160) {
  const last = history.length - 1;
  const chosen = new Set([0, peak, last]);
  for (let i = 1; i < count; i += 1) chosen.add(Math.round(Math.expm1((Math.log1p(last) * i) / count)));
  return [...chosen].sort((a, b) => a - b).map((i) => history[i]);
}

function steps(most) {
  const marks = [0];
  for (let step = 1; step <= most; step *= 10) marks.push(step);
  const last = marks[marks.length - 1];
  if (most / last >= 3) marks.push(most);
  return marks;
}

export function scale(low, high, { y, height }) {
  const room = (high - low || 1) * 0.06;
  const [from, to] = [low - (low === 0 ? 0 : room), high + room];
  const at = (value) => y + height - ((value - from) / (to - from)) * height;
  return Object.assign(at, { from, to });
}

export function axis(at, place, left, right, count = 4) {
  return ticks(at.from, at.to, count).flatMap((value) => [
    svg("line", { x1: left, x2: right, y1: at(value), y2: at(value), class: Math.abs(value) < 1e-12 ? "zero" : "grid" }),
    label(left - 8, at(value) + 4, tick(value), { "text-anchor": "end" }),
  ]);
}
