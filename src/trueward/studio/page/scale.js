// The seven choices between two answers: key, side, strength, words, and words below "A is" and "B is" on a phone.
export const SCALE = [
  ["1", "left", 3, "A much better", "much"],
  ["2", "left", 2, "A better", "better"],
  ["3", "left", 1, "A slightly better", "slightly"],
  ["4", null, null, "Tie", "tie"],
  ["5", "right", 1, "B slightly better", "slightly"],
  ["6", "right", 2, "B better", "better"],
  ["7", "right", 3, "B much better", "much"],
];
