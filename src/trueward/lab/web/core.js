// The core of the engine. The page shows these functions, by their own text, in "The code".

/** σ(x), written so that the exponent is never positive. */
export function sigmoid(x) {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

export function clicked(model, click, lr) {
  // one gradient step on −log σ(r̂_w − r̂_l), Bradley–Terry
  const { winner: w, loser: l, tie } = click;
  const g = sigmoid(model.scores[l] - model.scores[w]) - (tie ? 0.5 : 0);
  const scores = [...model.scores];
  const compared = [...model.compared];
  scores[w] += lr * g;
  scores[l] -= lr * g;
  compared[w] = compared[l] = true;
  return { scores, compared };
}

export function proxies(model, blind, shift = 0) {
  // what the policy is rewarded with: r̂ where compared, else the blind-spot value
  return model.scores.map((score, i) => shift + (model.compared[i] || blind === null ? score : blind));
}

export function logSoftmax(logits) {
  const top = Math.max(...logits);
  const logZ = top + Math.log(sum(logits.map((x) => Math.exp(x - top))));
  return logits.map((x) => x - logZ);
}

export function gradient(logits, proxy, logReference, beta) {
  // of E[proxy] − β·KL(π‖π_SFT), exact: every response is summed over
  const logPi = logSoftmax(logits);
  const pi = logPi.map(Math.exp);
  const ratio = logPi.map((x, i) => x - logReference[i]);
  const expected = mean(pi, proxy);
  const kl = mean(pi, ratio);
  return pi.map((p, i) => p * (proxy[i] - expected) - beta * p * (ratio[i] - kl));
}

export function ascended(logits, proxy, logReference, beta) {
  // one step uphill; a tight anchor makes the hill steeper, so the step is shorter
  const slope = gradient(logits, proxy, logReference, beta);
  return logits.map((x, i) => x + rate(beta) * slope[i]);
}

export function rate(beta) {
  return Math.min(0.5, 1 / beta);
}

export function mean(pi, values) {
  return sum(pi.map((p, i) => p * values[i]));
}

export function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
