// Chance without a state: the n-th number of a stream is a function of seed, stream and n alone. So undoing a click gives
// back the pair that was there, and a link replays a sitting. The twin of chance.py, to the last bit.

export const PAIRS = 1;
export const SIDES = 2;
export const NOISE = 3;
const STRIDE = 0x9e3779b9; // 2³² over the golden ratio: keeps the inputs 0, 1, 2 … apart

/** 32 bits to 32 bits, one to one (MurmurHash3's finalizer). */
export function mix(x) {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** The n-th number of a stream, uniform on [0, 1) in steps of 2⁻³². */
export function uniform(seed, stream, n) {
  let x = mix(seed + STRIDE);
  x = mix(x + Math.imul(stream, STRIDE));
  x = mix(x + Math.imul(n, STRIDE));
  return x / 2 ** 32;
}
