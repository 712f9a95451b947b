// Act 1: clicks, what they cost, which pair comes next, and how a link writes them. The twin of clicks.py.

import { PAIRS, SIDES, uniform } from "./chance.js";
import { clicked } from "./core.js";

/** −log σ(r̂_w − r̂_l) in nats; of a tie the mean of both directions. */
export function lossOf(model, click) {
  const d = model.scores[click.winner] - model.scores[click.loser];
  const win = Math.log1p(Math.exp(-Math.abs(d))) + Math.max(-d, 0);
  return click.tie ? win + d / 2 : win;
}

/** The reward model after all clicks, and a row for each: its loss, and how far it moved the first score. */
export function trained(clicks, responses, lr) {
  let model = { scores: Array(responses).fill(0), compared: Array(responses).fill(false) };
  const rows = [];
  for (const click of clicks) {
    const after = clicked(model, click, lr);
    const move = after.scores[click.winner] - model.scores[click.winner];
    rows.push({ click, loss: lossOf(model, click), move });
    model = after;
  }
  return { model, rows };
}

/** The pair to show, left and right: at random among the pairs compared least, `leftOut` aside. */
export function nextPair(clicks, responses, seed, skipped, leftOut = []) {
  const counts = new Map();
  for (let i = 0; i < responses; i += 1) {
    for (let j = i + 1; j < responses; j += 1) {
      if (!leftOut.includes(i) && !leftOut.includes(j)) counts.set(`${i},${j}`, 0);
    }
  }
  for (const { winner, loser } of clicks) {
    const pair = `${Math.min(winner, loser)},${Math.max(winner, loser)}`;
    if (counts.has(pair)) counts.set(pair, counts.get(pair) + 1);
  }
  const fewest = Math.min(...counts.values());
  const least = [...counts.keys()].filter((pair) => counts.get(pair) === fewest);
  const n = clicks.length + skipped;
  const [i, j] = least[Math.floor(uniform(seed, PAIRS, n) * least.length)].split(",").map(Number);
  return uniform(seed, SIDES, n) < 0.5 ? [i, j] : [j, i];
}

export function letter(i) {
  return String.fromCharCode(65 + i);
}

/** "BA" is B over A, "B=A" a tie; words that mean nothing are passed over, since a link can be mangled on its way. */
export function parseClicks(text, responses) {
  const clicks = [];
  for (const word of text.split(".")) {
    const match = /^([A-Z])(=?)([A-Z])$/.exec(word);
    if (!match) continue;
    const [winner, loser] = [match[1], match[3]].map((c) => c.charCodeAt(0) - 65);
    if (winner !== loser && Math.max(winner, loser) < responses) clicks.push({ winner, loser, tie: match[2] === "=" });
  }
  return clicks;
}

export function writeClicks(clicks) {
  return clicks.map(({ winner, loser, tie }) => letter(winner) + (tie ? "=" : "") + letter(loser)).join(".");
}
