// The true reward against √KL: the path of the run, and where each β would end by the closed form.

import { $, label, line, picture, say, svg, ticks, widthOf } from "./draw.js";
import { bestOf, optimum, sweep } from "./tilt.js";
import { axis, scale } from "./traces.js";
import { fixed, plain, tick } from "./words.js";

const BOX = { y: 18, height: 226 };

export function drawDistance({ run, state, preset, proxy }) {
  const width = widthOf("distance");
  const [left, right] = [44, 22];
  const path = run.history.filter((_, i) => i < 400 || i % 20 === 0 || i === run.history.length - 1);
  const points = state.swept ? sweep(proxy, preset.truths, preset.reference) : [];
  const here = optimum(proxy, preset.truths, preset.reference, state.beta);
  const all = state.swept ? [...path, ...points, here] : path;
  const far = Math.max(0.35, ...all.map(({ kl }) => Math.sqrt(kl)));
  const truths = all.map((point) => point.true);
  const middle = run.history[0].true;
  const y = scale(Math.min(...truths, middle - 0.1), Math.max(...truths, middle + 0.1), BOX);
  const x = (kl) => left + (Math.sqrt(kl) / (far * 1.04)) * (width - left - right);
  const base = BOX.y + BOX.height;
  const shapes = axis(y, BOX, left, width - right, y.to - y.from < 0.5 ? 3 : 4);
  for (const value of ticks(0, far, 4)) shapes.push(label(x(value ** 2), base + 18, tick(value), { "text-anchor": "middle" }));
  shapes.push(label(width, base + 18, "√KL", { "text-anchor": "end" }), label(0, 11, "true reward"));
  if (state.swept) {
    shapes.push(svg("path", { d: line([...points].reverse().map((p) => [x(p.kl), y(p.true)])), class: "theory" }));
    for (const p of points) shapes.push(svg("circle", { cx: x(p.kl), cy: y(p.true), r: 3, class: "point" }));
  }
  shapes.push(svg("path", { d: line(path.map((point) => [x(point.kl), y(point.true)])), class: "line truth" }));
  if (state.swept) {
    const best = bestOf(points);
    const above = path.every((point) => point.true <= best.true); // the name stands where the run's line is not
    shapes.push(...marks(here, best, x, y, width, above));
  }
  const last = path[path.length - 1];
  shapes.push(svg("circle", { cx: x(last.kl), cy: y(last.true), r: 5, class: "dot truth" }));
  const theory = state.swept ? ` The closed form at this β: true ${fixed(here.true)} at √KL ${fixed(Math.sqrt(here.kl))}.` : "";
  picture("distance", base + 24, `True ${fixed(last.true)} at √KL ${fixed(Math.sqrt(last.kl))}.${theory}`, ...shapes);
  $("sweep").setAttribute("aria-pressed", String(state.swept));
  say("sweep-note", state.swept ? sweepText(bestOf(points), here) : "The path of the run. “Sweep β” adds where 20 values of β end, in closed form: π ∝ π_SFT·e^(r̂/β).");
}

function marks(here, best, x, y, width, above) {
  const [bx, by] = [x(best.kl), y(best.true)];
  const [hx, hy] = [x(here.kl), y(here.true)];
  const anchor = bx > width - 90 ? "end" : bx < 90 ? "start" : "middle";
  return [
    svg("path", { d: `M${hx} ${hy - 8}L${hx + 8} ${hy}L${hx} ${hy + 8}L${hx - 8} ${hy}Z`, class: "diamond" }),
    svg("circle", { cx: bx, cy: by, r: 8, class: "ring" }),
    label(bx, above ? Math.max(12, by - 14) : by + 25, `best β ${plain(best.beta)}`, { "text-anchor": anchor, class: "name" }),
  ];
}

function sweepText(best, here) {
  return (
    `Best of the 20: β = ${plain(best.beta)}, true ${fixed(best.true)} at KL ${fixed(best.kl)}. ` +
    `The diamond is where β = ${plain(here.beta)} ends: true ${fixed(here.true)}, KL ${fixed(here.kl)}.`
  );
}
