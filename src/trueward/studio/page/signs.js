// Somebody's text as pieces: what can't be seen, or turns the direction of what follows, by its number; special tokens as chips.
import { html } from "./vendor.js";

// controls but newline and tab, soft hyphen, spaces of no width, marks and controls of direction, invisible operators, fillers,
// lone variation selectors, tags; what emoji and the scripts that need them have is left as it is: see `joins`
const HIDDEN =
  /[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]|[\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/u;
const TOKEN =
  /<[|\uff5c][^|\uff5c<>\s]{1,60}[|\uff5c]>|<\/?(?:s|bos|eos|pad|unk|mask|cls|sep|think|tool_call|tool_response|start_of_turn|end_of_turn)>|\[\/?(?:INST|CLS|SEP|PAD|MASK|UNK|BOS|EOS)\]|<<\/?SYS>>/;
const EITHER = new RegExp(`(${HIDDEN.source})\\1*|${TOKEN.source}`, "gu");

const PICTURE = /(?:\p{Extended_Pictographic}|\p{Emoji_Modifier}|[0-9#*]|\ufe0f)$/u;
const JOINED = /[\p{Script=Arabic}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Gujarati}\p{Script=Gurmukhi}\p{Script=Kannada}\p{Script=Malayalam}\p{Script=Oriya}\p{Script=Sinhala}\p{Script=Tamil}\p{Script=Telugu}]/u;

// Whether a joiner or a variation selector does its work here: inside an emoji, or between letters of a script that has it.
function joins(text, at, sign) {
  const before = text.slice(Math.max(0, at - 3), at);
  if (sign === "\ufe0f" || sign === "\ufe0e") return PICTURE.test(before) && !before.endsWith("\ufe0f");
  if (sign !== "\u200d" && sign !== "\u200c") return false;
  const after = text.slice(at + 1, at + 3);
  if (sign === "\u200d" && PICTURE.test(before) && /^\p{Extended_Pictographic}/u.test(after)) return true;
  return JOINED.test(before.at(-1) ?? "") && JOINED.test(after[0] ?? "");
}

export const number = (sign) => `U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

export function pieces(text) {
  const parts = [];
  let last = 0;
  for (const match of text.matchAll(EITHER)) {
    const [found, sign] = match;
    if (sign && found === sign && joins(text, match.index, sign)) continue;
    parts.push(text.slice(last, match.index));
    last = match.index + found.length;
    if (!sign) {
      parts.push(html`<span class="token-chip" title="a special token, as text">${found}</span>`);
      continue;
    }
    const times = found.length / sign.length;
    parts.push(html`<span class="codepoint" title="a character that is not seen, or turns the direction of text">${number(sign)}${times > 1 ? ` ×${times}` : ""}</span>`);
    if (/[\u2028\u2029\x0b\x0c]/.test(sign)) parts.push("\n");
  }
  parts.push(text.slice(last));
  return parts;
}

export const hidden = (text) => HIDDEN.test(text);
