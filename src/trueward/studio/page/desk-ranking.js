// Rankings on the desk: what somebody's order is in letters, and a reviewer's own over it.
import { newKey } from "./api.js";
import * as outbox from "./outbox.js";
import { when } from "./parts.js";
import { letter, ordered, spelled } from "./ranking.js";
import { pieces } from "./signs.js";
import { html, useState } from "./vendor.js";

export const order = (ranks) => spelled(ordered(ranks.length, ranks));

export function RankRuling({ item, path, rules, onWithdraw }) {
  const { decision } = item;
  const [ranks, setRanks] = useState(decision?.ranks ?? item.answers.map((_, i) => i + 1));
  const [reason, setReason] = useState("");
  const save = (event) => {
    event.preventDefault();
    outbox.put(`${path}/adjudicate`, { item: item.item, key: newKey(), ranks, ...(reason.trim() ? { reason: reason.trim() } : {}) });
    setReason("");
  };
  const votes = item.votes.filter((vote) => vote.state === "answered" && vote.ranks);
  return html`<div class="ruling">
    ${decision && html`<p class="note good" data-test="decision"><b>${order(decision.ranks)}</b>, decided by ${pieces(decision.by)} on ${when(decision.at)}${decision.text ? html`: “${pieces(decision.text)}”` : "."} It stands for the votes when the round closes.
      ${rules && item.open && html` <button class="quiet" onClick=${onWithdraw}>Take it back</button>`}</p>`}
    ${rules && item.open && html`<details><summary>${decision ? "Decide otherwise" : "Decide it"}</summary><form onSubmit=${save}>
      <div class="decide" role="group" aria-label=${`Decide item ${item.item}`}>${item.answers.map((_, i) => html`<label>place of ${letter(i)}<input type="number" min="1" max=${item.answers.length} required value=${ranks[i]}
        onInput=${(e) => setRanks(ranks.map((rank, at) => (at === i ? Number(e.target.value) : rank)))} /></label>`)}
        ${votes.map((vote) => html`<button type="button" onClick=${() => setRanks(vote.ranks)}>as ${pieces(vote.account)}</button>`)}</div>
      <label>Why? (if you like; it goes with the decision)<input maxlength="2000" value=${reason} onInput=${(e) => setReason(e.target.value)} /></label>
      <button class="main">Decide: <span class="num">${order(ranks)}</span></button></form></details>`}
    ${!item.open && !decision && html`<p class="small soft">Round ${item.round} is closed, and its file stays as it is.</p>`}</div>`;
}
