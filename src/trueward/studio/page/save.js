// A plot as a file: the picture as SVG or PNG, its numbers as CSV. All of it is made here; nothing is sent anywhere.
import { html } from "./vendor.js";

const SPACE = "http://www.w3.org/2000/svg";
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

function keep(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// What a spreadsheet would take for a formula gets an apostrophe.
const cell = (value) => {
  const text = value === null || value === undefined ? "" : String(value);
  const safe = typeof value !== "number" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

export const csv = (rows) => rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");

function node(name, attributes, text = "") {
  const made = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

// The picture by itself: colours as they are now, its title and its key written above it.
export function picture(svg, title, keys) {
  const style = getComputedStyle(document.documentElement);
  const colours = (text) => text.replace(/var\(--([a-z0-9-]+)\)/g, (_, name) => style.getPropertyValue(`--${name}`).trim());
  const [width, height] = [svg.clientWidth || svg.viewBox.baseVal.width, svg.clientHeight || svg.viewBox.baseVal.height];
  const head = node("g", {});
  head.append(node("text", { x: 10, y: 22, "font-size": 15, "font-weight": 600, fill: colours("var(--ink)") }, title));
  let [x, y] = [10, 44];
  for (const key of keys) {
    const wide = 34 + 7 * key.name.length;
    if (x > 10 && x + wide > width) [x, y] = [10, y + 19];
    head.append(node("line", { x1: x, x2: x + 18, y1: y - 4, y2: y - 4, stroke: colours(key.colour), "stroke-width": 3, ...(key.dash ? { "stroke-dasharray": key.dash } : {}) }));
    head.append(node("text", { x: x + 24, y, "font-size": 12.5, fill: colours("var(--soft)") }, key.name));
    x += wide;
  }
  const top = keys.length ? y + 12 : 34;
  const whole = node("svg", { xmlns: SPACE, width, height: height + top, viewBox: `0 0 ${width} ${height + top}`, "font-family": FONT });
  whole.append(node("rect", { width, height: height + top, fill: colours("var(--paper)") }), head);
  const body = node("g", { transform: `translate(0 ${top})` });
  for (const child of svg.childNodes) body.append(child.cloneNode(true));
  for (const each of body.querySelectorAll("[data-aside]")) each.remove();
  for (const each of body.querySelectorAll("*"))
    for (const { name, value } of [...each.attributes]) if (value.includes("var(")) each.setAttribute(name, colours(value));
  whole.append(body);
  return { text: new XMLSerializer().serializeToString(whole), width, height: height + top };
}

async function png({ text, width, height }) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [2 * width, 2 * height];
  canvas.getContext("2d").drawImage(image, 0, 0, 2 * width, 2 * height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

const named = (title) => title.normalize("NFKD").replace(/[^\w.-]+/g, "-").replace(/^-+|-+$/g, "").toLowerCase() || "chart";

/* `draw()`: the picture's element and its keys. `rows()`: its numbers, a heading first. */
export function Save({ title, draw, rows }) {
  const drawn = () => picture(draw().svg, title, draw().keys);
  const ways = {
    PNG: async () => keep(`${named(title)}.png`, await png(drawn())),
    SVG: () => keep(`${named(title)}.svg`, new Blob([drawn().text], { type: "image/svg+xml" })),
    CSV: () => keep(`${named(title)}.csv`, new Blob([csv(rows())], { type: "text/csv" })),
  };
  return html`<span class="save" role="group" aria-label=${`Save ${title}`}>${Object.entries(ways).map(([kind, work]) =>
    html`<button class="quiet" key=${kind} aria-label=${`Save as ${kind}: ${title}`} onClick=${work}>${kind}</button>`)}</span>`;
}
