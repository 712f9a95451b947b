// How numbers and verdicts are written.

/** A number with so many decimals and a true minus sign; never "−0.000". */
export function fixed(x, digits = 3) {
  const text = Math.abs(x).toFixed(digits);
  return (x < 0 && Number(text) !== 0 ? "−" : "") + text;
}

export function signed(x, digits = 3) {
  const text = fixed(x, digits);
  return text.startsWith("−") || Number(text) === 0 ? text : `+${text}`;
}

/** β and other settings: three significant digits, without trailing noughts. */
export function plain(x) {
  return String(Number(x.toPrecision(3))).replace("-", "−");
}

export function tick(x) {
  return String(Number(x.toPrecision(6))).replace("-", "−");
}

export function counted(n, one, many = `${one}s`) {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

export function percent(x) {
  if (x > 0 && x < 0.005) return "less than 1 %";
  return `${Math.round(100 * x)} %`;
}

export const WORDS = {
  "no signal": "There is nothing to gain: the proxy is flat.",
  pinned: "The anchor holds the policy so tightly that it has hardly moved.",
  hacking: "The proxy went up and the truth went down. The policy found where the reward is wrong.",
  "over-optimised": "The truth rose, turned, and fell back. The best policy lies behind.",
  learning: "The truth rose with the proxy, and most of what it won is still there.",
  inconclusive: "The policy moved, and the truth did not, to speak of.",
};
