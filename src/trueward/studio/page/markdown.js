// Markdown as nodes: the vendored parser gives tokens, and each that is known becomes an element of a fixed list.
import { Code, Formula } from "./formula.js";
import { hidden, pieces } from "./signs.js";
import { MarkdownIt } from "./vendor-markdown.js";
import { h, html } from "./vendor.js";

export const LONGEST = 60_000; // characters; longer texts are shown as they are
const DEEPEST = 40;
const PLAIN = {
  paragraph: "p", blockquote: "blockquote", bullet_list: "ul", table: "table", thead: "thead", tbody: "tbody", tr: "tr",
  th: "th", td: "td", em: "em", strong: "strong", s: "s",
}; // prettier-ignore

const parser = new MarkdownIt({ html: false, linkify: false, typographer: false });
parser.set({ maxNesting: DEEPEST });
// references may hide text, and entities change it: both are shown as they are written
parser.disable(["reference", "entity"]);
parser.validateLink = () => true; // what may be followed is decided in `Address`
parser.normalizeLink = parser.normalizeLinkText = (address) => address;
parser.block.ruler.before("fence", "formula", formulaBlock, { alt: ["paragraph", "blockquote", "list"] });
parser.inline.ruler.before("escape", "formula", formulaInline);

function formulaBlock(state, start, end, silent) {
  const text = (line) => state.src.slice(state.bMarks[line] + state.tShift[line], state.eMarks[line]);
  const first = text(start);
  const [open, close] = first.startsWith("$$") ? ["$$", "$$"] : first.startsWith("\\[") ? ["\\[", "\\]"] : [];
  if (!open) return false;
  let tex = "";
  for (let line = start; line < end; line++) {
    let here = line === start ? first.slice(2) : text(line);
    if (line > start && state.sCount[line] < state.blkIndent) return false;
    const at = here.indexOf(close);
    if (at >= 0 && here.slice(at + 2).trim()) return false;
    if (at >= 0) here = here.slice(0, at);
    tex += line === start ? here : `\n${here}`;
    if (at < 0) continue;
    if (!tex.trim()) return false;
    if (!silent) {
      const token = state.push("formula_block", "", 0);
      Object.assign(token, { content: tex, markup: open, info: close, block: true });
      state.line = line + 1;
    }
    return true;
  }
  return false;
}

function formulaInline(state, silent) {
  const { src, pos, posMax } = state;
  const pairs = [["$$", "$$"], ["$", "$"], ["\\(", "\\)"], ["\\[", "\\]"]];
  const [open, close] = pairs.find(([sign]) => src.startsWith(sign, pos)) || [];
  if (!open) return false;
  const start = pos + open.length;
  const stop = src.indexOf(close, start);
  if (stop < 0 || stop >= posMax || !src.slice(start, stop).trim()) return false;
  // money is no formula: no space inside of the dollars, no digit behind them
  if (open === "$" && (/\s/.test(src[start]) || /\s/.test(src[stop - 1]) || /\d/.test(src[stop + 1] ?? ""))) return false;
  if (!silent) {
    const token = state.push("formula_inline", "", 0);
    Object.assign(token, { content: src.slice(start, stop), markup: open, info: close });
  }
  state.pos = stop + close.length;
  return true;
}

const letters = (text) => text.replace(/[^\p{L}\p{N}]/gu, "");

// A text as nodes; null where they would leave something out, or nest too deeply: then it is shown as it is.
export function rendered(text) {
  if (text.length > LONGEST) return null;
  const shown = text.replaceAll("\0", "\u2400");
  const told = []; // all that the nodes say, in order, to be compared with the text
  let nodes;
  try {
    nodes = branch(parser.parse(shown, {}), told);
  } catch {
    return null;
  }
  return letters(told.join("")) === letters(shown) ? nodes : null;
}

function branch(tokens, told) {
  const root = [];
  const stack = [root];
  const tell = (words) => (told.push(words), pieces(words));
  for (const token of tokens) {
    const here = stack.at(-1);
    if (token.nesting === 1) {
      if (token.type === "list_item_open" && token.info) told.push(token.info);
      const inside = [];
      inside.token = token;
      stack.push(inside);
    } else if (token.nesting === -1) {
      const inside = stack.pop();
      stack.at(-1).push(element(inside.token, token, inside, tell));
    } else here.push(leaf(token, told, tell));
  }
  return root;
}

function element(opened, closed, inside, tell) {
  const kind = opened.type.replace(/_open$/, "");
  if (kind === "paragraph" && opened.hidden) return inside;
  if (kind === "heading") return html`<p class=${`heading ${opened.tag}`} role="heading" aria-level=${Number(opened.tag[1]) + 2}>${inside}</p>`;
  if (kind === "ordered_list") return html`<ol>${inside}</ol>`;
  if (kind === "list_item") return opened.info ? html`<li value=${Number(opened.info)}>${inside}</li>` : html`<li>${inside}</li>`;
  if (kind === "link") {
    const bare = opened.info === "auto" || opened.markup === "autolink";
    return html`<span class="link">${bare ? "" : html`<u>${inside}</u> `}<${Address} to=${opened.attrGet("href")} /></span>${bare ? "" : rest(opened, tell)}`;
  }
  if (kind === "table") return html`<div class="scroll" tabindex="0" role="region" aria-label="A table"><table>${inside}</table></div>`;
  const align = /text-align:(left|center|right)/.exec(opened.attrGet?.("style") || "")?.[1];
  if (PLAIN[kind]) return h(PLAIN[kind], align ? { class: align } : {}, inside);
  throw new Error(`unknown: ${opened.type}`);
}

// A link's address and title, in the order in which they were written; the address itself is shown by `Address`.
function rest(opened, tell) {
  tell(opened.attrGet("href") || "");
  const title = opened.attrGet("title");
  return title ? html` <span class="soft">“${tell(title)}”</span>` : "";
}

function leaf(token, told, tell) {
  switch (token.type) {
    case "inline":
      return branch(token.children, told);
    case "text":
    case "text_special":
      return tell(token.content);
    case "softbreak":
      return "\n";
    case "hardbreak":
      return html`<br />`;
    case "hr":
      return html`<hr />`;
    case "code_inline":
      return html`<code>${tell(token.content)}</code>`;
    case "fence":
      told.push(token.info, token.content);
      return html`<${Code} text=${token.content.replace(/\n$/, "")} language=${token.info.trim()} />`;
    case "code_block":
      told.push(token.content);
      return html`<${Code} text=${token.content.replace(/\n$/, "")} language="" />`;
    case "formula_block":
    case "formula_inline": {
      told.push(token.content);
      const display = token.type === "formula_block" || token.markup === "$$" || token.markup === "\\[";
      const source = token.markup + token.content + token.info;
      if (hidden(token.content)) return html`<code class="formula-source">${pieces(source)}</code>`;
      return html`<${Formula} tex=${token.content} display=${display} source=${source} />`;
    }
    case "image": {
      // never fetched: its description and its address
      const description = tell(token.content);
      const [address, title] = [token.attrGet("src"), token.attrGet("title")];
      told.push(address, title || "");
      return html`<span class="link"><span class="chip">image</span> ${description} <${Address} to=${address} />${title ? html` <span class="soft">“${pieces(title)}”</span>` : ""}</span>`;
    }
    default:
      throw new Error(`unknown: ${token.type}`);
  }
}

// Where a link leads, whole. Nothing is fetched or looked up before somebody presses it, and only the web and mail can be.
function Address({ to }) {
  let safe = false;
  try {
    safe = ["http:", "https:", "mailto:"].includes(new URL(to).protocol) && !hidden(to);
  } catch {
    // relative, or no address at all: it leads nowhere from here
  }
  if (!safe) return html`<code class="address">${pieces(to || "(no address)")}</code>`;
  return html`<button type="button" class="address" title="open in a new tab" onClick=${() => open(to, "_blank", "noopener,noreferrer")}>${to}</button>`;
}
