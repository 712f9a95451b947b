// The verdict with its rule and its numbers, the tiles, and the picture of the slope.

import { mean } from "./core.js";
import { $, html, label, picture, say, svg, widthOf } from "./draw.js";
import { covariance } from "./tilt.js";
import { LIMITS } from "./verdict.js";
import { WORDS, fixed, plain, signed } from "./words.js";

export function drawTiles({ run, rows, state, verdict }) {
  const [start, last] = [run.history[0], run.history[run.history.length - 1]];
  say("tile-clicks", String(rows.length));
  say("tile-loss", rows.length ? `loss of the last ${fixed(rows[rows.length - 1].loss)}` : "nothing is known yet");
  say("tile-proxy", fixed(last.proxy));
  say("tile-proxy-from", `from ${fixed(start.proxy)}`);
  say("tile-true", fixed(last.true));
  const peak = verdict.peakStep ? `, peak ${fixed(start.true + verdict.peak)} at step ${verdict.peakStep}` : "";
  say("tile-peak", `from ${fixed(start.true)}${peak}`);
  say("tile-kl", fixed(last.kl));
  say("strip-proxy", fixed(last.proxy));
  say("strip-true", fixed(last.true));
  say("tile-step", last.step.toLocaleString("en"));
  const betas = state.path.map(([beta]) => plain(beta));
  say("tile-path", betas.length > 3 ? `β = … ${betas.slice(-2).join(", ")}` : betas.length ? `β = ${betas.join(", ")}` : "the SFT policy");
}

/** How much of the gain at the peak is gone; what goes beyond all of it is said as a reward, since a share of it says nothing. */
export function lossOfPeak(peak, end) {
  if (peak <= 0) return "nothing";
  if (end < 0) return `all of it, and ${fixed(-end)} more`;
  return `${Math.round((100 * (peak - end)) / peak)} % of it`;
}

export function drawVerdict({ run, verdict }) {
  const begun = run.history.length > 1;
  say("verdict", begun ? verdict.word : "not run yet");
  say("because", begun ? WORDS[verdict.word] : "Press play, and it will say what became of the truth.");
  say("strip-word", $("verdict").textContent);
  $("verdict-card").dataset.word = begun ? verdict.word : "";
  say("sd", fixed(verdict.sd, 2));
  const { sd, proxy, kl, peak } = verdict;
  const lost = lossOfPeak(peak, verdict.true);
  const rules = {
    "no signal": [`KL and |Δproxy| < ${LIMITS.still}`, `KL ${fixed(kl)}, Δproxy ${signed(proxy)}`],
    pinned: [`KL < ${LIMITS.near}`, `KL ${fixed(kl)}`],
    hacking: [`Δtrue < −${LIMITS.fall} s = ${fixed(-LIMITS.fall * sd)}`, `Δtrue ${signed(verdict.true)}`],
    "over-optimised": [
      `gain at the peak > ${LIMITS.gain} s = ${fixed(LIMITS.gain * sd)}, and more than a quarter of it lost`,
      `gain ${fixed(peak)}, lost ${lost}`,
    ],
    learning: [`Δtrue > ${LIMITS.gain} s = ${fixed(LIMITS.gain * sd)}`, `Δtrue ${signed(verdict.true)}`],
    inconclusive: ["none of the others holds", `Δtrue ${signed(verdict.true)}, KL ${fixed(kl)}`],
  };
  $("deciding").hidden = !begun;
  say("rule", rules[verdict.word][0]);
  say("rule-now", rules[verdict.word][1]);
  const cells = Object.entries(rules).map(([word, texts]) =>
    html(
      "tr",
      begun && word === verdict.word ? { class: "best", "aria-current": "true" } : {},
      html("th", { scope: "row" }, word),
      ...texts.map((text) => html("td", { class: "words" }, text)),
    ),
  );
  $("rules").replaceChildren(...cells);
}

export function drawSlope({ pi, preset, proxy }) {
  const slope = covariance(pi, preset.truths, proxy);
  const width = widthOf("slope");
  const centre = width / 2;
  const even = proxy.map(() => 1 / proxy.length);
  const sd = (values) => Math.sqrt(mean(even, values.map((v) => (v - mean(even, values)) ** 2)));
  const full = Math.max(0.02, 0.6 * sd(proxy) * sd(preset.truths), Math.abs(slope));
  const long = (slope / full) * (centre - 4);
  const up = slope >= 0;
  picture(
    "slope",
    46,
    `Covariance of true reward and proxy under the policy: ${fixed(slope)}`,
    svg("rect", { x: 0, y: 22, width, height: 14, rx: 7, class: "track" }),
    svg("rect", { x: up ? centre : centre + long, y: 22, width: Math.abs(long), height: 14, rx: 3, class: up ? "up" : "down" }),
    svg("line", { x1: centre, x2: centre, y1: 17, y2: 41, class: "zero" }),
    label(0, 12, "less truth"),
    label(width, 12, "more truth", { "text-anchor": "end" }),
    label(centre, 12, signed(slope), { "text-anchor": "middle", class: "figure" }),
  );
  const still = Math.abs(slope) < 0.0005;
  say(
    "slope-note",
    still
      ? "Under this policy more proxy brings neither more truth nor less."
      : up
        ? "Under this policy, answers with more proxy are truly better: a little further is a little better."
        : "Under this policy, answers with more proxy are truly worse: every bit further costs truth.",
  );
}
