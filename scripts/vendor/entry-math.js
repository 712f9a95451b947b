// The parser of LaTeX, fetched by a page whose texts hold a formula: a tree of MathML, never markup.
export { __renderToDomTree as mathTree } from "katex/dist/katex.mjs";
