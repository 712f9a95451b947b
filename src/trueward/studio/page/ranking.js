// An order of answers with ties. Each entry: `i`, the answer's place as it was shown, and whether it is as good as the one above.

// ranks: by answer; without them the order in which the answers were shown.
export function ordered(count, ranks) {
  const all = Array.from({ length: count }, (_, i) => ({ i, tied: false }));
  if (!ranks) return all;
  all.sort((one, other) => ranks[one.i] - ranks[other.i]);
  return all.map((entry, at) => ({ ...entry, tied: at > 0 && ranks[entry.i] === ranks[all[at - 1].i] }));
}

// To another place; within answers that are as good as each other it becomes one of them.
export function moved(order, at, to) {
  if (at === to || to < 0 || to >= order.length) return order;
  const rest = order.filter((_, i) => i !== at).map((entry) => ({ ...entry }));
  if (order[at + 1]?.tied && !order[at].tied) rest[at].tied = false; // the next one leads those that it led
  const between = to > 0 && !!rest[to]?.tied;
  rest.splice(to, 0, { i: order[at].i, tied: between });
  return rest;
}

// As good as the one above, or no longer.
export const tied = (order, at) => (at === 0 ? order : order.map((entry, i) => (i === at ? { ...entry, tied: !entry.tied } : entry)));

// The place of each entry: 1, 2, 2, 4.
export const places = (order) => order.map((_, at) => order.slice(0, at + 1).findLastIndex((entry) => !entry.tied) + 1);

// The rank of each answer as it was shown.
export function ranks(order) {
  const made = [];
  places(order).forEach((place, at) => (made[order[at].i] = place));
  return made;
}

export const letter = (i) => "ABCDEFGHI"[i];
export const spelled = (order) => order.map(({ i, tied }, at) => `${at ? (tied ? " = " : " \u203a ") : ""}${letter(i)}`).join("");
