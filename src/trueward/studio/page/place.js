// Where we are: the address bar, as a signal.
import { html, signal } from "./vendor.js";

export const here = signal(location.pathname + location.search);

export function go(path) {
  if (path !== here.value) history.pushState(null, "", path);
  here.value = path;
  scrollTo(0, 0);
  requestAnimationFrame(() => document.querySelector("main")?.focus({ preventScroll: true }));
}

// What the address says behind its "?": the view of a page, so that a link, a reload and the way back keep it.
export const view = () => new URLSearchParams(here.value.split("?")[1] || "");

// Change parts of the view; an empty value takes a part out. `push`: as a step that the way back undoes.
export function look(changes, push = false) {
  const query = view();
  for (const [key, value] of Object.entries(changes)) {
    query.delete(key);
    for (const each of [value].flat()) if (each !== "" && each !== null && each !== undefined) query.append(key, each);
  }
  const text = query.toString();
  const path = here.value.split("?")[0] + (text ? `?${text}` : "");
  if (path === here.value) return;
  history[push ? "pushState" : "replaceState"](null, "", path);
  here.value = path;
}

addEventListener("popstate", () => (here.value = location.pathname + location.search));

export function Link({ to, children, ...rest }) {
  const follow = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(to);
  };
  return html`<a href=${to} onClick=${follow} ...${rest}>${children}</a>`;
}
