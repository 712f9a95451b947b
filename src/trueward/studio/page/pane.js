// A text in a frame: it scrolls, fades where it goes on, and knows whether its end was on the screen.
import { html, useLayoutEffect, useRef, useState } from "./vendor.js";

const SLACK = 4; // pixels

// How much of the window the choices cover at its foot, where they lie over the page.
const covered = () => {
  const dock = document.querySelector(".dock");
  return dock && getComputedStyle(dock).position === "fixed" ? dock.offsetHeight : 0;
};

// onEnd: called when the end of the text has been seen. The key of a pane is that of its text.
export function Pane({ kind, label, onEnd, children }) {
  const box = useRef();
  const foot = useRef();
  const [more, setMore] = useState(false);
  useLayoutEffect(() => {
    let seen = false;
    const look = () => {
      if (!box.current || !foot.current) return; // a scroll on the way out: the pane is gone
      const [around, end] = [box.current.getBoundingClientRect(), foot.current.getBoundingClientRect()];
      setMore(box.current.scrollHeight - box.current.scrollTop - box.current.clientHeight > SLACK);
      if (seen || end.bottom > Math.min(around.bottom, innerHeight - covered()) + SLACK || end.bottom < 0) return;
      seen = true;
      onEnd?.();
    };
    // a frame later: what is shown may change the sizes that are being observed
    let frame = 0;
    const sizes = new ResizeObserver(() => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(look);
    });
    sizes.observe(box.current);
    sizes.observe(box.current.firstElementChild);
    box.current.addEventListener("scroll", look, { passive: true });
    addEventListener("scroll", look, { passive: true });
    look();
    return () => {
      sizes.disconnect();
      cancelAnimationFrame(frame);
      removeEventListener("scroll", look);
    };
  }, []);
  return html`<div class=${`pane ${kind}-pane`}>
    <section class=${kind} aria-label=${label} tabindex="0" ref=${box}><div>${children}<i class="foot" ref=${foot}></i></div></section>
    ${more && html`<div class="fade"><button tabindex="-1" onClick=${() => onward(box.current)}>More <kbd>M</kbd></button></div>`}</div>`;
}

const onward = (box) => box.scrollBy({ top: 0.8 * box.clientHeight, behavior: "smooth" });

// The next part of whatever goes on: of each frame, or of the page where the frames are as long as their texts.
export function onwardAll() {
  for (const box of document.querySelectorAll(".pane > section")) onward(box);
  if (covered()) scrollBy({ top: 0.7 * (innerHeight - covered()), behavior: "smooth" });
}
