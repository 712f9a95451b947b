// Where we are: the address bar, as a signal.
import { html, signal } from "./vendor.js";

export const here = signal(location.pathname + location.search);

export function go(path) {
  if (path !== here.value) history.pushState(null, "", path);
  here.value = path;
  scrollTo(0, 0);
  requestAnimationFrame(() => document.querySelector("main")?.focus({ preventScroll: true }));
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
