// A project from its admin's side: progress, agreement, annotators, rounds, what comes in and what goes out.
import { attempt, get, me, post, say } from "./api.js";
import { Annotators } from "./annotators.js";
import { Import } from "./import.js";
import { Panels } from "./panels.js";
import { Copy, Dialog, Meter, number, percent, plain, Stat, useData, when } from "./parts.js";
import { Link } from "./place.js";
import { VERBS } from "./home.js";
import { Readers } from "./readers.js";
import { Settings } from "./project-settings.js";
import { html, useState } from "./vendor.js";
import { Words } from "./words.js";

const FORMS = {
  compare: [["own", "JSONL, trueward's own"], ["trl", "TRL, explicit prompt"], ["trl-conversational", "TRL, conversations"], ["trl-implicit", "TRL, implicit prompt"], ["hh", "Anthropic HH"], ["rankings", "Rankings"], ["table", "CSV, a row an answer"], ["csv", "CSV, a row an item"], ["parquet", "Parquet"], ["votes", "Votes as they were cast"], ["checks", "Check pairs"], ["judges", "A model's labels"], ["demonstrations", "Edited answers"], ["events", "All events"]],
  rank: [["own", "JSONL, trueward's own"], ["rankings", "Rankings"], ["trl", "TRL, explicit prompt"], ["trl-conversational", "TRL, conversations"], ["trl-implicit", "TRL, implicit prompt"], ["hh", "Anthropic HH"], ["table", "CSV, a row a pair and person"], ["csv", "CSV, a row a pair"], ["parquet", "Parquet"], ["votes", "Rankings as they were given"], ["events", "All events"]],
  write: [["demonstrations", "Demonstrations (JSONL)"], ["csv", "CSV"], ["events", "All events"]],
};

export function Project({ name }) {
  const path = `/api/projects/${encodeURIComponent(name)}`;
  const { data, problem, again } = useData(() => get(path), name, 6000);
  const [closing, setClosing] = useState(false);
  const [changing, setChanging] = useState(false);
  if (problem && !data) return html`<div class="card empty"><h1>${problem.status === 404 ? "There is no such project" : "This can’t be shown"}</h1><p>${problem.message}</p><${Link} to="/" class="button main">Home</${Link}></div>`;
  if (!data) return html`<p class="soft" aria-busy="true">…</p>`;
  const rules = me.value.role === "admin";
  const round = data.rounds.at(-1);
  const close = async () => {
    const made = await attempt(() => post(`${path}/close`, {}));
    setClosing(false);
    if (made) say(`Round ${made.round} is closed with ${made.rows} answers.`);
    again();
  };
  return html`
    <div class="row apart"><h1>${name}${data.archived ? html` <span class="chip warn">archived</span>` : ""}</h1><div class="row">
      ${!data.archived && me.value.role !== "viewer" && html`<${Link} class="button main" to=${`/${data.kind}/${encodeURIComponent(name)}`}>${VERBS[data.kind]}</${Link}>`}
      <${Link} class="button" to=${`/desk/${encodeURIComponent(name)}`}>Review</${Link}>
      ${rules && html`<button onClick=${() => setChanging(true)}>Settings</button>`}
      ${rules && html`<button disabled=${!round.answered} onClick=${() => setClosing(true)}>Close round ${round.number}</button>`}</div></div>
    ${data.instructions && html`<div class="soft"><${Words} text=${data.instructions} /></div>`}
    <div class="card gap"><div class="row apart"><h2>Round ${round.number}</h2><span class="num soft">${round.answered} of ${round.needed} answers · ${round.items} items${round.checks ? `, ${round.checks} of them check pairs` : ""}</span></div>
      <${Meter} part=${round.answered / (round.needed || 1)} label="answers in this round" />
      <div class="stats gap">
        <${Stat} name="answers in all" value=${data.answers} />
        ${data.kind !== "write" && html`<${Stat} name=${data.kind === "rank" ? "ties in pairs" : "ties"} value=${data.ties} />`}
        <${Stat} name="skipped" value=${data.skipped} />
        <${Stat} name="excluded" value=${data.excluded} hint=${data.excluded ? percent(data.exclusion_rate, 1) : ""} />
        ${data.adjudicated > 0 && html`<${Stat} name="adjudicated" value=${data.adjudicated} />`}
        ${data.surplus > 0 && html`<${Stat} name="came too late" value=${data.surplus} />`}
      </div></div>
    ${data.agreement && html`<${Agreement} figures=${data.agreement} />`}
    ${data.by_criterion.length > 0 && html`<${Criteria} rows=${data.by_criterion} path=${path} rules=${rules} />`}
    ${data.judges.length > 0 && html`<${Judges} rows=${data.judges} people=${data.agreement} />`}
    <${Annotators} rows=${data.annotators} compares=${data.kind !== "write"} items=${round.items} project=${name} assigned=${data.assigned} />
    ${rules && html`<${Import} path=${path} kind=${data.kind} onDone=${again} />`}
    ${rules && data.kind !== "write" && html`<${Panels} path=${path} />`}
    <${Rounds} data=${data} name=${name} />
    ${changing && html`<${Settings} path=${path} data=${data} onClose=${() => (setChanging(false), again())} />`}
    ${rules && html`<div class="card"><h2>Export</h2><div class="row">${FORMS[data.kind].map(
      ([form, label]) => html`<a class="button" download href=${`${path}/export?form=${form}`}>${label}</a>`)}</div>
      <p class="small soft gap">Ties, strengths and notes are whole in our own form and in the events; the others hold what they can. Where a reviewer has decided an item, the decision stands in the place of its votes, and its source says so.</p></div>
      <${Latest} path=${path} stamp=${data.answers + data.excluded} onChange=${again} />`}
    ${closing && html`<${Dialog} title=${`Close round ${round.number}?`} onClose=${() => setClosing(false)}>
      <p>Its ${round.answered} answers become a file with a hash, for recipes to train on. What nobody has answered yet goes on in round ${round.number + 1}.</p>
      <div class="row"><button class="main" onClick=${close}>Close it</button><form method="dialog"><button>Not yet</button></form></div></${Dialog}>`}`;
}

const Agreement = ({ figures }) => html`<div class="card"><h2>Do people agree?</h2>
  ${figures.items
    ? html`<div class="stats"><${Stat} name="Krippendorff's alpha" value=${number(figures.alpha)} hint=${figures.alpha_low == null ? "" : `${number(figures.alpha_low)} to ${number(figures.alpha_high)}`} />
        <${Stat} name="of two people agree" value=${percent(figures.agreement)} hint=${`${percent(figures.agreement_low)} to ${percent(figures.agreement_high)}, on ${figures.items} items judged twice or more`} /></div>
        <p class="small soft gap" data-test="agreement">${figures.words}</p>`
    : html`<p class="soft">${figures.words}</p>`}</div>`;

// What people say to each further question, and how far they agree on it.
const Criteria = ({ rows, path, rules }) => html`<div class="card" data-test="criteria"><h2>By question</h2><div class="scroll" tabindex="0" role="region" aria-label="By question"><table>
  <thead><tr><th>question</th><th class="num">answers</th><th class="num">ties</th><th class="num">mean rating</th><th class="num">alpha</th><th class="num">of two people agree</th>${rules && html`<th></th>`}</tr></thead>
  <tbody>${rows.map((row) => html`<tr><th scope="row">${row.name}<div class="small soft">${row.question}</div></th><td class="num">${row.answers}</td><td class="num">${row.ties}</td><td class="num">${row.kind === "rating" ? number(row.mean) : "–"}</td>
    <td class="num" title=${row.agreement.words}>${number(row.agreement.alpha)}${row.agreement.alpha_low == null ? "" : html` <span class="small soft">${number(row.agreement.alpha_low)} to ${number(row.agreement.alpha_high)}</span>`}</td><td class="num">${percent(row.agreement.agreement)}</td>
    ${rules && html`<td>${row.answers > 0 && html`<a download href=${`${path}/export?form=own&criterion=${encodeURIComponent(row.name)}`}>Export</a>`}</td>`}</tr>`)}</tbody></table></div></div>`;

// Models beside people, on one axis from nothing to everything in common. They are nobody's votes.
const Judges = ({ rows, people }) => {
  const place = (share) => `${100 * share}%`;
  const line = (name, what, share, low, high) => html`<div class="axis"><span>${name} <span class="small soft">${what}</span></span>
    <div class="bracket" aria-hidden="true">${share != null && html`<i style=${{ left: place(low), width: `calc(${place(high)} - ${place(low)})` }}></i><b style=${{ left: place(share) }}></b>`}</div>
    <span class="num small">${share == null ? "–" : `${percent(share)} (${percent(low)} to ${percent(high)})`}</span></div>`;
  return html`<div class="card" data-test="judges"><h2>Models beside people</h2>
    ${people?.agreement != null && line("two people", "agree", people.agreement, people.agreement_low, people.agreement_high)}
    ${rows.map((row) => html`${line(html`<span class="chip info">model</span> <b>${row.name}</b>`, `and a person agree, on ${row.items} of ${row.labels} labels`, row.agreement, row.agreement_low, row.agreement_high)}
      ${row.checks > 0 && line("", `${row.name} on ${row.checks} check pairs`, row.accuracy, row.accuracy_low, row.accuracy_high)}`)}
    <p class="small soft gap">What a model says is kept apart: it is in no round, counts as nobody's answer, and no annotator sees it. A soft label counts as the choice that it leans to.</p></div>`;
};

function Rounds({ data, name }) {
  const closed = data.rounds.filter((row) => row.closed);
  if (!closed.length) return null;
  const further = data.criteria.map((each) => each.name);
  const recipe = data.kind !== "write" ? `[comparisons]\nsource = "studio:${name}"` : `[data]\ndemonstrations = "studio:${name}"`;
  return html`<div class="card"><h2>Closed rounds</h2><div class="scroll" tabindex="0" role="region" aria-label="Closed rounds"><table>
    <thead><tr><th>round</th><th>closed</th><th class="num">items</th><th class="num">answers</th><th>SHA-256</th></tr></thead>
    <tbody>${closed.map((row) => html`<tr><td>${row.number}</td><td style=${{ whiteSpace: "nowrap" }}>${when(row.closed)}</td><td class="num">${row.items}</td><td class="num">${row.answered}</td><td class="mono">${row.digest.slice(0, 16)}…</td></tr>`)}</tbody></table></div>
    <div class="row apart gap"><pre tabindex="0" style=${{ margin: 0, flex: 1 }}><code>${recipe}</code></pre><${Copy} text=${recipe} /></div>
    <p class="small soft gap">A recipe with these lines trains on all closed rounds; <code>studio:${name}@1</code> stops after the first${further.length ? html`, <code>studio:${name}:${further[0]}</code> is what was said to that question` : ""}.</p>
    <${Readers} name=${name} rounds=${closed.length} source=${data.kind !== "write" ? `"comparisons.source=studio:${name}"` : `"data.demonstrations=studio:${name}"`} /></div>`;
}

function Latest({ path, stamp, onChange }) {
  const { data, again } = useData(() => get(`${path}/answers`), `${path} ${stamp}`);
  const [why, setWhy] = useState(null);
  if (!data?.length) return null;
  const exclude = async (event) => {
    event.preventDefault();
    const reason = new FormData(event.target).get("reason");
    if (await attempt(() => post("/api/exclude", { assignment: why.assignment, reason }))) setWhy(null);
    await again();
    onChange();
  };
  return html`<div class="card"><h2>Latest answers</h2><div class="scroll" tabindex="0" role="region" aria-label="Latest answers"><table>
    <thead><tr><th>who</th><th>prompt</th><th>answer</th><th></th></tr></thead>
    <tbody>${data.slice(0, 30).map((row) => html`<tr><td>${row.account}<div class="small soft">${when(row.at)}</div></td>
      <td>${plain(row.prompt).slice(0, 90)}</td>
      <td>${row.kind === "win" ? html`prefers <q>${row.chosen.slice(0, 90)}</q> to <q>${row.other.slice(0, 60)}</q>` : row.ranked ? html`puts <q>${row.ranked[0].slice(0, 90)}</q> first and <q>${row.ranked.at(-1).slice(0, 60)}</q> last of ${row.ranked.length}` : row.kind === "tie" ? "a tie" : row.kind === "skip" ? `skipped: ${row.reason}` : row.text.slice(0, 140)}
        ${row.right === false && html` <span class="chip warn">check pair missed</span>`}${row.text && row.kind !== "write" && html`<div class="small soft">${row.text.slice(0, 200)}</div>`}</td>
      <td>${row.state === "answered" ? html`<button class="quiet" onClick=${() => setWhy(row)}>Exclude</button>` : html`<span class="chip">${row.state}</span>`}</td></tr>`)}</tbody></table></div>
    ${why && html`<${Dialog} title="Exclude this answer" onClose=${() => setWhy(null)}><form onSubmit=${exclude}>
      <p>It stays in the log and no longer counts; somebody else gets the item.</p>
      <label>The reason<input name="reason" required maxlength="500" autofocus /></label><button class="main">Exclude</button></form></${Dialog}>`}</div>`;
}
