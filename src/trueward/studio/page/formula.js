// LaTeX as MathML, which browsers draw by themselves; and code in colours. Both parsers are fetched when a text needs them.
import { pieces } from "./signs.js";
import { h, html, signal, useMemo } from "./vendor.js";

const LONGEST_FORMULA = 2000;
const LONGEST_CODE = 20_000;
// what would define, hide or fetch something; the formula is then shown as it is written
const REFUSED = /\\(?:[gex]?def|g?let|futurelet|(?:re|provide)?newcommand|renewcommand|providecommand|href|url|html\w*|includegraphics|char|unicode)(?![a-zA-Z])|(?<!\\)%/;
const ELEMENTS = new Set(
  "math mrow mi mn mo ms mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd mstyle mpadded menclose semantics".split(" "),
);
const ATTRIBUTES = new Set(
  "mathvariant stretchy fence separator accent accentunder lspace rspace minsize maxsize movablelimits symmetric linethickness display displaystyle scriptlevel columnalign rowspacing columnspacing columnlines rowlines notation form".split(" "),
);

function lazily(load) {
  const module = signal(null);
  let asked = false;
  return () => {
    if (!asked) {
      asked = true;
      load().then((found) => (module.value = found), () => (asked = false));
    }
    return module.value;
  };
}

const math = lazily(() => import("./vendor-math.js"));
const code = lazily(() => import("./vendor-code.js"));

// A node of KaTeX's tree as one of ours. What could colour a sign like its ground, or move it over another, is left out.
function built(node) {
  if (node.text !== undefined && !node.children) return node.text; // its source has nothing hidden: `markdown.js` looks
  const inside = (node.children || []).map(built);
  const name = node.type === "mphantom" || !node.type ? "mrow" : node.type;
  if (name === "annotation") return null; // the source; it stands in the element's title
  if (!ELEMENTS.has(name)) return inside;
  const given = Object.entries(node.attributes || {}).filter(([key]) => ATTRIBUTES.has(key));
  const width = node.type === "mspace" && node.attributes?.width;
  if (width && /^(?:[01](?:\.\d+)?|2)em$/.test(width)) given.push(["width", width]);
  return h(name, Object.fromEntries(given), ...inside);
}

const find = (node, type) => (node.type === type ? node : (node.children || []).map((each) => find(each, type)).find(Boolean));

export function Formula({ tex, display, source }) {
  const loaded = math();
  const drawn = useMemo(() => {
    if (!loaded || tex.length > LONGEST_FORMULA || REFUSED.test(tex)) return null;
    try {
      const tree = loaded.mathTree(tex, {
        output: "mathml", displayMode: display, throwOnError: true, trust: false, strict: "ignore", maxExpand: 200, maxSize: 10,
      });
      return built(find(tree, "math"));
    } catch {
      return null;
    }
  }, [tex, display, loaded]);
  if (!drawn) return html`<code class="formula-source">${pieces(source)}</code>`;
  return html`<span class=${display ? "formula display" : "formula"} title=${tex}>${drawn}</span>`;
}

const spans = (node) =>
  node.type === "text" ? pieces(node.value) : html`<span class=${(node.properties?.className || []).join(" ")}>${node.children.map(spans)}</span>`;

export function Code({ text, language }) {
  const known = /^[a-z+#-]{1,20}$/i.test(language) && text.length <= LONGEST_CODE ? code() : null;
  const coloured = useMemo(() => {
    if (!known?.lowlight.registered(language)) return null;
    try {
      return known.lowlight.highlight(language, text).children.map(spans);
    } catch {
      return null;
    }
  }, [text, language, known]);
  return html`<div class="code">${language && html`<span class="language">${pieces(language)}</span>`}<pre tabindex="0"><code>${coloured || pieces(text)}</code></pre></div>`;
}
