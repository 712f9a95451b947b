// What stands behind "More": whose clicks, the seed, and things to try.

import { letter } from "./clicks.js";
import { $, html } from "./draw.js";
import { listMissions } from "./missions.js";
import { PRESETS } from "./presets.js";

/** Builds the dialog. `act` is told of what is chosen in it, and of who is never asked about. */
export function buildMore(act) {
  const choices = Object.entries(PRESETS).map(([name, { title }]) => {
    const input = html("input", { type: "radio", name: "preset", value: name });
    input.addEventListener("change", () => act.preset(name));
    return html("label", { class: "chip" }, input, html("span", {}, title));
  });
  $("presets").append(...choices);
  const boxes = PRESETS.classic.responses.map((_, i) => {
    const box = html("input", { type: "checkbox", value: String(i) });
    box.addEventListener("change", () => act.leaveOut(i, box.checked));
    return html("label", { class: "chip small" }, box, html("span", {}, letter(i)));
  });
  $("leave-out").append(...boxes);
  listMissions((link, title) => {
    $("more").close();
    act.follow(link, title);
  });
  $("more-open").addEventListener("click", () => $("more").showModal());
  $("more-close").addEventListener("click", () => $("more").close());
  $("more").addEventListener("click", (event) => {
    if (event.target === $("more")) $("more").close(); // beside it
  });
}
