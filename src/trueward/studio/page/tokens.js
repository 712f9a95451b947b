// An answer token by token: how much likelier each one is to the policy than to SFT, log π/π_ref in nats.
import { number, signed } from "./parts.js";
import { pieces } from "./signs.js";
import { html, useState } from "./vendor.js";

const FULL = 3; // nats at which a colour is as strong as it gets

const shade = (ratio) =>
  `color-mix(in srgb, var(--${ratio >= 0 ? "proxy" : "truth"}) ${Math.round(46 * Math.min(1, Math.abs(ratio) / FULL))}%, transparent)`;

export function Tokens({ row }) {
  const [at, setAt] = useState(null); // the token that is pointed at
  const [home, setHome] = useState(0); // the one that the tab key reaches; arrows go on from there
  const { ends, log_ratio: ratios } = row.tokens;
  const texts = ends.map((end, i) => row.response.slice(i ? ends[i - 1] : 0, end));
  const nothing = (i) => (i === ends.length - 1 && row.finished !== false ? "end" : "·");
  const named = (i) => (texts[i].trim() ? ["“", ...pieces(texts[i].trim()), "”"] : nothing(i) === "end" ? "the end" : "no text of its own");
  const move = (event) => {
    const to = { ArrowRight: home + 1, ArrowLeft: home - 1, Home: 0, End: ends.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(ends.length - 1, to));
    setHome(next);
    event.currentTarget.children[next]?.focus();
  };
  const sum = ratios.reduce((total, ratio) => total + ratio, 0);
  return html`<div class="verbatim strip" dir="auto" role="list" aria-label="The policy's answer by token" onKeyDown=${move}>${texts.map((text, i) =>
      html`<span role="listitem" class=${`token ${ratios[i] >= 0 ? "more" : "less"} ${at === i ? "pointed" : ""}`} tabindex=${i === home ? 0 : -1} style=${{ background: shade(ratios[i]) }}
        onMouseEnter=${() => setAt(i)} onMouseLeave=${() => setAt(null)} onFocus=${() => (setHome(i), setAt(i))} onBlur=${() => setAt(null)}>${text ? pieces(text) : html`<span class="codepoint">${nothing(i)}</span>`}<span class="unseen"> ${signed(ratios[i])} </span></span>`)}</div>
    <p class="small num token-note" data-test="token">${at === null
      ? html`<span class="soft">${ends.length} tokens, ${signed(sum)} nats in all. Point at one, or go along with the arrow keys.</span>`
      : html`<b>${named(at)}</b> log π/π_ref ${signed(ratios[at], 3)}: ${times(ratios[at])}`}</p>
    <p class="small soft scale-key" aria-hidden="true"><span><i style=${{ background: shade(-FULL) }}></i>likelier under SFT</span><span><i style=${{ background: shade(FULL) }}></i>likelier under the policy</span><span>full at ${FULL} nats</span></p>
    <details class="small"><summary>The numbers by token</summary><div class="scroll" tabindex="0" role="region" aria-label="The numbers by token"><table>
      <thead><tr><th class="num">token</th><th>text</th><th class="num">log π/π_ref</th></tr></thead>
      <tbody>${texts.map((text, i) => html`<tr><td class="num">${i + 1}</td><td>${text ? html`<span class="verbatim">${pieces(text)}</span>` : html`<span class="soft">${nothing(i)}</span>`}</td><td class="num">${signed(ratios[i], 3)}</td></tr>`)}</tbody></table></div></details>`;
}

const times = (ratio) => {
  const factor = Math.exp(Math.abs(ratio));
  if (factor < 1.005) return "as likely under both";
  return `${factor < 10 ? number(factor) : Math.round(factor).toLocaleString()} times likelier under ${ratio > 0 ? "the policy" : "SFT"}`;
};
