// Act 2: the policy's path, evaluated after every step. The twin of policy.py.

import { ascended, gradient, logSoftmax, mean } from "./core.js";

/** KL(π‖π_SFT) in nats; rounding may not take it below 0. */
export function klOf(logPi, logReference) {
  return Math.max(0, mean(logPi.map(Math.exp), logPi.map((x, i) => x - logReference[i])));
}

/** J = E[proxy] − β·KL. */
export function objective(logPi, proxy, logReference, beta) {
  return mean(logPi.map(Math.exp), proxy) - beta * klOf(logPi, logReference);
}

export function startRun(proxy, truths, reference) {
  const logReference = reference.map(Math.log);
  const run = { proxy, truths, logReference, logits: [...logReference], history: [] };
  run.history.push(evaluate(run));
  return run;
}

/** So many steps further, from the policy as it is: β may be another one every time. */
export function goOn(run, beta, steps) {
  for (let i = 0; i < steps; i += 1) {
    run.logits = ascended(run.logits, run.proxy, run.logReference, beta);
    run.history.push(evaluate(run));
  }
}

export function policyOf(run) {
  return logSoftmax(run.logits).map(Math.exp);
}

/** Where the policy stands now: the averages under it, and its distance from SFT. */
function evaluate(run) {
  const logPi = logSoftmax(run.logits);
  const pi = logPi.map(Math.exp);
  return {
    step: run.history.length,
    proxy: mean(pi, run.proxy),
    true: mean(pi, run.truths),
    kl: klOf(logPi, run.logReference),
  };
}

/** The slope of the anchor alone: the gradient with a proxy of nothing. */
export function anchorSlope(logits, logReference, beta) {
  return gradient(logits, logits.map(() => 0), logReference, beta);
}

/** A slip that is easily made; shown beside the exact slope, never used. It forgets that θ_i moves the other πs too. */
export function shortForm(logits, logReference, beta) {
  return logSoftmax(logits).map((x, i) => {
    const p = Math.exp(x);
    return -beta * (x - logReference[i] + 1) * p * (1 - p);
  });
}
