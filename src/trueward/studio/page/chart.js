// Curves of many points by step, with uPlot; plot.js draws the others.
import { tidy } from "./axes.js";
import { uPlot } from "./vendor-chart.js";
import { html, signal, useEffect, useLayoutEffect, useRef, useState } from "./vendor.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
export const scheme = signal(dark.matches);
dark.addEventListener("change", () => (scheme.value = dark.matches));

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const faded = (value, share) => `color-mix(in srgb, ${value} ${share}%, transparent)`;

// A mean that forgets, with its bias at the start taken out: ŝ_t = s_t / (1 − β^t). Gaps stay gaps.
export function smoothed(values, beta) {
  let [mean, weight] = [0, 0];
  return values.map((value) => {
    if (value === null || value === undefined) return null;
    mean = beta * mean + (1 - beta) * value;
    weight = beta * weight + (1 - beta);
    return mean / weight;
  });
}

/* Curves over the same steps. `lines`: { name, values, colour, dash, low, high }; a band from low to high is shaded. */
export function Chart({ title, steps, lines, height = 230, beta = 0, group = "steps", unit = "", marks = [] }) {
  const box = useRef();
  const plot = useRef();
  const [at, setAt] = useState(null);
  const layers = [];
  for (const line of lines) {
    const tone = line.colour || "truth";
    if (line.low) layers.push({ ...line, tone, values: line.low, part: "low" }, { ...line, tone, values: line.high, part: "high" });
    if (beta > 0) layers.push({ ...line, tone, part: "raw" }, { ...line, tone, values: smoothed(line.values, beta), part: "line" });
    else layers.push({ ...line, tone, part: "line" });
  }
  const data = [steps, ...layers.map((layer) => layer.values)];
  const shape = layers.map((layer) => `${layer.name} ${layer.part} ${layer.tone}`).join("|");

  useLayoutEffect(() => {
    const ink = colour("soft");
    const grid = { stroke: colour("rule"), width: 1 };
    const axis = { stroke: ink, grid, ticks: { show: false }, font: "12px system-ui", gap: 6 };
    const bands = [];
    layers.forEach((layer, i) => {
      if (layer.part === "high") bands.push({ series: [i + 1, i], fill: faded(colour(layer.tone), 16) });
    });
    plot.current = new uPlot(
      {
        width: box.current.clientWidth || 300,
        height,
        legend: { show: false },
        cursor: { sync: { key: group }, points: { size: 6 }, drag: { x: true, y: false } },
        scales: { x: { time: false }, y: { range: (_, low, high) => room(low, high) } },
        axes: [{ ...axis, size: 30 }, { ...axis, size: 52, values: (_, all) => all.map((v) => (v === null ? "" : tidy(v))) }],
        bands,
        series: [
          {},
          ...layers.map((layer) => ({
            stroke: layer.part === "low" || layer.part === "high" ? "transparent" : layer.part === "raw" ? faded(colour(layer.tone), 35) : colour(layer.tone),
            width: layer.part === "line" ? 2 : 1,
            dash: layer.dash,
            spanGaps: false,
            points: { show: layer.part === "line" && steps.length < 40, size: 5, fill: colour(layer.tone) },
          })),
        ],
        hooks: {
          setCursor: [(u) => setAt(u.cursor.idx ?? null)],
          draw: [
            (u) => {
              for (const mark of marks) {
                const x = Math.round(u.valToPos(mark.step, "x", true));
                if (!(x >= u.bbox.left && x <= u.bbox.left + u.bbox.width)) continue;
                u.ctx.save();
                u.ctx.strokeStyle = colour("edge");
                u.ctx.setLineDash([4, 4]);
                u.ctx.beginPath();
                u.ctx.moveTo(x, u.bbox.top);
                u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
                u.ctx.stroke();
                u.ctx.restore();
              }
            },
          ],
        },
      },
      data,
      box.current,
    );
    const fit = new ResizeObserver(() => plot.current.setSize({ width: box.current.clientWidth, height }));
    fit.observe(box.current);
    return () => {
      fit.disconnect();
      plot.current.destroy();
    };
  }, [shape, height, scheme.value, steps.length < 40, JSON.stringify(marks)]);

  useEffect(() => plot.current.setData(data), [steps, ...lines.map((line) => line.values), beta]);

  const index = at === null || at >= steps.length ? steps.length - 1 : at;
  const reading = (values) => {
    const value = values[index];
    return value === null || value === undefined ? "–" : compact(value) + unit;
  };
  return html`<figure class="chart"><figcaption><h3>${title}</h3>
      ${lines.map((line) => html`<span class="key"><i style=${{ "--c": `var(--${line.colour || "truth"})` }}></i>${lines.length > 1 ? `${line.name} ` : ""}${reading(line.values)}</span>`)}
      <span class="key">${steps.length ? `step ${steps[index]}` : ""}</span></figcaption>
    <div class="plot" ref=${box} role="img" aria-label=${summary(title, steps, lines)}></div></figure>`;
}

export function compact(value) {
  const size = Math.abs(value);
  const text = size !== 0 && (size < 0.001 || size >= 1e6) ? value.toExponential(2) : value.toFixed(size < 0.1 ? 4 : size < 10 ? 3 : 1);
  return text.replace("-", "−");
}

// A little air above and below; a level line lies in the middle.
function room(low, high) {
  if (low === null || low === undefined) return [0, 1];
  const span = high - low || Math.abs(high) || 1;
  return [low - span * 0.07, high + span * 0.07];
}

function summary(title, steps, lines) {
  const ends = lines.map(({ name, values }) => {
    const known = values.filter((value) => value !== null && value !== undefined);
    return known.length ? `${name}: ${compact(known[0])} at first, ${compact(known.at(-1))} at last` : `${name}: no values`;
  });
  return `${title}, ${steps.length} points. ${ends.join(". ")}`;
}
