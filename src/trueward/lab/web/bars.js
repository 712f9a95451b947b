// The policy as bars, with the ghost of where it began.

import { letter } from "./clicks.js";
import { label, picture, svg, widthOf } from "./draw.js";
import { hatch } from "./pair.js";
import { fixed } from "./words.js";

export function drawBars({ pi, preset, model, state }) {
  const width = widthOf("bars");
  const [row, left, right] = [56, 30, 54];
  const x = (p) => left + p * (width - left - right);
  const shapes = [hatch("hatch-bars")];
  pi.forEach((p, i) => {
    const y = i * row + 4;
    const blind = !model.compared[i] && state.blind !== null;
    const ghost = preset.reference[i];
    shapes.push(
      svg("rect", { x: left, y, width: width - left - right, height: 22, rx: 4, class: "track" }),
      svg("rect", { x: left, y, width: Math.max(1.5, x(p) - left), height: 22, rx: 4, class: blind ? "blind" : "pi", fill: blind ? "url(#hatch-bars)" : null }),
      svg("rect", { x: left, y: y - 3, width: x(ghost) - left, height: 28, rx: 5, class: "ghost" }),
      label(4, y + 16, letter(i), { class: "name" }),
      label(left, y + 40, clipped(preset.responses[i], (width - left) / 7), { class: "tiny" }),
      label(width, y + 16, fixed(p), { "text-anchor": "end", class: "figure" }),
    );
  });
  const values = pi.map((p, i) => `${letter(i)} ${fixed(p)}, SFT ${fixed(preset.reference[i], 2)}`).join("; ");
  picture("bars", pi.length * row + 2, `The policy: ${values}`, ...shapes);
}

/** The beginning of an answer, of about so many letters, cut between words. */
function clipped(text, letters) {
  if (text.length <= letters) return text;
  const cut = text.slice(0, letters);
  return `${cut.slice(0, Math.max(1, cut.lastIndexOf(" ")))} …`;
}
