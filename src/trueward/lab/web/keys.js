// Single keys, where nobody is typing or moving a slider; they can be switched off (WCAG 2.1.4).

import { $ } from "./draw.js";

export const KEYS = {
  1: "left",
  ArrowLeft: "left",
  2: "right",
  ArrowRight: "right",
  t: "tie",
  n: "another",
  u: "undo",
  p: "play",
  ".": "step",
  r: "reset",
};

export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=radio]):not([type=checkbox])");
    const moving = event.key.startsWith("Arrow") && event.target.closest("input, [role=region]");
    if (!$("keys-on").checked || $("more").open || typing || moving || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const id = key === "b" ? "beta" : KEYS[key];
    if (!id) return;
    event.preventDefault();
    if (id === "beta") $(id).focus();
    else if (!$(id).disabled) $(id).click();
  });
}
