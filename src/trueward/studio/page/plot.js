// A plot of lines over any quantity, with bands, linear or logarithmic, as SVG: read by pointing, saved as PNG, SVG or CSV.
import { axis, tidy } from "./axes.js";
import { Save } from "./save.js";
import { html, useLayoutEffect, useMemo, useRef, useState } from "./vendor.js";

const [LEFT, RIGHT, TOP, BOTTOM] = [54, 14, 10, 40];

/* `lines`: { name, colour, dash, points: [{ x, y, low, high, step, label }], peak, apart, hollow, quiet }. A point without y is a gap.
   `x`, `y`: { name, unit, log, zero }. */
export function Plot({ title, lines, x, y, height = 260, note = "" }) {
  const box = useRef();
  const svg = useRef();
  const [width, setWidth] = useState(440);
  const [at, setAt] = useState(null); // the value of x that is pointed at
  useLayoutEffect(() => {
    const fit = new ResizeObserver(() => setWidth(Math.max(240, box.current?.clientWidth || 440)));
    fit.observe(box.current);
    return () => fit.disconnect();
  }, []);
  const { across, up } = useMemo(() => scales(lines, x, y), [lines, x.log, y.log, x.zero]);
  const px = (v) => LEFT + across.place(v) * (width - LEFT - RIGHT);
  const py = (v) => height - BOTTOM - up.place(v) * (height - TOP - BOTTOM);
  const shown = (p) => p.y !== null && p.y !== undefined && across.place(p.x) !== null && up.place(p.y) !== null;
  const unseen = lines.reduce((n, line) => n + line.points.filter((p) => p.y !== null && p.y !== undefined && !shown(p)).length, 0);
  const point = (event) => {
    const { left, width: wide } = svg.current.getBoundingClientRect();
    const share = ((event.clientX - left) * (width / wide) - LEFT) / (width - LEFT - RIGHT);
    setAt(share < -0.05 || share > 1.05 ? null : across.back(Math.max(0, Math.min(1, share))));
  };
  const nearest = (line) => {
    const seen = line.points.filter(shown);
    if (at === null || !seen.length) return null;
    return seen.reduce((best, p) => (Math.abs(px(p.x) - px(at)) < Math.abs(px(best.x) - px(at)) ? p : best));
  };
  const label = (q) => `${q.name}${q.unit ? `, ${q.unit}` : ""}${q.log ? ", log axis" : ""}`;
  const drawn = lines.filter((line) => line.points.some(shown));
  const keys = lines.filter((line) => !line.quiet);
  return html`<figure class="chart"><figcaption><h3>${title}</h3><${Save} title=${title} draw=${() => ({ svg: svg.current, keys })} rows=${() => table(lines, x, y)} />
      <div class="keys-of">${keys.map((line) => {
        const p = nearest(line);
        return html`<span class="key" key=${line.name}><${Swatch} line=${line} />${line.name}${p ? html` <b class="num">${tidy(rounded(p.y))}</b>` : line.peak ? html` <span class="soft">peak ${tidy(rounded(line.peak.y))}</span>` : ""}</span>`;
      })}${at !== null && html`<span class="key num">${x.name} ${tidy(rounded(at))}</span>`}</div></figcaption>
    <div class="plot" ref=${box}><svg ref=${svg} width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${told(title, lines, x, y)}
      onPointerMove=${point} onPointerDown=${point} onPointerLeave=${() => setAt(null)}>
      ${up.ticks.map((v) => html`<g key=${`y${v}`}><line x1=${LEFT} x2=${width - RIGHT} y1=${py(v)} y2=${py(v)} stroke="var(--rule)" /><text x=${LEFT - 8} y=${py(v) + 4} text-anchor="end" font-size="12" fill="var(--soft)">${tidy(v)}</text></g>`)}
      ${across.ticks.map((v) => html`<g key=${`x${v}`}><line x1=${px(v)} x2=${px(v)} y1=${TOP} y2=${height - BOTTOM} stroke="var(--rule)" /><text x=${px(v)} y=${height - BOTTOM + 17} text-anchor="middle" font-size="12" fill="var(--soft)">${tidy(v)}</text></g>`)}
      ${drawn.map((line) => spread(line, line.points.filter(shown), px, py, up))}
      ${drawn.map((line) => html`<${Line} key=${line.name} line=${line} px=${px} py=${py} shown=${shown} />`)}
      ${at !== null && html`<g data-aside="1"><line x1=${px(at)} x2=${px(at)} y1=${TOP} y2=${height - BOTTOM} stroke="var(--edge)" stroke-dasharray="3 3" />${drawn.map((line) => {
        const p = nearest(line);
        return p && html`<circle key=${line.name} cx=${px(p.x)} cy=${py(p.y)} r="5" fill=${line.colour} stroke="var(--paper)" stroke-width="1.5" />`;
      })}</g>`}
      ${!drawn.length && html`<text x=${(LEFT + width - RIGHT) / 2} y=${height / 2} text-anchor="middle" font-size="13" fill="var(--soft)">nothing to show on these axes</text>`}
      <text x=${width - RIGHT} y=${height - 4} text-anchor="end" font-size="12" fill="var(--soft)">${label(x)}</text>
      <text x="4" y=${height - 4} font-size="12" fill="var(--soft)">↑ ${label(y)}</text></svg></div>
    ${unseen > 0 && html`<p class="small soft">${unseen} ${unseen === 1 ? "point is" : "points are"} at or below 0, where a log axis has no place.</p>`}
    ${note && html`<p class="small soft">${note}</p>`}</figure>`;
}

const rounded = (value) => Number(value.toPrecision(4));

export const Swatch = ({ line }) =>
  html`<svg class="swatch" width="18" height="10" aria-hidden="true"><line x1="0" x2="18" y1="5" y2="5" stroke=${line.colour} stroke-width="3" stroke-dasharray=${line.dash || undefined} /></svg>`;

function scales(lines, x, y) {
  const points = lines.flatMap((line) => line.points).filter((p) => p.y !== null && p.y !== undefined);
  const ys = points.flatMap((p) => [p.y, p.low, p.high]).filter((v) => Number.isFinite(v));
  return { across: axis(points.map((p) => p.x), x.log, x.zero), up: axis(ys, y.log) };
}

function Line({ line, px, py, shown }) {
  const dots = line.points.filter(shown);
  let pen = "M";
  const path = line.points.map((p) => {
    if (!shown(p)) {
      pen = "M";
      return "";
    }
    const text = `${pen}${px(p.x).toFixed(1)} ${py(p.y).toFixed(1)}`;
    pen = "L";
    return text;
  });
  return html`<g>${!line.apart && html`<path d=${path.join("")} fill="none" stroke=${line.colour} stroke-width="2" stroke-dasharray=${line.dash || undefined} stroke-linejoin="round" />`}
    ${(line.apart || dots.length < 60) && dots.map((p) => html`<circle cx=${px(p.x)} cy=${py(p.y)} r=${line.apart ? 5 : 2.6} fill=${line.hollow ? "var(--paper)" : line.colour} stroke=${line.colour} stroke-width=${line.hollow ? 2 : 0}><title>${p.label || `${line.name}: ${tidy(rounded(p.y))} at ${tidy(rounded(p.x))}`}</title></circle>`)}
    ${line.peak && shown(line.peak) && html`<circle cx=${px(line.peak.x)} cy=${py(line.peak.y)} r="8" fill="none" stroke=${line.colour} stroke-width="2" data-test="peak" />`}</g>`;
}

// From low to high where both are known: a band, or a bar a point where the line goes back and forth.
function spread(line, points, px, py, up) {
  const known = points.filter((p) => Number.isFinite(p.low) && Number.isFinite(p.high) && up.place(p.high) !== null);
  const least = (p) => (up.place(p.low) === null ? up.back(0) : p.low);
  const onward = known.every((p, i) => !i || p.x > known[i - 1].x);
  if (known.length > 1 && onward && !line.apart) {
    const there = known.map((p, i) => `${i ? "L" : "M"}${px(p.x).toFixed(1)} ${py(p.high).toFixed(1)}`);
    const back = known.toReversed().map((p) => `L${px(p.x).toFixed(1)} ${py(least(p)).toFixed(1)}`);
    return html`<path key=${`spread ${line.name}`} d=${`${there.join("")}${back.join("")}Z`} fill=${line.colour} fill-opacity="0.15" stroke="none" />`;
  }
  const bars = known.map((p) => `M${px(p.x).toFixed(1)} ${py(p.high).toFixed(1)}V${py(least(p)).toFixed(1)}`);
  return html`<path key=${`spread ${line.name}`} d=${bars.join("")} fill="none" stroke=${line.colour} stroke-opacity=${line.apart ? 0.9 : 0.35} stroke-width=${line.apart ? 2 : 1.5} />`;
}

const table = (lines, x, y) => [
  ["line", "step", x.unit ? `${x.name} (${x.unit})` : x.name, y.unit ? `${y.name} (${y.unit})` : y.name, "low", "high"],
  ...lines.flatMap((line) => line.points.map((p) => [line.name, p.step, p.x, p.y, p.low, p.high])),
];

function told(title, lines, x, y) {
  const each = lines.map((line) => {
    const known = line.points.filter((p) => p.y !== null && p.y !== undefined);
    if (!known.length) return `${line.name}: no values`;
    const peak = line.peak ? `, highest ${tidy(rounded(line.peak.y))} at ${x.name} ${tidy(rounded(line.peak.x))}` : "";
    return `${line.name}: ${known.length} points, ${tidy(rounded(known[0].y))} at first, ${tidy(rounded(known.at(-1).y))} at last${peak}`;
  });
  return `${title}: ${y.name} by ${x.name}. ${each.join(". ")}`;
}
