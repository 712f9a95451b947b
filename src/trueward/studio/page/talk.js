// A prompt: one text, or a conversation whose earlier turns are folded, so that the last one is in view.
import { pieces } from "./signs.js";
import { Call, Words } from "./words.js";
import { html } from "./vendor.js";

const SIDES = { user: "asks", assistant: "says", system: "rules", developer: "rules" };

export function PromptText({ prompt }) {
  if (!prompt.messages) return html`<${Words} text=${prompt.text ?? prompt} empty="(an empty prompt)" />`;
  const { messages, tools = [] } = prompt;
  // from the last turn of a person on: what the assistant and its functions said since belongs to it
  const last = Math.max(0, messages.findLastIndex((message) => message.role === "user"));
  const earlier = messages.slice(0, last);
  const turns = earlier.filter((message) => !["system", "developer"].includes(message.role)).length;
  const folded = [earlier.length > turns && "the system prompt", turns && `${turns} earlier ${turns === 1 ? "turn" : "turns"}`].filter(Boolean);
  return html`<div class="talk">
    ${tools.length > 0 && html`<details class="earlier"><summary>${tools.length} ${tools.length === 1 ? "function" : "functions"} that it may call</summary>
      ${tools.map((tool) => html`<pre tabindex="0"><code>${pieces(JSON.stringify(tool.function ?? tool, null, 2))}</code></pre>`)}</details>`}
    ${folded.length > 0 && html`<details class="earlier"><summary>${folded.join(" and ")}</summary>${earlier.map((message) => html`<${Turn} message=${message} />`)}</details>`}
    ${messages.slice(last).map((message) => html`<${Turn} message=${message} />`)}</div>`;
}

function Turn({ message }) {
  const { role, content, name, tool_calls: calls = [], tool_call_id: id } = message;
  const side = SIDES[role] ?? "returns";
  return html`<div class=${`turn ${side}`}><span class="role">${pieces(role)}${name ? html` <code>${pieces(name)}</code>` : ""}${id ? html` <span class="soft">${pieces(id)}</span>` : ""}</span>
    ${(content || !calls.length) && (side === "returns" ? html`<p class="verbatim mono" dir="auto">${pieces(content || "(nothing)")}</p>` : html`<${Words} text=${content} empty="(nothing)" />`)}
    ${calls.map((call) => html`<${Call} call=${call} />`)}</div>`;
}
