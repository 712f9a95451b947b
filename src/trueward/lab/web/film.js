// The third chapter: one prompt's answers at five points of a run of `reviews` that has no anchor.

import { $, apart, html, label, line, picture, say, svg, widthOf } from "./draw.js";
import { REVIEWS } from "./recorded.js";
import { axis, scale } from "./traces.js";
import { fixed, signed } from "./words.js";

const ROOM = { y: 14, height: 170 };

const NUMBERED = REVIEWS?.prompts ?? [];

/** The prompts as radio buttons; `choose` hears of a choice. */
export function buildFilm(choose) {
  $("film-chapter").hidden = $("film-link").hidden = NUMBERED.length === 0; // if no run was recorded
  const chips = NUMBERED.map(({ prompt }, i) => {
    const input = html("input", { type: "radio", name: "text", value: String(i) });
    input.addEventListener("change", () => choose(i));
    return html("label", { class: "chip" }, input, html("span", {}, `${prompt} …`));
  });
  $("text-prompts").append(...chips);
}

export function drawFilm({ state }) {
  if (NUMBERED.length === 0) return;
  for (const input of document.querySelectorAll("#text-prompts input")) input.checked = Number(input.value) === state.text;
  const last = REVIEWS.steps.length - 1;
  say("text-strip-beta", "0");
  say("text-strip-proxy", fixed(REVIEWS.proxy[last], 2));
  say("text-strip-true", fixed(REVIEWS.truth[last], 2));
  say("text-strip-word", REVIEWS.verdicts[last]);
  const { answers } = REVIEWS.prompts[state.text];
  const reach = Math.max(...REVIEWS.prompts.flatMap((p) => p.answers.flatMap((a) => [Math.abs(a.proxy), Math.abs(a.truth)])));
  $("film").replaceChildren(...answers.map((answer) => frame(answer, reach)));
  say("text-source", `${REVIEWS.command}, seed ${REVIEWS.seed}, recorded at commit ${REVIEWS.commit}. The prompts are those whose truths stay closest to the average of all. Rewards are in SDs of SFT’s answers.`);
  drawCourse();
}

function frame({ step, text, proxy, truth }, reach) {
  const at = REVIEWS.steps.indexOf(step);
  const head = html("p", { class: "when" }, html("b", {}, `Step ${step}`), ` ${fixed(REVIEWS.kl[at], 0)} nats from SFT`);
  const bars = html("dl", { class: "pairs" }, bar("proxy", proxy, reach, "proxy"), bar("true", truth, reach, "truth"));
  return html("li", {}, html("div", {}, head, bars), html("blockquote", {}, ...marked(text)));
}

function bar(name, value, reach, kind) {
  const half = 46;
  const long = (Math.abs(value) / reach) * half;
  const shape = svg(
    "svg",
    { viewBox: `0 0 ${2 * half} 12`, width: 2 * half, height: 12, "aria-hidden": "true" },
    svg("line", { x1: half, x2: half, y1: 0, y2: 12, class: "zero" }),
    svg("rect", { x: value < 0 ? half - long : half, y: 2, width: Math.max(1, long), height: 8, class: `fill ${kind}` }),
  );
  return html("div", { class: kind }, html("dt", {}, name), html("dd", {}, html("span", { class: "chart" }, shape), html("b", {}, signed(value, 2))));
}

/** The text, with what repeats two words that were there before in marks. */
export function marked(text) {
  const pieces = text.split(/(\s+)/);
  const words = pieces.map((piece) => piece.toLowerCase().replace(/[^\p{L}\p{N}']/gu, ""));
  const places = pieces.flatMap((_, i) => (words[i] ? [i] : []));
  const before = new Set();
  const again = new Set();
  for (let n = 1; n < places.length; n += 1) {
    const two = `${words[places[n - 1]]} ${words[places[n]]}`;
    if (before.has(two)) again.add(places[n - 1]).add(places[n]);
    before.add(two);
  }
  const made = [];
  let run = "";
  pieces.forEach((piece, i) => {
    const inside = again.has(i) || (!words[i] && again.has(i - 1) && again.has(i + 1));
    if (inside) run += piece;
    if (!inside && run) made.push(html("mark", {}, run));
    if (!inside) {
      run = "";
      made.push(piece);
    }
  });
  if (run) made.push(html("mark", {}, run));
  return made;
}

function drawCourse() {
  const width = widthOf("text-chart");
  const [left, right] = [36, 86];
  const { steps, proxy, truth, points } = REVIEWS;
  const y = scale(Math.min(...proxy, ...truth), Math.max(...proxy, ...truth), ROOM);
  const most = steps[steps.length - 1];
  const x = (step) => left + (step / most) * (width - left - right);
  const foot = ROOM.y + ROOM.height;
  const shapes = axis(y, ROOM, left, width - right);
  const curve = (values) => steps.map((step, i) => [x(step), y(values[i])]);
  shapes.push(svg("path", { d: `${line([...curve(proxy), ...curve(truth).reverse()])}Z`, class: "gap" }));
  for (const step of points) {
    shapes.push(svg("line", { x1: x(step), x2: x(step), y1: ROOM.y, y2: foot, class: "peak" }));
    shapes.push(label(x(step), foot + 17, String(step), { "text-anchor": "middle" }));
  }
  shapes.push(label(width, foot + 17, "step", { "text-anchor": "end" }));
  for (const [values, kind] of [[proxy, "proxy"], [truth, "truth"]]) {
    shapes.push(svg("path", { d: line(curve(values)), class: `line ${kind}` }));
    for (const step of points) shapes.push(svg("circle", { cx: x(step), cy: y(values[steps.indexOf(step)]), r: 4.5, class: `dot ${kind}` }));
  }
  const ends = [proxy, truth].map((values) => values[values.length - 1]);
  const [up, down] = apart(y(ends[0]), y(ends[1]), 18);
  shapes.push(label(x(most) + 11, up + 4, `proxy ${fixed(ends[0], 2)}`, { class: "name proxy" }));
  shapes.push(label(x(most) + 11, down + 4, `true ${fixed(ends[1], 2)}`, { class: "name truth" }));
  const words = points.map((step) => `step ${step}: proxy ${fixed(proxy[steps.indexOf(step)], 2)}, true ${fixed(truth[steps.indexOf(step)], 2)}`);
  picture("text-chart", foot + 24, words.join("; "), ...shapes);
}
