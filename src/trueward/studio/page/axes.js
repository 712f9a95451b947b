// One axis of a plot: from a value to a place on the screen, linear or logarithmic, and where its ticks are.
export const tidy = (value) =>
  (value && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e6) ? value.toExponential(1).replace(".0e", "e") : String(Math.round(value * 1e6) / 1e6)).replace("-", "−");

/* `values`: all that it has to hold. `zero`: whether 0 belongs to a linear one. `place(v)`: 0 to 1, null for what it can't show. */
export function axis(values, log, zero = false) {
  const known = values.filter((v) => Number.isFinite(v) && (!log || v > 0)).map((v) => (log ? Math.log10(v) : v));
  if (zero && !log) known.push(0);
  let [low, high] = known.length ? [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))] : [0, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  if (!(zero && low === 0)) low -= room;
  high += room;
  const place = (v) => (Number.isFinite(v) && (!log || v > 0) ? ((log ? Math.log10(v) : v) - low) / (high - low) : null);
  const back = (share) => (log ? 10 ** (low + share * (high - low)) : low + share * (high - low));
  return { place, back, ticks: log ? decades(low, high) : even(low, high), log };
}

function even(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const values = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) values.push(n * step);
  return values;
}

// Powers of ten; with few of them 1, 2 and 5; with hardly any, even steps.
function decades(low, high) {
  const values = [];
  const parts = high - low > 3 ? [1] : [1, 2, 5];
  const every = Math.max(1, Math.ceil((high - low) / 6));
  for (let power = Math.floor(low); power <= high; power++)
    if (power % every === 0) for (const part of parts) values.push(part * 10 ** power);
  const inside = values.filter((v) => Math.log10(v) >= low && Math.log10(v) <= high);
  return inside.length > 1 ? inside : even(10 ** low, 10 ** high).filter((v) => v > 0);
}
