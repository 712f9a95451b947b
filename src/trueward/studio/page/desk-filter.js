// What a reviewer looks for: the filters of the desk, kept in the address.
import { look, view } from "./place.js";
import { html } from "./vendor.js";

const STATUSES = [
  ["", "all items"],
  ["split", "people disagree"],
  ["failed", "check pair missed"],
  ["skipped", "skipped by somebody"],
  ["waiting", "waiting for answers"],
  ["complete", "have all their answers"],
  ["unanswered", "without an answer"],
  ["adjudicated", "adjudicated"],
  ["commented", "commented"],
  ["excluded", "with excluded answers"],
];
const SORTS = [
  ["", "newest answer"],
  ["oldest", "oldest answer"],
  ["disagreement", "most disagreement"],
  ["quickest", "quickest answer"],
  ["skipped", "most skipped"],
  ["item", "as they were made"],
];
const OF_COMPARING = ["split", "failed", "adjudicated"];
const DAY = 86400;

// The view as the studio is asked for it: days of the calendar become seconds.
export function asked() {
  const query = new URLSearchParams();
  for (const [key, value] of view()) {
    if (key === "since" || key === "until") {
      const day = new Date(`${value}T00:00`).getTime() / 1000;
      if (!Number.isNaN(day)) query.set(key, String(key === "until" ? day + DAY : day));
    } else if (["find", "status", "annotator", "round", "under", "item", "sort", "page"].includes(key)) query.set(key, value);
  }
  return query.toString();
}

export function Filters({ kind, annotators, rounds }) {
  const at = view();
  const set = (key) => (event) => look({ [key]: event.target.value, page: "", item: "" });
  const choice = (key, label, options) => html`<label>${label}<select value=${at.get(key) ?? ""} onChange=${set(key)}>
    ${options.map(([value, words]) => html`<option value=${value} selected=${(at.get(key) ?? "") === value}>${words}</option>`)}</select></label>`;
  const fits = ([value]) => kind === "compare" || (kind === "rank" && value !== "failed") || !OF_COMPARING.includes(value);
  const more = ["since", "until", "under"].some((key) => at.get(key));
  return html`<form class="card sieve" role="search" aria-label="Find items" onSubmit=${(event) => event.preventDefault()}>
    <label class="wide">Find<input type="search" maxlength="500" placeholder="in prompts, answers, notes" value=${at.get("find") ?? ""} onInput=${later(set("find"))} onKeyDown=${onward} /></label>
    ${choice("status", "Show", STATUSES.filter(fits))}
    ${choice("annotator", "Annotator", [["", "anybody"], ...annotators.map((name) => [name, name])])}
    ${choice("round", "Round", [["", "all rounds"], ...Array.from({ length: rounds }, (_, i) => [String(i + 1), `round ${i + 1}`])])}
    ${choice("sort", "Order", SORTS.filter(([value]) => kind !== "write" || value !== "disagreement"))}
    <details open=${more}><summary>Time</summary><div class="row">
      <label>answered since<input type="date" value=${at.get("since") ?? ""} onChange=${set("since")} /></label>
      <label>until<input type="date" value=${at.get("until") ?? ""} onChange=${set("until")} /></label>
      <label>in under … seconds<input type="number" min="0" step="any" value=${at.get("under") ?? ""} onChange=${set("under")} /></label></div></details>
    ${at.size > 0 && html`<button type="button" class="quiet" onClick=${() => look(Object.fromEntries([...at.keys()].map((key) => [key, ""])))}>Show everything</button>`}
  </form>`;
}

// Enter goes from the words to the first item that has them, where keys decide.
function onward(event) {
  if (event.key !== "Enter") return;
  event.preventDefault();
  document.querySelector(".item h2 a")?.focus();
}

// A search begins when the typing pauses.
let timer = 0;
const later = (work) => (event) => {
  const { value } = event.target;
  clearTimeout(timer);
  timer = setTimeout(() => work({ target: { value } }), 250);
};
