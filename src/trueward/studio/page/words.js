// Somebody's text, rendered or raw: Markdown as nodes, until the reader wants to see every sign. The choice is remembered.
import { pieces } from "./signs.js";
import { html, signal, useMemo } from "./vendor.js";

export const raw = signal(localStorage.getItem("raw") === "yes");
export function turnRaw() {
  raw.value = !raw.value;
  localStorage.setItem("raw", raw.value ? "yes" : "no");
}

// The parser comes after the page: until it is there, texts are shown as they are.
const markdown = signal(null);
import("./markdown.js").then(
  (module) => (markdown.value = module),
  () => {},
);

// A text of a model or of a person. Characters that can't be seen are shown by their number, tokens as chips.
export function Words({ text, empty = "(an empty answer)" }) {
  const nodes = useMemo(
    () => (raw.value || !text || !markdown.value ? null : parts(text).map((part) => (part.call ? html`<${Call} call=${part.call} />` : markdown.value.rendered(part.text)))),
    [text, raw.value, markdown.value],
  );
  if (!nodes || nodes.includes(null)) {
    const kept = nodes && html`<p class="small soft kept">${text.length > markdown.value.LONGEST ? "long, so it is shown as it is" : "shown as it is: rendered, something of it would be out of sight"}</p>`;
    return html`${kept}<p class="verbatim" dir="auto">${pieces(text || empty)}</p>`;
  }
  return html`<div class="verbatim rendered" dir="auto">${nodes}</div>`;
}

// A text cut where it calls a function in the form of Hermes and Qwen: <tool_call>{"name", "arguments"}</tool_call>.
function parts(text) {
  const found = [];
  let last = 0;
  for (const match of text.matchAll(/<tool_call>([^<]*)<\/tool_call>/g)) {
    let call;
    try {
      call = JSON.parse(match[1]);
    } catch {
      continue;
    }
    if (typeof call?.name !== "string" || Object.keys(call).some((key) => !["name", "arguments", "id"].includes(key))) continue;
    if (text.slice(last, match.index).trim()) found.push({ text: text.slice(last, match.index) });
    found.push({ call });
    last = match.index + match[0].length;
  }
  if (text.slice(last).trim()) found.push({ text: text.slice(last) });
  return found;
}

// A call of a function: its name, and each argument on a line.
export function Call({ call }) {
  const { name, arguments: given } = call.function ?? call;
  const rows = given && typeof given === "object" && !Array.isArray(given) ? Object.entries(given) : null;
  const value = (each) => pieces(typeof each === "string" ? each : JSON.stringify(each, null, 2));
  return html`<div class="call"><span class="small soft">calls</span> <code class="name">${pieces(String(name ?? "?"))}</code>
    ${call.id && html` <span class="small soft">as ${pieces(String(call.id))}</span>`}
    ${rows ? html`<dl>${rows.map(([key, each]) => html`<div><dt><code>${pieces(key)}</code></dt><dd><code>${value(each)}</code></dd></div>`)}</dl>` : given !== undefined && html`<pre tabindex="0"><code>${value(given)}</code></pre>`}</div>`;
}
