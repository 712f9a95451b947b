// Which control does what: from clicks and keys to the acts of main.js.

import { $, say } from "./draw.js";
import { within } from "./lesson.js";

export function listen(act, state) {
  const on = (what, does) => (typeof what === "string" ? $(what) : what).addEventListener("click", does);
  for (const [id, does] of Object.entries({
    left: () => act.click(0),
    right: () => act.click(1),
    tie: () => act.click(0, true),
    another: act.pass,
    undo: act.undo,
    clear: act.clear,
    annotate: act.annotate,
    shift: () => act.change({ shift: 1 - state().shift }),
    play: act.play,
    step: act.step,
    reset: act.reset,
    sweep: () => act.change({ swept: !state().swept }),
    "reveal-button": () => act.change({ revealed: !state().revealed }),
    afresh: act.afresh,
  })) {
    on(id, does);
  }
  copies("link", () => location.href, "It is in the address bar");
  for (const which of ["lab", "nano"]) copies(`copy-${which}`, () => $(`onward-${which}`).textContent, "Select it to copy");
  $("beta").addEventListener("input", () => act.beta(Number((10 ** Number($("beta").value)).toPrecision(3))));
  $("nano-beta").addEventListener("input", () => act.change({ nano: Number($("nano-beta").value) }));
  number("beta-number", act.beta, act.show);
  number("steps", (value) => act.change({ steps: Math.round(within("steps", value)) }), act.show);
  number("blind", (value) => act.reward({ blind: within("blind", value) }), act.show);
  number("lr", (value) => act.reward({ lr: within("lr", value) }), act.show);
  number("seed", act.seed, act.show);
  $("blind-on").addEventListener("change", () => act.reward({ blind: $("blind-on").checked ? 1.5 : null }));
  for (const link of document.querySelectorAll("a[href^='#']:not(.button)")) {
    on(link, (event) => {
      event.preventDefault(); // the address keeps the state
      goTo(link.hash.slice(1));
    });
  }
  on("jobs-link", (event) => {
    event.preventDefault();
    act.follow($("jobs-link").hash.slice(1), "Two jobs");
  });
}

export function goTo(id) {
  const heading = $(id).matches("section") ? $($(id).getAttribute("aria-labelledby")) : $(id);
  heading.focus({ preventScroll: true });
  (heading.closest(".plot") ?? heading).scrollIntoView(); // a slider comes with the picture above it
}

function number(id, use, show) {
  $(id).addEventListener("change", () => {
    if ($(id).value !== "" && Number.isFinite($(id).valueAsNumber)) use($(id).valueAsNumber);
    show();
    $(id).value = $(id).defaultValue; // what was clamped, or made no sense, is put right
  });
}

function copies(id, text, otherwise) {
  const name = $(id).textContent;
  $(id).addEventListener("click", async () => {
    const copied = await navigator.clipboard?.writeText(text()).then(() => true, () => false);
    say(id, copied ? "Copied" : otherwise);
    setTimeout(() => say(id, name), 2000);
  });
}
