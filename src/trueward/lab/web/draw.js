// Elements without markup: text always goes into text nodes.

const SVG = "http://www.w3.org/2000/svg";

export function $(id) {
  return document.getElementById(id);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function html(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** A picture as wide as its place, in its own pixels, so that its text is never scaled. */
export function picture(id, height, label, ...shapes) {
  const width = widthOf(id);
  const box = { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label };
  $(id).replaceChildren(svg("svg", box, ...shapes));
}

export function widthOf(id) {
  return Math.max(200, Math.floor($(id).clientWidth));
}

/** A slider's place, and what a screen reader says of it. */
export function setPlace(id, value, spoken) {
  if ($(id).value !== String(value)) $(id).value = value;
  $(id).setAttribute("aria-valuetext", spoken);
}

/** Sets a text only where it changed: a live region speaks at every change. */
export function say(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

export function line(points) {
  return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

export function label(x, y, text, attributes = {}) {
  return svg("text", { x: x.toFixed(1), y: y.toFixed(1), ...attributes }, text);
}

/** Two labels at one edge, moved apart if they would touch. */
export function apart(a, b, gap = 15) {
  const short = gap - Math.abs(a - b);
  if (short <= 0) return [a, b];
  return a <= b ? [a - short / 2, b + short / 2] : [a + short / 2, b - short / 2];
}

/** Round values that cover [low, high], about `count` of them. */
export function ticks(low, high, count = 4) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 2.5, 5, 10].map((m) => m * power).find((m) => m >= rough * 0.8);
  const values = [];
  for (let i = Math.ceil(low / size - 1e-9); i * size <= high + size * 1e-9; i += 1) values.push(i * size);
  return values;
}
