// The parser of Markdown, fetched by a page that shows somebody's text.
export { default as MarkdownIt } from "markdown-it";
