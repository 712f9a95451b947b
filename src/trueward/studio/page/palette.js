// One palette for what has no meaning of its own, runs above all: eight colours, and then the same with other dashes.
const COLOURS = 8;
const DASHES = ["", "7 4", "2 3", "9 3 2 3", "14 4"];

export const tone = (index) => ({ colour: `var(--c${index % COLOURS})`, dash: DASHES[Math.floor(index / COLOURS) % DASHES.length] });
export const named = (name) => ({ colour: `var(--${name})`, dash: "" });
