// Dragging a card to another one's place, by mouse, pen or finger. The page scrolls where the pointer comes to its edge.
import { useEffect, useRef, useState } from "./vendor.js";

const EDGE = 90; // pixels from the edge of the window at which it scrolls
const STEP = 14; // pixels a frame

// selector: of the cards, whose data-at is their place. onDrop(from, to). Returns what is dragged and what it is over, and how
// to begin.
export function useDrag(selector, onDrop) {
  const [drag, setDrag] = useState(null); // { from, over }
  const stop = useRef(() => {});
  useEffect(() => () => stop.current(), []);
  const begin = (from) => (event) => {
    if (event.button) return;
    event.preventDefault();
    let [x, y, over, frame] = [event.clientX, event.clientY, from, 0];
    const look = () => {
      const at = document.elementFromPoint(x, y)?.closest(selector)?.dataset.at;
      if (at !== undefined && Number(at) !== over) setDrag({ from, over: (over = Number(at)) });
    };
    const scroll = () => {
      const foot = innerHeight - (document.querySelector(".dock")?.offsetHeight ?? 0);
      const by = y < EDGE ? -STEP : y > foot - EDGE ? STEP : 0;
      if (by) {
        (document.querySelector(".ranked-list") ?? document.documentElement).scrollBy(0, by);
        scrollBy(0, by);
        look();
      }
      frame = requestAnimationFrame(scroll);
    };
    const move = (moved) => {
      [x, y] = [moved.clientX, moved.clientY];
      look();
    };
    const end = (ended) => {
      stop.current();
      if (ended.type === "pointerup" && over !== from) onDrop(from, over);
    };
    const escape = (pressed) => pressed.key === "Escape" && stop.current();
    const heard = { pointermove: move, pointerup: end, pointercancel: end, keydown: escape };
    stop.current = () => {
      cancelAnimationFrame(frame);
      for (const [kind, listener] of Object.entries(heard)) removeEventListener(kind, listener);
      setDrag(null);
      stop.current = () => {};
    };
    for (const [kind, listener] of Object.entries(heard)) addEventListener(kind, listener);
    frame = requestAnimationFrame(scroll);
    setDrag({ from, over });
  };
  return [drag, begin];
}
