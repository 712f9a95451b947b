// Act 1: the two answers, and sentences about the clicks.

import { letter, lossOf, nextPair } from "./clicks.js";
import { sigmoid } from "./core.js";
import { $, html, label, picture, say, svg, widthOf } from "./draw.js";
import { counted, fixed, signed } from "./words.js";

export function pairOf({ state, preset }) {
  return nextPair(state.clicks, preset.responses.length, state.seed, state.skipped, state.leftOut);
}

export function drawPair(view) {
  const { state, preset } = view;
  say("prompt", preset.prompt);
  pairOf(view).forEach((i, side) => {
    const place = side ? "right" : "left";
    say(`${place}-letter`, letter(i));
    say(`${place}-text`, preset.responses[i]);
  });
  $("clear").disabled = state.clicks.length === 0;
  say("annotate", `Add the annotator’s ${preset.annotator.length}`);
}

/** What the last click did, in a sentence for eyes and ears. */
export function lastClick({ rows }) {
  const row = rows[rows.length - 1];
  if (!row) return "No clicks so far. Nothing is known yet.";
  const { winner, loser, tie } = row.click;
  const [w, l] = [letter(winner), letter(loser)];
  const moves = `${w} ${signed(row.move)}, ${l} ${signed(-row.move)}.`;
  return `${tie ? `${w} and ${l} are equally good` : `${w} over ${l}`}: loss ${fixed(row.loss)}, ${moves}`;
}

export function drawCallouts(view) {
  const { state, model, proxy } = view;
  const [i, j] = pairOf(view);
  const [a, b] = [letter(i), letter(j)];
  const chance = fixed(sigmoid(model.scores[i] - model.scores[j]));
  const same = state.shift ? "Every score is 1 higher now, and this" : "P";
  const claim = state.shift
    ? `${same} has not moved: P(${a} is better than ${b}) = ${chance}. Nor has the policy.`
    : `P(${a} is better than ${b}) = σ(r̂(${a}) − r̂(${b})) = ${chance}. A constant drops out of the difference.`;
  say("shift-note", claim);
  $("shift").setAttribute("aria-pressed", String(state.shift === 1));
  drawSettled(view, i, j);
  const unseen = model.compared.flatMap((seen, k) => (seen ? [] : [letter(k)]));
  const value = unseen.length ? fixed(proxy[model.compared.indexOf(false)], 2) : "";
  const kind = state.blind === null ? "keeps its first score" : "gets the optimistic blind-spot value";
  say(
    "known-note",
    unseen.length
      ? `Never compared: ${unseen.join(", ")}. Nothing you said is about ${unseen.length > 1 ? "them, so each" : "it, so it"} ${kind}, ${value}.`
      : "Every answer was compared at least once. There is no blind spot left.",
  );
}

/** How far each click on the pair that is shown moved its scores, and how far the next one would. */
function drawSettled({ state, model, rows }, i, j) {
  const both = ({ winner, loser }) => Math.min(winner, loser) === Math.min(i, j) && Math.max(winner, loser) === Math.max(i, j);
  const moves = rows.filter(({ click }) => both(click)).map((row) => Math.abs(row.move));
  const ahead = model.scores[i] >= model.scores[j] ? [i, j] : [j, i];
  const gap = model.scores[ahead[0]] - model.scores[ahead[1]];
  const next = state.lr * sigmoid(-gap);
  const [a, b] = ahead.map(letter);
  const loss = lossOf(model, { winner: ahead[0], loser: ahead[1] });
  say(
    "settled-note",
    `${a} and ${b} ${["were never compared", "were compared once", "were compared twice"][moves.length] ?? `were compared ${counted(moves.length, "time")}`}. ${a} over ${b} would now cost ` +
      `${fixed(loss)} and move both scores by ${fixed(next)}. Where both are equal, a click moves them by ${fixed(state.lr / 2)}.`,
  );
  const width = widthOf("settled");
  const [top, base] = [16, 62];
  const bars = [...moves.slice(-5), next];
  const scale = (base - top) / Math.max(...bars, state.lr / 2);
  const room = Math.min(46, (width - 84) / bars.length);
  const shapes = bars.flatMap((move, n) => {
    const coming = n === bars.length - 1;
    const tall = Math.max(1, move * scale);
    const x = n * room;
    return [
      svg("rect", { x: x + 1, y: base - tall, width: room - 6, height: tall, rx: 2, class: coming ? "coming" : "done" }),
      label(x + (room - 4) / 2, base - tall - 4, fixed(move, 2), { class: "tiny", "text-anchor": "middle" }),
    ];
  });
  const equal = base - (state.lr / 2) * scale;
  shapes.unshift(svg("line", { x1: 0, x2: width, y1: equal, y2: equal, class: "peak" }));
  shapes.push(label(width, equal - 5, `${fixed(state.lr / 2, 2)} if equal`, { class: "tiny", "text-anchor": "end" }));
  picture("settled", base + 2, `Moves of this pair: ${bars.map((m) => fixed(m)).join(", ")}; the last is the next one`, ...shapes);
}

export function drawLog({ rows }) {
  say("log-count", String(rows.length));
  const cells = rows.map(({ click, loss, move }, n) => {
    const choice = `${letter(click.winner)} ${click.tie ? "=" : ">"} ${letter(click.loser)}`;
    return html("tr", {}, html("th", { scope: "row" }, String(n + 1)), ...[choice, fixed(loss), fixed(Math.abs(move))].map((c) => html("td", {}, c)));
  });
  $("log").replaceChildren(...cells.reverse());
}

/** A score for each response, as bars from 0; what was never compared is hatched. */
export function drawScores({ model, proxy, state }) {
  const width = widthOf("scores");
  const [row, left, right] = [36, 34, 16];
  const height = proxy.length * row + 8;
  const reach = Math.max(1.6, ...proxy.map(Math.abs)) * 1.02;
  const x = (value) => left + ((value + reach) / (2 * reach)) * (width - left - right);
  const shapes = [hatch("hatch"), svg("line", { x1: x(0), x2: x(0), y1: 0, y2: height - 6, class: "zero" })];
  proxy.forEach((value, i) => {
    const y = i * row + 6;
    const seen = model.compared[i];
    const unseen = seen ? "" : state.blind === null ? "never compared" : "blind spot";
    shapes.push(label(6, y + 17, letter(i), { class: "name" }));
    const from = Math.min(x(0), x(value));
    shapes.push(svg("rect", { x: from, y, width: Math.max(2, Math.abs(x(value) - x(0))), height: 24, rx: 3, class: seen ? "score" : "blind", fill: seen ? null : "url(#hatch)" }));
    const side = value > 0 ? -8 : 8; // the number stands where the bar is not
    const anchor = value > 0 ? "end" : "start";
    shapes.push(label(x(0) + side, y + 17, fixed(value, 2) + (unseen ? ` ${unseen}` : ""), { "text-anchor": anchor }));
  });
  const values = proxy.map((v, i) => `${letter(i)} ${fixed(v)}${model.compared[i] ? "" : " (never compared)"}`).join(", ");
  picture("scores", height, `Scores: ${values}`, ...shapes);
  say("scores-caption", "r̂, the score of each answer. Hatched: nobody ever compared it.");
}

export function hatch(id) {
  const stripe = svg("path", { d: "M0 6L6 0M-1.5 1.5L1.5 -1.5M4.5 7.5L7.5 4.5", class: "stripe" });
  return svg("defs", {}, svg("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse" }, stripe));
}
