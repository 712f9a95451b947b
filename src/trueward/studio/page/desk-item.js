// One item on the desk: its texts, what each person said of it side by side, a decision over them, comments.
import { newKey } from "./api.js";
import { order, RankRuling } from "./desk-ranking.js";
import * as outbox from "./outbox.js";
import { number, percent, when } from "./parts.js";
import { here, Link } from "./place.js";
import { letter } from "./ranking.js";
import { SCALE } from "./scale.js";
import { pieces } from "./signs.js";
import { PromptText } from "./talk.js";
import { html, useState } from "./vendor.js";
import { Words } from "./words.js";

const STATES = { excluded: "bad", skipped: "warn", surplus: "" };
const WORDS = { surplus: "came too late" };

// Which place of the scale of seven an outcome has, seen from A and B as this item names them; -1: it has none.
export function place(item, choice, strength) {
  if (choice === "tie") return 3;
  if (!choice) return -1;
  const depth = strength ?? 2;
  return choice === item.a ? 3 - depth : 3 + depth;
}
const other = (side) => (side === "first" ? "second" : "first");
export const outcome = (item, [, side, strength]) => ({ choice: side === null ? "tie" : side === "left" ? item.a : other(item.a), strength });

// A decision goes on its way as a click does: it is kept on this machine until the studio has it.
export const decide = (path, item, step, reason) =>
  outbox.put(`${path}/adjudicate`, { item: item.item, key: newKey(), ...outcome(item, step), ...(reason.trim() ? { reason: reason.trim() } : {}) });
export const withdraw = (path, item) => outbox.put(`${path}/adjudicate`, { item: item.item, key: newKey(), choice: "withdraw" });

export function Item({ item, path, rules, picked, onPick, onFocus, at }) {
  const compares = !!item.first;
  const counted = item.votes.filter((vote) => vote.state === "answered");
  const split = new Set(counted.map((vote) => vote.ranks?.join() ?? vote.choice)).size > 1;
  const ranked = item.answers;
  const sides = ranked ? ranked.map((answer, i) => [letter(i), answer]) : compares ? [["A", item[item.a]], ["B", item[other(item.a)]]] : [];
  const known = item.check && (item.check === item.a ? "A" : "B");
  return html`<article class=${`card item ${at ? "at" : ""}`} data-item=${item.item} aria-label=${`Item ${item.item}`} onFocusIn=${onFocus}>
    <div class="row apart"><h2><${Link} to=${`${here.value.split("?")[0]}?item=${item.item}`}>Item ${item.item}</${Link}> <span class="small soft">round ${item.round} · ${counted.length} of ${item.needed} answers</span></h2>
      <span class="row">${item.check && html`<span class="chip info">check pair: ${known} is right</span>`}${(compares || ranked) && split && !item.check && html`<span class="chip warn">people disagree</span>`}
        ${item.decision && html`<span class="chip good">adjudicated</span>`}</span></div>
    <div class="clip"><${PromptText} prompt=${item.prompt} /></div>
    ${sides.length > 0 && html`<div class=${ranked ? "pairing several" : "pairing"}>${sides.map(([sign, answer]) => html`<section class="said" aria-label=${`Answer ${sign}`} tabindex="0">
      <h3><span class=${`letter ${sign.toLowerCase()}`}>${sign}</span>${!answer.finished && html`<span class="chip">cut</span>`}</h3><${Words} text=${answer.text} /></section>`)}</div>`}
    ${item.votes.length > 0
      ? html`<div class="scroll" tabindex="0" role="region" aria-label=${`Answers to item ${item.item}`}><table class="ballot"><thead><tr>
          ${rules && html`<th><span class="unseen">pick</span></th>`}<th>who</th><th>${compares ? html`<span class="poles" aria-hidden="true"><span class="letter">A</span><span>tie</span><span class="letter b">B</span></span><span class="unseen">choice</span>` : ranked ? "in which order, the best first" : "what they wrote"}</th><th class="num">time</th><th>when</th></tr></thead>
          <tbody>${item.votes.map((vote) => html`<${Vote} key=${vote.assignment} item=${item} vote=${vote} rules=${rules} picked=${picked.has(vote.assignment)} onPick=${onPick} />`)}</tbody></table></div>`
      : html`<p class="soft small">Nobody has answered it yet.</p>`}
    ${item.labels.length > 0 && html`<p class="small soft">${item.labels.map((label) => html`<span class="chip info">model</span> ${pieces(label.judge)}: A with ${percent(item.a === "first" ? label.first : 1 - label.first)} `)}</p>`}
    ${item.edits.map((each) => html`<div class="note edited"><p class="small"><b>${pieces(each.by)}</b> made ${each.choice === item.a ? "A" : "B"} better, ${when(each.at)}:</p><div class="clip"><${Words} text=${each.text} /></div></div>`)}
    ${ranked && html`<${RankRuling} item=${item} path=${path} rules=${rules} onWithdraw=${() => withdraw(path, item)} />`}
    ${compares && !item.check && html`<${Ruling} item=${item} path=${path} rules=${rules} />`}
    <${Comments} item=${item} path=${path} rules=${rules} />
  </article>`;
}

function Vote({ item, vote, rules, picked, onPick }) {
  const step = SCALE[place(item, vote.choice, vote.strength)];
  const missed = item.check && vote.state === "answered" && vote.choice !== item.check;
  const can = vote.state === "answered" || vote.state === "excluded";
  return html`<tr class=${vote.state === "answered" ? "" : "aside"}>
    ${rules && html`<td>${can && html`<input type="checkbox" checked=${picked} aria-label=${`pick the answer of ${vote.account} to item ${item.item}`} onChange=${() => onPick(vote)} />`}</td>`}
    <th scope="row">${pieces(vote.account)}${vote.state !== "answered" && html` <span class=${`chip ${STATES[vote.state] ?? ""}`} title=${vote.why || undefined}>${WORDS[vote.state] ?? vote.state}</span>`}</th>
    <td>${vote.ranks ? html`<b class="num" data-test="order">${order(vote.ranks)}</b>` : step ? html`<${Marks} at=${SCALE.indexOf(step)} /><span class="small">${step[3]}</span>` : vote.kind === "skip" ? html`<span class="small soft">${pieces(vote.reason || "no reason")}</span>` : ""}
      ${Object.keys(vote.criteria).length > 0 && html`<div class="small soft">${Object.entries(vote.criteria).map(([name, value]) => html`<span class="by">${pieces(name)}: <b>${by(item, value)}</b></span>`)}</div>`}
      ${vote.both && html` <span class="chip">both ${vote.both}</span>`}${missed && html` <span class="chip bad">missed</span>`}
      ${vote.text && html`<div class=${vote.kind === "write" ? "clip" : "small soft"}>${vote.kind === "write" ? html`<${Words} text=${vote.text} />` : pieces(vote.text)}</div>`}
      ${vote.why && html`<div class="small bad-text">excluded: ${pieces(vote.why)}</div>`}</td>
    <td class="num small">${vote.seconds == null ? "–" : `${number(vote.seconds, 1)} s`}${vote.read === false && html`<div class="soft">not read whole</div>`}</td>
    <td class="small soft">${when(vote.at)}</td></tr>`;
}

// What was said to a further question, of A and B: a choice, or two ratings.
function by(item, value) {
  const first = item.a === "first";
  if (Array.isArray(value)) return `A ${value[first ? 0 : 1]}, B ${value[first ? 1 : 0]}`;
  return SCALE[3 - (first ? value : -value)][3];
}

// Seven places from A to B, with a mark on one.
const Marks = ({ at }) => html`<span class="marks" aria-hidden="true">${SCALE.map((step, i) => html`<i class=${i === at ? (i < 3 ? "a" : i > 3 ? "b" : "tie") : ""}></i>`)}</span>`;

function Ruling({ item, path, rules }) {
  const [reason, setReason] = useState("");
  const { decision } = item;
  const now = decision ? place(item, decision.choice, decision.strength) : -1;
  const act = (step) => {
    decide(path, item, step, reason);
    setReason("");
  };
  return html`<div class="ruling">
    ${decision && html`<p class="note good" data-test="decision"><b>${SCALE[now][3]}</b>, decided by ${pieces(decision.by)} on ${when(decision.at)}${decision.text ? html`: “${pieces(decision.text)}”` : "."} It stands for the votes when the round closes.
      ${rules && item.open && html` <button class="quiet" onClick=${() => withdraw(path, item)}>Take it back</button>`}</p>`}
    ${rules && item.open && html`<details><summary>${decision ? "Decide otherwise" : "Decide it"}</summary>
      <div class="decide" role="group" aria-label=${`Decide item ${item.item}`}>${SCALE.map((step, i) => html`<button class=${step[1] === "left" ? "a" : step[1] === "right" ? "b" : ""} aria-pressed=${i === now} onClick=${() => act(step)}>${step[3]}</button>`)}</div>
      <label>Why? (if you like; it goes with the decision)<input maxlength="2000" value=${reason} onInput=${(event) => setReason(event.target.value)} /></label></details>`}
    ${!item.open && !decision && html`<p class="small soft">Round ${item.round} is closed, and its file stays as it is.</p>`}</div>`;
}

function Comments({ item, path, rules }) {
  const [text, setText] = useState("");
  const add = (event) => {
    event.preventDefault();
    if (!text.trim()) return;
    outbox.put(`${path}/comment`, { item: item.item, key: newKey(), text: text.trim() });
    setText("");
  };
  if (!rules && !item.comments.length) return null;
  return html`<div class="comments">${item.comments.map((each) => html`<p class="small"><b>${pieces(each.by)}</b> <span class="soft">${when(each.at)}</span><br />${pieces(each.text)}</p>`)}
    ${rules && html`<form class="row" onSubmit=${add}><label class="unseen" for=${`comment-${item.item}`}>A comment on item ${item.item}</label>
      <input id=${`comment-${item.item}`} maxlength="5000" placeholder="Comment; annotators don’t see it" value=${text} onInput=${(event) => setText(event.target.value)} /><button disabled=${!text.trim()}>Add</button></form>`}</div>`;
}
