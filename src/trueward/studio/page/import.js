// Import: a file dropped, chosen or pasted; looked at first, its columns mapped where their names don't say what they hold.
import { post } from "./api.js";
import { bytes, plain } from "./parts.js";
import { pieces } from "./signs.js";
import { html, useEffect, useRef, useState } from "./vendor.js";

const MOST = 47e6; // bytes: as Base64 they are what a request may hold
const MEANINGS = {
  compare: [["prompt", "the prompt"], ["system", "the system prompt"], ["response_a", "answer A"], ["response_b", "answer B"], ["winner", "which is better"], ["chosen", "the better answer"], ["rejected", "the worse answer"], ["strength", "how much better"], ["annotator", "who said so"]],
  rank: [["prompt", "the prompt"], ["system", "the system prompt"], ["responses", "the answers, a list"]],
  write: [["prompt", "the prompt"], ["system", "the system prompt"], ["answer", "the answer key"]],
};
const FORMS = ["trl", "trl-conversational", "trl-implicit", "hh", "rankings", "table", "own", "csv", "jsonl", "parquet", "arrow"];
const THINGS = { compare: "pairs", rank: "prompts with their answers", write: "prompts" };
const EXAMPLES = { rank: '{"prompt": "…", "responses": ["…", "…", "…"]}', compare: '{"prompt": "…", "first": "…", "second": "…"}', write: '{"prompt": "…"}' };

async function taken(file) {
  if (file.size > MOST) throw new Error(`${file.name} has ${bytes(file.size)}, and a page can send ${bytes(MOST)}: cut it into parts, or import it where the studio runs`);
  const raw = new Uint8Array(await file.arrayBuffer());
  let packed = "";
  for (let i = 0; i < raw.length; i += 0x8000) packed += String.fromCharCode(...raw.subarray(i, i + 0x8000));
  return { name: file.name.slice(-200), size: file.size, body: { base64: btoa(packed) } };
}

export function Import({ path, kind, onDone }) {
  const [source, setSource] = useState(null); // { name, size, body }
  const [pasted, setPasted] = useState("");
  const [how, setHow] = useState({ columns: {}, format: "", order: "", roles: "", contradictions: "stop", checks: false, judge: "" });
  const [seen, setSeen] = useState(null);
  const [notice, setNotice] = useState(null);
  const [over, setOver] = useState(false); // whether a file hangs over the page's frame
  const turn = useRef(0);
  const set = (changes) => setHow((old) => ({ ...old, ...changes }));

  const choose = async (file) => {
    if (!file) return;
    setNotice(null);
    try {
      setSource(await taken(file));
      setPasted("");
      set({ columns: {} });
    } catch (problem) {
      setNotice({ text: problem.message, bad: true });
    }
  };
  const paste = (text) => {
    setPasted(text);
    set({ columns: {} });
    setSource(text.trim() ? { name: "pasted", size: text.length, body: { text } } : null);
  };
  const request = () => {
    const columns = Object.entries(how.columns).map(([column, meaning]) => `${meaning}=${column}`).join(",");
    return { ...source.body, name: source.name, checks: how.checks, judge: how.judge.trim(), format: how.format, order: how.order, roles: how.roles.trim(), contradictions: how.contradictions, columns };
  };
  useEffect(() => {
    const mine = ++turn.current;
    if (!source) return void setSeen(null);
    const timer = setTimeout(async () => {
      const found = await post(`${path}/preview`, request()).catch((problem) => ({ columns: [], rows: [], problem: problem.message }));
      if (mine === turn.current) setSeen(found);
    }, 200);
    return () => clearTimeout(timer);
  }, [source, how]);

  const send = async (event) => {
    event.preventDefault();
    try {
      const reply = await post(`${path}/import`, request());
      setNotice({ text: `${reply.added} of ${reply.read} were new${reply.labels === undefined ? "" : `, and ${reply.labels} labels of a model`}${left(reply)}.` });
      setSource(null);
      setPasted("");
      onDone();
    } catch (problem) {
      setNotice({ text: problem.message, bad: true });
    }
  };
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    choose(event.dataTransfer.files[0]);
  };
  return html`<form class="card" onSubmit=${send} data-test="import"><h2>Import</h2>
    ${notice && html`<p class=${notice.bad ? "note bad" : "note"} role="status">${notice.text}</p>`}
    <label class=${`drop ${over ? "over" : ""}`} onDragOver=${(e) => (e.preventDefault(), setOver(true))} onDragLeave=${() => setOver(false)} onDrop=${drop}>
      <b>${source && source.name !== "pasted" ? `${source.name}, ${bytes(source.size)}` : "Drop a file here, or choose one"}</b>
      <span class="small soft">JSONL, JSON, CSV, TSV, Parquet or Arrow, packed by gzip or Zstandard, too</span>
      <input class="unseen" type="file" accept=".jsonl,.json,.ndjson,.csv,.tsv,.parquet,.arrow,.feather,.gz,.zst,.txt" onChange=${(e) => (choose(e.target.files[0]), (e.target.value = ""))} /></label>
    <label>or paste rows: one object a line, or cells of a spreadsheet with their header<textarea class="mono" rows="3" value=${pasted} placeholder=${EXAMPLES[kind]} onInput=${(e) => paste(e.target.value)}></textarea></label>
    ${source && seen && html`<${Preview} seen=${seen} kind=${kind} columns=${how.columns} onMap=${(columns) => set({ columns })} />`}
    ${source && html`<${Ways} kind=${kind} how=${how} set=${set} />`}
    <div class="row"><button class="main" disabled=${!source || !seen || !!seen.problem}>Import</button>
      ${source && html`<button type="button" class="quiet" onClick=${() => paste("")}>Not this one</button>`}</div>
    <p class="small soft gap">${kind === "rank" ? "Understood: rankings, lists of answers with or without scores, and pairs, of which all answers to a prompt are ranked together. What was said of them is not read." : kind === "compare" ? "Understood: our own form, TRL’s preference formats, Anthropic HH, rankings, tables, the layouts of known data sets, and pairs without an outcome. What is there already is not added again." : "Understood: prompts, and messages. What is there already is not added again."}</p></form>`;
}

const listed = (counts) => Object.entries(counts ?? {}).map(([why, n]) => `${why}: ${n}`).join(", ");
const left = (reply) => `${listed(reply.left_out) && `; left out: ${listed(reply.left_out)}`}${listed(reply.ignored) && `; columns that nothing reads: ${Object.keys(reply.ignored).join(", ")}`}`;

function Preview({ seen, kind, columns, onMap }) {
  const map = (column, meaning) => {
    const rest = Object.entries(columns).filter(([each, was]) => each !== column && was !== meaning);
    onMap(Object.fromEntries(meaning ? [...rest, [column, meaning]] : rest));
  };
  return html`<div class="preview" data-test="preview">
    ${seen.rows.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="The first rows"><table><thead><tr>${seen.columns.map((column) => html`<th key=${column}><code>${pieces(column)}</code>
      <select aria-label=${`What the column ${column} holds`} value=${columns[column] ?? ""} onChange=${(e) => map(column, e.target.value)}><option value="">as it is named</option>
        ${MEANINGS[kind].map(([meaning, words]) => html`<option value=${meaning} selected=${columns[column] === meaning}>${words}</option>`)}</select></th>`)}</tr></thead>
      <tbody>${seen.rows.map((row) => html`<tr>${seen.columns.map((column) => html`<td><div class="cell">${row[column] == null ? html`<span class="soft">–</span>` : pieces(row[column])}</div></td>`)}</tr>`)}</tbody></table></div>`}
    ${seen.problem
      ? html`<p class="note bad gap" role="status">${pieces(seen.problem)}</p>`
      : html`<p class="note gap" role="status">${seen.read.toLocaleString()} ${THINGS[kind]}, ${seen.new.toLocaleString()} of them new${left(seen)}.</p>
        <details open><summary>As they are understood</summary>${seen.examples.map((each) => html`<div class="understood small"><div>${pieces(plain(each.prompt).slice(0, 300))}</div>
          ${each.answers && html`<div class="pairing several">${each.answers.map((answer) => html`<div>${pieces(answer.slice(0, 300))}</div>`)}</div>`}
          ${each.first !== undefined && html`<div class="pairing"><div class=${each.better === 0 ? "better" : ""}>${pieces(each.first.slice(0, 300))}</div><div class=${each.better === 1 ? "better" : ""}>${pieces(each.second.slice(0, 300))}</div></div>`}</div>`)}</details>`}</div>`;
}

// What the rows don't say themselves.
const Ways = ({ kind, how, set }) => html`<details class="ways gap"><summary>${kind === "compare" ? "Check pairs, a model’s labels, and how it is read" : "How it is read"}</summary>
  ${kind === "compare" && html`<div class="row"><label class="check"><input type="checkbox" checked=${how.checks} onChange=${(e) => set({ checks: e.target.checked, judge: "" })} /> check pairs: the outcome is known</label>
    <label>or a model’s labels, by its name<input value=${how.judge} maxlength="200" placeholder="none: people’s" disabled=${how.checks} onInput=${(e) => set({ judge: e.target.value })} /></label></div>
  <div class="row"><label>Form<select value=${how.format} onChange=${(e) => set({ format: e.target.value })}><option value="">by its rows</option>${FORMS.map((form) => html`<option value=${form} selected=${form === how.format}>${form}</option>`)}</select></label>
    <label class="check"><input type="checkbox" checked=${how.order === "best-first"} onChange=${(e) => set({ order: e.target.checked ? "best-first" : "" })} /> lists have the best answer first</label>
    <label class="check"><input type="checkbox" checked=${how.contradictions === "drop"} onChange=${(e) => set({ contradictions: e.target.checked ? "drop" : "stop" })} /> leave out rows that contradict themselves</label></div>`}
  <label>Roles of speakers that aren’t known<input value=${how.roles} maxlength="2000" placeholder="teacher=assistant,pupil=user" onInput=${(e) => set({ roles: e.target.value })} /></label></details>`;
