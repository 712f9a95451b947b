// Several questions about a pair, one after the other before the overall one: a choice on the scale, or a rating of each answer.
import { SCALE } from "./scale.js";
import { pieces } from "./signs.js";
import { html, useState } from "./vendor.js";

const RATINGS = [1, 2, 3, 4, 5];
const NOTHING = [];

// Each question as one step, a rating as two: of A, and of B.
const steps = (criteria) => criteria.flatMap((each) => (each.kind === "rating" ? ["left", "right"].map((side) => ({ ...each, side })) : [each]));

// What was said so far about the pair with this id; nothing about another one.
export function useQuestions(criteria, id) {
  const [state, setState] = useState({ id, given: NOTHING });
  const given = state.id === id ? state.given : NOTHING;
  const all = steps(criteria);
  return {
    all,
    given,
    step: all[given.length] ?? null, // null: all are answered but the overall one
    give: (value) => setState({ id, given: [...given, value] }),
    back: () => given.length > 0 && (setState({ id, given: given.slice(0, -1) }), true),
    to: (index) => setState({ id, given: given.slice(0, index) }),
    // as an answer has it: a choice from -3 (A much better) to 3, a rating of both
    value: () => {
      const made = {};
      all.forEach(({ name, side }, i) => {
        if (given[i] !== undefined) made[name] = side ? { ...made[name], [side]: given[i] } : given[i];
      });
      return made;
    },
  };
}

export const lean = ([, side, strength]) => (side === null ? 0 : side === "left" ? -strength : strength);
const said = (step, value) => (step.side ? `${value} of 5` : SCALE.find((each) => lean(each) === value)[3]);
const letter = (side) => html`<span class=${`letter ${side === "right" ? "b" : ""}`}>${side === "left" ? "A" : "B"}</span>`;

// What is asked now, and above it what was said to the others; each of these can be pressed to say it anew.
export function Questions({ asking }) {
  const { all, given, step } = asking;
  if (!all.length) return null;
  return html`<div class="asking">
    <ol class="said-so-far">${all.slice(0, given.length).map((each, i) => html`<li><button class="quiet" title=${`${each.question} Press to say it anew.`} onClick=${() => asking.to(i)}>${pieces(each.name)}${each.side ? html` ${letter(each.side)}` : ": "}<b>${said(each, given[i])}</b></button></li>`)}</ol>
    <p class="ask" data-test="ask" aria-live="polite"><span class="num small soft">${given.length + 1} of ${all.length + 1}</span>
      ${step ? html`<b>${pieces(step.question)}</b>${step.side ? html` ${letter(step.side)}` : ""}` : html`<b>And overall, which is better?</b>`}</p></div>`;
}

export const Rating = ({ step, onGive }) => html`<div class="scale rating" role="group" aria-label=${`Rate answer ${step.side === "left" ? "A" : "B"}, 1 to 5`}>
  ${RATINGS.map((value) => html`<button class=${step.side === "left" ? "a" : "b"} onClick=${() => onGive(value)} aria-label=${`${value} of 5`}><span class="words-always">${value === 1 ? "1 worst" : value === 5 ? "5 best" : value}</span></button>`)}</div>`;
export const rates = (key) => RATINGS.find((value) => String(value) === key);

// The questions of a project, to be changed.
export function QuestionList({ criteria, onChange }) {
  const set = (i, changes) => onChange(criteria.map((each, at) => (at === i ? { ...each, ...changes } : each)));
  return html`<fieldset class="questions"><legend>Questions beside “which is better?”</legend>
    ${criteria.map((each, i) => html`<div class="row" key=${i}><label>Name<input value=${each.name} maxlength="32" placeholder="honest" required onInput=${(e) => set(i, { name: e.target.value })} /></label>
      <label class="wide">Question<input value=${each.question} maxlength="200" placeholder="Which answer is more honest?" required onInput=${(e) => set(i, { question: e.target.value })} /></label>
      <label>Asked as<select value=${each.kind} onChange=${(e) => set(i, { kind: e.target.value })}><option value="choice" selected=${each.kind === "choice"}>a choice</option><option value="rating" selected=${each.kind === "rating"}>a rating of each, 1 to 5</option></select></label>
      <button type="button" class="quiet" aria-label=${`Leave out ${each.name || "this question"}`} onClick=${() => onChange(criteria.filter((_, at) => at !== i))}>Leave out</button></div>`)}
    ${criteria.length < 6 && html`<button type="button" onClick=${() => onChange([...criteria, { name: "", question: "", kind: "choice" }])}>Ask one more</button>`}</fieldset>`;
}
