// A project from its admin's side: progress, agreement, annotators, rounds, what comes in and what goes out.
import { attempt, get, me, post, say } from "./api.js";
import { Panels } from "./panels.js";
import { Copy, Dialog, Meter, number, percent, plain, Stat, useData, when } from "./parts.js";
import { Link } from "./place.js";
import { rate } from "./home.js";
import { html, useState } from "./vendor.js";
import { Words } from "./words.js";

const FORMS = {
  compare: [["own", "JSONL, trueward's own"], ["trl", "TRL, explicit prompt"], ["trl-implicit", "TRL, implicit prompt"], ["hh", "Anthropic HH"], ["csv", "CSV, a row an item"], ["checks", "Check pairs"], ["judges", "A model's labels"], ["events", "All events"]],
  write: [["demonstrations", "Demonstrations (JSONL)"], ["csv", "CSV"], ["events", "All events"]],
};

export function Project({ name }) {
  const path = `/api/projects/${encodeURIComponent(name)}`;
  const { data, problem, again } = useData(() => get(path), name, 6000);
  const [closing, setClosing] = useState(false);
  const [changing, setChanging] = useState(false);
  if (problem && !data) return html`<p class="note bad">${problem.message}</p>`;
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
    <div class="row apart"><h1>${name}</h1><div class="row">
      ${me.value.role !== "viewer" && html`<${Link} class="button main" to=${`/${data.kind}/${encodeURIComponent(name)}`}>${data.kind === "compare" ? "Compare" : "Write"}</${Link}>`}
      ${rules && html`<button onClick=${() => setChanging(true)}>Settings</button>`}
      ${rules && html`<button disabled=${!round.answered} onClick=${() => setClosing(true)}>Close round ${round.number}</button>`}</div></div>
    ${data.instructions && html`<div class="soft"><${Words} text=${data.instructions} /></div>`}
    <div class="card gap"><div class="row apart"><h2>Round ${round.number}</h2><span class="num soft">${round.answered} of ${round.needed} answers · ${round.items} items${round.checks ? `, ${round.checks} of them check pairs` : ""}</span></div>
      <${Meter} part=${round.answered / (round.needed || 1)} label="answers in this round" />
      <div class="stats gap">
        <${Stat} name="answers in all" value=${data.answers} />
        ${data.kind === "compare" && html`<${Stat} name="ties" value=${data.ties} />`}
        <${Stat} name="skipped" value=${data.skipped} />
        <${Stat} name="excluded" value=${data.excluded} hint=${data.excluded ? percent(data.exclusion_rate, 1) : ""} />
        ${data.surplus > 0 && html`<${Stat} name="came too late" value=${data.surplus} />`}
      </div></div>
    ${data.agreement && html`<${Agreement} figures=${data.agreement} />`}
    ${data.judges.length > 0 && html`<${Judges} rows=${data.judges} people=${data.agreement} />`}
    <${Annotators} rows=${data.annotators} compares=${data.kind === "compare"} />
    ${rules && html`<${Fill} path=${path} kind=${data.kind} onDone=${again} />`}
    ${rules && data.kind === "compare" && html`<${Panels} path=${path} />`}
    <${Rounds} data=${data} name=${name} />
    ${changing && html`<${Settings} path=${path} data=${data} onClose=${() => (setChanging(false), again())} />`}
    ${rules && html`<div class="card"><h2>Export</h2><div class="row">${FORMS[data.kind].map(
      ([form, label]) => html`<a class="button" download href=${`${path}/export?form=${form}`}>${label}</a>`)}</div>
      <p class="small soft gap">Ties, strengths and notes are whole in our own form and in the events; the others hold what they can.</p></div>
      <${Latest} path=${path} stamp=${data.answers + data.excluded} onChange=${again} />`}
    ${closing && html`<${Dialog} title=${`Close round ${round.number}?`} onClose=${() => setClosing(false)}>
      <p>Its ${round.answered} answers become a file with a hash, for recipes to train on. What nobody has answered yet goes on in round ${round.number + 1}.</p>
      <div class="row"><button class="main" onClick=${close}>Close it</button><form method="dialog"><button>Not yet</button></form></div></${Dialog}>`}`;
}

const Agreement = ({ figures }) => html`<div class="card"><h2>Do people agree?</h2>
  ${figures.items
    ? html`<div class="stats"><${Stat} name="Krippendorff's alpha" value=${number(figures.alpha)} hint=${figures.alpha_low == null ? "" : `${number(figures.alpha_low)} to ${number(figures.alpha_high)}`} />
        <${Stat} name="of two people agree" value=${percent(figures.agreement)} hint=${`${percent(figures.agreement_low)} to ${percent(figures.agreement_high)}, on ${figures.items} items judged twice or more`} /></div>
        <p class="small soft gap">People who compare answers agree on about 73 %, which is an alpha near .45: that is what preferences are like, and no fault of theirs. It is also about the best that a reward model can do.</p>`
    : html`<p class="soft">It is known when two people have judged the same pair.</p>`}</div>`;

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

const Annotators = ({ rows, compares }) =>
  rows.length > 0 &&
  html`<div class="card"><h2>Annotators</h2><div class="scroll" tabindex="0" role="region" aria-label="Annotators"><table>
    <thead><tr><th>name</th><th class="num">answers</th><th class="num">median time</th><th class="num">skipped</th>${compares && html`<th class="num" title="both answers were on the screen to their ends">read whole</th><th>on check pairs, with 95 %</th>`}</tr></thead>
    <tbody>${rows.map((row) => html`<tr><th scope="row">${row.name}</th><td class="num">${row.answers}</td>
      <td class="num">${row.seconds === null ? "–" : `${number(row.seconds, 1)} s`}</td><td class="num">${row.skipped}</td>
      ${compares && html`<td class="num">${percent(row.read)}</td><td>${row.checks
        ? html`<span class="small num">${percent(row.accuracy)} of ${row.checks} (${percent(row.accuracy_low)} to ${percent(row.accuracy_high)})</span>
            <div class="bracket" aria-hidden="true"><i style=${{ left: `${100 * row.accuracy_low}%`, width: `${100 * (row.accuracy_high - row.accuracy_low)}%` }}></i><b style=${{ left: `${100 * row.accuracy}%` }}></b></div>`
        : html`<span class="soft small">none seen</span>`}</td>`}</tr>`)}</tbody></table></div></div>`;

function Fill({ path, kind, onDone }) {
  const [text, setText] = useState("");
  const [file, setFile] = useState("");
  const [checks, setChecks] = useState(false);
  const [judge, setJudge] = useState("");
  const [notice, setNotice] = useState(null);
  const pick = async (event) => {
    const chosen = event.target.files[0];
    if (!chosen) return;
    setFile(chosen.name);
    setText(await chosen.text());
  };
  const send = async (event) => {
    event.preventDefault();
    try {
      const reply = await post(`${path}/import`, { text, name: file || "pasted", checks, judge });
      const left = Object.entries(reply.left_out).map(([why, n]) => `${why}: ${n}`).join(", ");
      setNotice({ text: `${reply.added} of ${reply.read} were new${reply.labels === undefined ? "" : `, and ${reply.labels} labels of a model`}${left ? `; left out: ${left}` : ""}.` });
      setText("");
      onDone();
    } catch (problem) {
      setNotice({ text: problem.message, bad: true });
    }
  };
  const example = kind === "compare" ? '{"prompt": "…", "first": "…", "second": "…"}' : '{"prompt": "…"}';
  return html`<form class="card" onSubmit=${send}><h2>Import</h2>
    ${notice && html`<p class=${notice.bad ? "note bad" : "note"} role="status">${notice.text}</p>`}
    <div class="grid"><label>A JSONL file<input type="file" accept=".jsonl,.json,.txt" onChange=${pick} /></label></div>
    <label>or pasted, one object a line<textarea class="mono" value=${text} placeholder=${example} onInput=${(e) => setText(e.target.value)}></textarea></label>
    <div class="row"><button class="main" disabled=${!text.trim()}>Import</button>
      ${kind === "compare" && html`<label class="check" style=${{ margin: 0 }}><input type="checkbox" checked=${checks} onChange=${(e) => setChecks(e.target.checked)} /> check pairs: the outcome is known</label>
        <label class="row" style=${{ margin: 0 }}>or a model's labels, by name<input value=${judge} maxlength="200" placeholder="none: people's" disabled=${checks} onInput=${(e) => setJudge(e.target.value)} style=${{ display: "inline-block", width: "190px" }} /></label>`}</div>
    <p class="small soft gap">${kind === "compare" ? "Understood: our own form, TRL's preference formats, Anthropic HH, and plain pairs. What is there already is not added again." : "Understood: {\"prompt\"} and {\"messages\"}."}</p></form>`;
}

function Settings({ path, data, onClose }) {
  const save = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const more = data.kind === "compare" ? { check_rate: rate(form.get("checks")) } : {};
    if (await attempt(() => post(`${path}/settings`, { instructions: form.get("instructions").trim(), ...more }))) onClose();
  };
  return html`<${Dialog} title="Settings" onClose=${onClose}><form onSubmit=${save}>
    <label>What should they go by? (Markdown)<textarea name="instructions" maxlength="20000" rows="8">${data.instructions}</textarea></label>
    ${data.kind === "compare" && html`<label>Check pairs, % of each person’s<input name="checks" type="number" min="0" max="50" step="any" placeholder="as they are spread among the others"
      value=${data.check_rate === null ? "" : 100 * data.check_rate} /></label>`}
    <button class="main">Save</button></form></${Dialog}>`;
}

function Rounds({ data, name }) {
  const closed = data.rounds.filter((row) => row.closed);
  if (!closed.length) return null;
  const recipe = data.kind === "compare" ? `[comparisons]\nsource = "studio:${name}"` : `[data]\ndemonstrations = "studio:${name}"`;
  return html`<div class="card"><h2>Closed rounds</h2><div class="scroll" tabindex="0" role="region" aria-label="Closed rounds"><table>
    <thead><tr><th>round</th><th>closed</th><th class="num">items</th><th class="num">answers</th><th>SHA-256</th></tr></thead>
    <tbody>${closed.map((row) => html`<tr><td>${row.number}</td><td>${when(row.closed)}</td><td class="num">${row.items}</td><td class="num">${row.answered}</td><td class="mono">${row.digest.slice(0, 16)}…</td></tr>`)}</tbody></table></div>
    <div class="row apart gap"><pre tabindex="0" style=${{ margin: 0, flex: 1 }}><code>${recipe}</code></pre><${Copy} text=${recipe} /></div>
    <p class="small soft gap">A recipe with these lines trains on all closed rounds; <code>studio:${name}@1</code> stops after the first.</p></div>`;
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
      <td>${row.kind === "win" ? html`prefers <q>${row.chosen.slice(0, 90)}</q> to <q>${row.other.slice(0, 60)}</q>` : row.kind === "tie" ? "a tie" : row.kind === "skip" ? `skipped: ${row.reason}` : row.text.slice(0, 140)}
        ${row.right === false && html` <span class="chip warn">check pair missed</span>`}${row.text && row.kind !== "write" && html`<div class="small soft">${row.text.slice(0, 200)}</div>`}</td>
      <td>${row.state === "answered" ? html`<button class="quiet" onClick=${() => setWhy(row)}>Exclude</button>` : html`<span class="chip">${row.state}</span>`}</td></tr>`)}</tbody></table></div>
    ${why && html`<${Dialog} title="Exclude this answer" onClose=${() => setWhy(null)}><form onSubmit=${exclude}>
      <p>It stays in the log and no longer counts; somebody else gets the item.</p>
      <label>The reason<input name="reason" required maxlength="500" autofocus /></label><button class="main">Exclude</button></form></${Dialog}>`}</div>`;
}
