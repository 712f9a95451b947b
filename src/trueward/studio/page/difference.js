// What one text says and the other doesn't, by words: the longest common subsequence stays unmarked.
import { pieces } from "./signs.js";
import { html } from "./vendor.js";

const WORDS = /\s+|[\p{L}\p{N}_'’]+|[^\s]/gu;
const MOST = 4e6; // cells of the table; beyond it nothing is marked

export function different(one, other) {
  const [a, b] = [one.match(WORDS) || [], other.match(WORDS) || []];
  const wide = b.length + 1;
  if ((a.length + 1) * wide > MOST) return [[[one, false]], [[other, false]]];
  const table = new Uint16Array((a.length + 1) * wide);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      table[i * wide + j] =
        a[i] === b[j]
          ? table[(i + 1) * wide + j + 1] + 1
          : Math.max(table[(i + 1) * wide + j], table[i * wide + j + 1]);
  const sides = [[], []];
  const add = (side, word, marked) => {
    const last = sides[side].at(-1);
    if (last && (last[1] === marked || !word.trim())) last[0] += word;
    else sides[side].push([word, marked && !!word.trim()]);
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      add(0, a[i++], false);
      add(1, b[j++], false);
    } else if (j >= b.length || (i < a.length && table[(i + 1) * wide + j] >= table[i * wide + j + 1])) add(0, a[i++], true);
    else add(1, b[j++], true);
  }
  return sides;
}

export const Marked = ({ parts }) =>
  html`<p class="verbatim" dir="auto">${parts.map(([text, marked]) => (marked ? html`<mark>${pieces(text)}</mark>` : pieces(text)))}</p>`;
