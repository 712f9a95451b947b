// Where the ascent ends: the closed form of the anchored optimum, and what the truth does along it. The twin of tilt.py.

import { logSoftmax, mean, sum } from "./core.js";
import { klOf } from "./policy.js";

export const BETAS = Array.from({ length: 20 }, (_, i) => 10 ** (-2 + (4 * i) / 19));

/** π ∝ π_SFT·e^(proxy/β), and its averages. */
export function optimum(proxy, truths, reference, beta) {
  const logReference = reference.map(Math.log);
  const logPi = logSoftmax(logReference.map((x, i) => x + proxy[i] / beta));
  const pi = logPi.map(Math.exp);
  return { beta, pi, proxy: mean(pi, proxy), true: mean(pi, truths), kl: klOf(logPi, logReference) };
}

/** β·log Σ π_SFT·e^(proxy/β): no policy has more. */
export function bestObjective(proxy, reference, beta) {
  const top = Math.max(...proxy);
  return top + beta * Math.log(sum(proxy.map((r, i) => reference[i] * Math.exp((r - top) / beta))));
}

/** Cov_π(r*, r̂): the slope of the true reward along the tilt, dE[r*]/d(1/β). */
export function covariance(pi, truths, proxy) {
  const [t, r] = [mean(pi, truths), mean(pi, proxy)];
  return sum(pi.map((p, i) => p * (truths[i] - t) * (proxy[i] - r)));
}

export function sweep(proxy, truths, reference) {
  return BETAS.map((beta) => optimum(proxy, truths, reference, beta));
}

/** The point of the highest true reward; of those within rounding of it the tightest anchor. */
export function bestOf(points) {
  const highest = Math.max(...points.map((point) => point.true));
  return points.filter((point) => point.true >= highest - 1e-12).reduce((a, b) => (b.beta > a.beta ? b : a));
}
