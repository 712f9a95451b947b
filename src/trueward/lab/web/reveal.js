// Predict, then reveal: until then no true reward of a single answer is anywhere in the page.

import { letter } from "./clicks.js";
import { $, html, label, picture, say, svg, ticks, widthOf } from "./draw.js";
import { axis, scale } from "./traces.js";
import { fixed, tick } from "./words.js";

const FATES = ["pinned", "learning", "over-optimised", "hacking", "no signal", "inconclusive"];

/** The two guesses as radio buttons; `choose` hears of a choice. */
export function askGuesses(count, choose) {
  const best = Array.from({ length: count }, (_, i) => [String(i), letter(i)]);
  chips("guess-best", best, (value) => choose({ best: Number(value) }));
  chips("guess-word", FATES.map((word) => [word, word]), (word) => choose({ word }));
}

function chips(id, choices, chosen) {
  const made = choices.map(([value, text]) => {
    const input = html("input", { type: "radio", name: id, value });
    input.addEventListener("change", () => chosen(value));
    return html("label", { class: "chip" }, input, html("span", {}, text));
  });
  $(id).replaceChildren($(id).querySelector("legend"), ...made);
}

export function drawGuesses({ state }) {
  for (const input of document.querySelectorAll("#guess-best input")) input.checked = Number(input.value) === state.best;
  for (const input of document.querySelectorAll("#guess-word input")) input.checked = input.value === state.word;
}

export function drawReveal(view) {
  const { state, run } = view;
  const guessed = state.best !== null && state.word !== null;
  const ran = run.history.length > 1;
  $("reveal-button").disabled = !guessed && !state.revealed;
  $("reveal-button").classList.toggle("main", !state.revealed);
  say("reveal-button", state.revealed ? "Hide them again" : "Reveal the true rewards");
  $("revealed").hidden = !state.revealed;
  if (!state.revealed) {
    $("revealed").replaceChildren();
    say("reveal-note", waiting(guessed, ran));
    return;
  }
  say("reveal-note", outcome(view, ran));
  if (!$("revealed-chart")) {
    const chart = html("figure", { class: "card" }, html("h3", {}, "Score against truth"), html("div", { class: "chart", id: "revealed-chart" }));
    const caption = html("figcaption", {}, "A reward model that is right puts the letters on a rising line. The larger the dot, the more often the policy says it.");
    chart.append(caption);
    const split = html("div", { class: "split" }, html("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "What is true" }, table()), chart);
    $("revealed").replaceChildren(split);
  }
  rows(view);
  scatter(view);
}

function waiting(guessed, ran) {
  if (!guessed) return "Every answer has a true reward, what a fresh person would say of it. Make both guesses first.";
  return ran ? "Both guesses are made, and the policy has run. Now look." : "Both guesses are made. You can look now, or press play first.";
}

function outcome({ state, preset, verdict }, ran) {
  const best = preset.truths.indexOf(Math.max(...preset.truths));
  const first = best === state.best ? `${letter(best)} is the best, as you said.` : `The best is ${letter(best)}; you said ${letter(state.best)}.`;
  if (!ran) return `${first} The policy has not run yet.`;
  const second = verdict.word === state.word ? `And it was ${verdict.word}, as you said.` : `You expected “${state.word}”; so far it is “${verdict.word}”.`;
  return `${first} ${second}`;
}

function table() {
  const heads = ["", "answer", "true", "score", "SFT", "policy"].map((name) => html("th", { scope: "col" }, name));
  return html("table", { class: "answers" }, html("thead", {}, html("tr", {}, ...heads)), html("tbody", { id: "revealed-rows" }));
}

function rows({ preset, proxy, pi }) {
  const order = preset.truths.map((_, i) => i).sort((a, b) => preset.truths[b] - preset.truths[a]);
  const made = order.map((i) => {
    const cells = [preset.truths[i], proxy[i], preset.reference[i], pi[i]].map((value, n) => html("td", n === 0 ? { class: "truth" } : {}, fixed(value, n > 1 ? 3 : 2)));
    return html("tr", {}, html("th", { scope: "row" }, letter(i)), html("td", { class: "words" }, preset.responses[i]), ...cells);
  });
  $("revealed-rows").replaceChildren(...made);
}

function scatter({ preset, proxy, pi, model, state }) {
  const width = widthOf("revealed-chart");
  const box = { y: 20, height: 230 };
  const [left, right] = [44, 24];
  const [worst, best] = [Math.min(...preset.truths), Math.max(...preset.truths)];
  const spare = (best - worst) * 0.14; // a large dot stays clear of the axis
  const y = scale(worst - spare, best + spare, box);
  const [low, high] = [Math.min(...proxy), Math.max(...proxy)];
  const room = (high - low || 1) * 0.12;
  const x = (value) => left + ((value - low + room) / (high - low + 2 * room || 1)) * (width - left - right);
  const base = box.y + box.height;
  const shapes = axis(y, box, left, width - right);
  for (const value of ticks(low - room, high + room, 4)) shapes.push(label(x(value), base + 18, tick(value), { "text-anchor": "middle" }));
  shapes.push(label(0, 11, "true reward"), label(width, base + 34, "score r̂", { "text-anchor": "end" }));
  proxy.forEach((value, i) => {
    const unseen = !model.compared[i] && state.blind !== null;
    const radius = 9 + 17 * Math.sqrt(pi[i]);
    shapes.push(svg("circle", { cx: x(value), cy: y(preset.truths[i]), r: radius, class: unseen ? "bubble guessed" : "bubble" }));
    shapes.push(label(x(value), y(preset.truths[i]) + 5, letter(i), { "text-anchor": "middle", class: "name" }));
  });
  const values = proxy.map((value, i) => `${letter(i)}: score ${fixed(value, 2)}, true ${fixed(preset.truths[i], 2)}`).join("; ");
  picture("revealed-chart", base + 40, values, ...shapes);
}
