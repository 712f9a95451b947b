// The second chapter: recorded runs of PPO on nano, one for each of twelve values of β.

import { $, apart, label, line, picture, say, setPlace, svg, widthOf } from "./draw.js";
import { SIDES_OF_PLOT } from "./promise.js";
import { NANO } from "./recorded.js";
import { axis, scale } from "./traces.js";
import { fixed, plain } from "./words.js";

const BY_BETA = { y: 22, height: 230 };
const BY_STEP = { y: 14, height: 150 };

export function drawNano({ state }) {
  const run = NANO.runs[state.nano];
  const end = lastOf(run);
  for (const [id, text] of [
    ["nano-strip-beta", plain(run.beta)],
    ["nano-strip-proxy", fixed(end.proxy, 2)],
    ["nano-strip-true", fixed(end.truth, 2)],
    ["nano-strip-word", run.verdict],
    ["nano-word", run.verdict],
    ["nano-because", `${run.rule[0].toUpperCase()}${run.rule.slice(1)}. Proxy ${fixed(end.proxy, 2)}, true ${fixed(end.truth, 2)}, ${fixed(end.kl, 1)} nats from SFT.`],
    ["nano-prompt", NANO.prompt],
    ["nano-answer", run.answer],
    ["onward-lab", `trueward run nano --set policy.kl_coef=${plain(state.beta)}`],
    ["onward-nano", `trueward run nano --set policy.kl_coef=${plain(run.beta)}`],
    ["nano-source", `Recorded with trueward at commit ${NANO.commit}, seed ${NANO.seed}, by scripts/record_lab.py.`],
  ]) say(id, text);
  $("nano-card").dataset.word = run.verdict;
  setPlace("nano-beta", state.nano, `β = ${plain(run.beta)}: proxy ${fixed(end.proxy, 2)}, true ${fixed(end.truth, 2)}, ${run.verdict}`);
  drawByBeta(state.nano);
  drawBySteps(run);
}

function lastOf(run) {
  const last = run.truth.length - 1;
  return { proxy: run.proxy[last], truth: run.truth[last], kl: run.kl[last] };
}

function drawByBeta(chosen) {
  const width = widthOf("nano-chart");
  const [left, right] = SIDES_OF_PLOT;
  const ends = NANO.runs.map(lastOf);
  const all = ends.flatMap(({ proxy, truth }) => [proxy, truth]);
  const y = scale(Math.min(...all), Math.max(...all), BY_BETA);
  const x = (i) => left + (i / (ends.length - 1)) * (width - left - right);
  const foot = BY_BETA.y + BY_BETA.height;
  const shapes = [label(0, 11, "reward after the last step, in SDs"), ...axis(y, BY_BETA, left, width - right)];
  const band = [...ends.map((end, i) => [x(i), y(end.proxy)]), ...ends.map((end, i) => [x(i), y(end.truth)]).reverse()];
  shapes.push(svg("path", { d: `${line(band)}Z`, class: "gap" }));
  shapes.push(svg("line", { x1: x(chosen), x2: x(chosen), y1: BY_BETA.y, y2: foot + 6, class: "cursor" }));
  for (const [key, kind] of [["proxy", "proxy"], ["truth", "truth"]]) {
    shapes.push(svg("path", { d: line(ends.map((end, i) => [x(i), y(end[key])])), class: `line ${kind}` }));
    ends.forEach((end, i) => shapes.push(svg("circle", { cx: x(i), cy: y(end[key]), r: i === chosen ? 6 : 3, class: `dot ${kind}` })));
  }
  const sparse = width < 520 ? 3 : 1;
  NANO.runs.forEach(({ beta }, i) => {
    if (i % sparse === 0 || i === ends.length - 1) shapes.push(label(x(i), foot + 22, plain(beta), { "text-anchor": "middle", class: i === chosen ? "name" : null }));
  });
  const { proxy, truth } = ends[chosen];
  const [up, down] = apart(y(proxy) - 14, y(truth) + 15, 18); // above and below the lines
  const before = x(chosen) > width * 0.6;
  const place = { "text-anchor": before ? "end" : "start" };
  const aside = x(chosen) + (before ? -13 : 13);
  shapes.push(label(aside, up + 5, `proxy ${fixed(proxy, 2)}`, { ...place, class: "name proxy" }));
  shapes.push(label(aside, down + 5, `true ${fixed(truth, 2)}`, { ...place, class: "name truth" }));
  const words = NANO.runs.map(({ beta }, i) => `β ${plain(beta)}: proxy ${fixed(ends[i].proxy, 2)}, true ${fixed(ends[i].truth, 2)}`);
  picture("nano-chart", foot + 26, words.join("; "), ...shapes);
}

/** The chosen run by step; the others' truths behind it, so that the axes stay where they are. */
function drawBySteps(run) {
  const width = widthOf("nano-curves");
  const [left, right] = [36, 14];
  const all = NANO.runs.flatMap(({ proxy, truth }) => [...proxy, ...truth]);
  const y = scale(Math.min(...all), Math.max(...all), BY_STEP);
  const most = NANO.steps[NANO.steps.length - 1];
  const x = (i) => left + (NANO.steps[i] / most) * (width - left - right);
  const curve = (values) => line(values.map((value, i) => [x(i), y(value)]));
  const foot = BY_STEP.y + BY_STEP.height;
  const shapes = axis(y, BY_STEP, left, width - right);
  for (const other of NANO.runs) shapes.push(svg("path", { d: curve(other.truth), class: "others" }));
  shapes.push(svg("path", { d: curve(run.proxy), class: "line proxy" }), svg("path", { d: curve(run.truth), class: "line truth" }));
  for (const step of [0, most / 3, (2 * most) / 3, most]) {
    const at = left + (step / most) * (width - left - right);
    shapes.push(label(at, foot + 17, String(Math.round(step)), { "text-anchor": step === most ? "end" : "middle" }));
  }
  shapes.push(label(left + (width - left - right) / 6, foot + 17, "step", { "text-anchor": "middle" }));
  const best = run.truth.indexOf(Math.max(...run.truth));
  shapes.push(svg("circle", { cx: x(best), cy: y(run.truth[best]), r: 4.5, class: "ring truth" }));
  picture("nano-curves", foot + 24, `The truth is highest at step ${NANO.steps[best]}, ${fixed(run.truth[best], 2)}, and ends at ${fixed(lastOf(run).truth, 2)}.`, ...shapes);
}
