// The clock of a run: so many steps from here, a few in each frame.

const SECONDS = 4.5;

/** `advance(n)` takes n steps; `ended()` hears the end. Even along the logarithmic axis of steps: slow where most happens. */
export function player(advance, ended) {
  let frame = 0;
  let done = 0;

  function pause() {
    cancelAnimationFrame(frame);
    frame = 0;
  }

  function play(from, steps) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      advance(steps);
      ended();
      return;
    }
    let begun = null;
    done = 0;
    const [low, high] = [Math.log1p(from), Math.log1p(from + steps)];
    function tick(now) {
      begun ??= now;
      const share = Math.min(1, (now - begun) / (1000 * SECONDS));
      const wanted = share === 1 ? steps : Math.floor(Math.expm1(low + share * (high - low)) - from);
      frame = requestAnimationFrame(tick);
      if (wanted > done) {
        const more = wanted - done;
        done = wanted;
        advance(more);
      }
      if (share === 1) {
        pause();
        ended();
      }
    }
    frame = requestAnimationFrame(tick);
  }

  return { play, pause, playing: () => frame !== 0 };
}
