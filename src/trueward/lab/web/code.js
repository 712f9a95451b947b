// The engine's own text, and the trap.

import { letter } from "./clicks.js";
import { clicked, ascended, gradient, logSoftmax, mean, proxies, rate, sigmoid, sum } from "./core.js";
import { $, html } from "./draw.js";
import { anchorSlope, klOf, shortForm } from "./policy.js";
import { fixed } from "./words.js";

const CORE = [clicked, proxies, gradient, ascended, rate];
const SMALL = [sigmoid, logSoftmax, mean, sum];

export function showSource() {
  $("source").replaceChildren(...lit(CORE));
  $("source-small").replaceChildren(...lit(SMALL));
}

/** The functions' texts, with their comments set apart. */
function lit(functions) {
  const text = functions.map((part) => part.toString()).join("\n\n");
  return text.split(/(\/\/.*)/).map((piece) => (piece.startsWith("//") ? html("span", { class: "comment" }, piece) : piece));
}

/** −β·KL's slope by central differences: no formula of ours is in it but KL's own. */
export function measuredSlope(logits, logReference, beta, h = 1e-5) {
  const moved = (i, by) => -beta * klOf(logSoftmax(logits.map((x, j) => (i === j ? x + by : x))), logReference);
  return logits.map((_, i) => (moved(i, h) - moved(i, -h)) / (2 * h));
}

export function drawTrap({ run, state }) {
  if (!$("trap-box").open) return;
  const columns = [anchorSlope, measuredSlope, shortForm].map((slope) => slope(run.logits, run.logReference, state.beta));
  const rows = run.logits.map((_, i) => html("tr", {}, html("th", { scope: "row" }, letter(i)), ...columns.map((c) => html("td", {}, fixed(c[i], 5)))));
  $("trap").replaceChildren(...rows);
}
