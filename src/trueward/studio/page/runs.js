// Runs: all that lie under a directory, as a table whose view is in the address; the picked ones beside each other.
import { encoded, get } from "./api.js";
import { Beside } from "./beside.js";
import { Chooser, column, sorted, USUAL } from "./columns.js";
import { tone } from "./palette.js";
import { Badge, useData } from "./parts.js";
import { here, Link, look, view } from "./place.js";
import { grouped } from "./seeds.js";
import { pieces } from "./signs.js";
import { Sweeps } from "./sweep.js";
import { TagFilter } from "./tags.js";
import { html } from "./vendor.js";

let seen = "/runs"; // the view that was last open, for the way back
let kept = null; // its rows, which are there at once on the way back
export const lastView = () => seen;

export function Runs() {
  const { data: fresh, problem } = useData(() => get("/api/runs"), "runs", 3000);
  const data = fresh ?? kept;
  if (!data) return html`<p class="soft" aria-busy="true">${problem?.message || ""}</p>`;
  kept = data;
  if (here.value.split("?")[0] === "/runs") seen = here.value; // it is drawn once more on the way to another page
  if (!data.length)
    return html`<h1>Runs</h1><div class="card empty"><h2>No runs here yet</h2><p>Start one in another terminal, from where the studio was started, and it appears by itself:</p>
      <p><code>trueward run nano</code></p></div>`;
  const at = view();
  const [find, tags] = [at.get("find") ?? "", at.getAll("tag")];
  const seeds = !!at.get("seeds");
  const picked = at.getAll("run").filter((name) => data.some((run) => run.name === name));
  const text = (run) => `${run.name} ${run.verdict} ${run.damage ? "damaged" : run.state} ${run.recipe} ${run.note?.text ?? ""} ${run.tags.join(" ")}`.toLowerCase();
  const matching = data.filter((run) => text(run).includes(find.toLowerCase()) && tags.every((tag) => run.tags.includes(tag)));
  return html`<div class="row apart" style=${{ marginBottom: "12px" }}><h1>Runs</h1><div class="row"><label style=${{ margin: 0 }}><span class="unseen">Find</span><input type="search" placeholder="Find by name, tag, note" value=${find} onInput=${(e) => look({ find: e.target.value })} style=${{ width: "240px" }} /></label>
      <button aria-pressed=${seeds} onClick=${() => look({ seeds: seeds ? "" : "1" })}>Group seeds</button>
      <${Chooser} runs=${data} chosen=${chosen(at)} onChoose=${(keys) => look({ col: keys.join() === USUAL.join() ? "" : keys.join(",") })} /></div></div>
    <${Sweeps} />
    <${TagFilter} runs=${data} picked=${tags} onPick=${(names) => look({ tag: names })} />
    ${picked.length > 0 && html`<${Beside} picked=${picked} rows=${data.filter((run) => picked.includes(run.name))} seeds=${seeds} />`}
    <${Table} rows=${seeds ? grouped(matching) : matching} picked=${picked} />`;
}

const chosen = (at) => {
  const keys = (at.get("col") ?? "").split(",").filter((key) => key && column(key));
  return keys.length ? keys : USUAL;
};

const MOST = 40; // runs on a plot

function Table({ rows, picked }) {
  const at = view();
  const keys = chosen(at);
  const [sort, down] = [at.get("sort") ?? "", at.get("desc") === "1"];
  const order = (key) => look(sort !== key ? { sort: key, desc: column(key).number ? "1" : "" } : down === !!column(key).number ? { sort: key, desc: down ? "" : "1" } : { sort: "", desc: "" });
  const members = (row) => row.members?.map((run) => run.name) ?? [row.name];
  const pick = (row) => {
    const names = members(row);
    const on = names.every((name) => picked.includes(name));
    look({ run: on ? picked.filter((name) => !names.includes(name)) : [...new Set([...picked, ...names])].slice(0, MOST) });
  };
  const wide = (key) => (key === "verdict" || key === "truth" ? "" : "wide");
  const colours = new Map();
  for (const row of picked.map((name) => rows.find((each) => members(each).includes(name))).filter(Boolean)) if (!colours.has(row)) colours.set(row, tone(colours.size));
  return html`<div class="card scroll runs" tabindex="0" role="region" aria-label="Runs"><table>
      <thead><tr><th><span class="unseen">overlay</span></th><th>run</th>${keys.map((key) => html`<th key=${key} class=${`${column(key).number ? "num " : ""}${wide(key)}`} aria-sort=${sort === key ? (down ? "descending" : "ascending") : undefined}>${column(key).fixed ? column(key).name : html`<button class="quiet sort" onClick=${() => order(key)}>${pieces(column(key).name)}<span aria-hidden="true">${sort === key ? (down ? " ↓" : " ↑") : ""}</span></button>`}</th>`)}</tr></thead>
      <tbody>${sorted(rows, sort, down).map((row) => html`<tr key=${members(row).join("\n")} class=${row.damage ? "torn" : ""}>
        <td class="pick"><input type="checkbox" aria-label=${`overlay ${row.name}`} checked=${members(row).every((name) => picked.includes(name))} onChange=${() => pick(row)} />${colours.has(row) && html`<i style=${{ background: colours.get(row).colour }}></i>`}</td>
        <td>${row.members?.length > 1 ? html`<b>${pieces(row.name)}</b><div class="small soft">${row.members.length} seeds: ${row.members.map((run, i) => html`${i ? ", " : ""}<${Link} to=${`/runs/${encoded(run.name)}`} title=${run.name}>${run.seed ?? run.name}</${Link}>`)}</div>` : html`<${Name} run=${row} />`}</td>
        ${keys.map((key) => html`<td key=${key} class=${`${column(key).number ? "num " : ""}${wide(key)}`}>${column(key).show(row)}</td>`)}</tr>`)}</tbody></table>
      ${!rows.length && html`<p class="empty">No run matches.</p>`}</div>`;
}

const Name = ({ run }) => html`<${Link} to=${`/runs/${encoded(run.name)}`}>${pieces(run.name)}</${Link}><div class="small soft">${pieces([run.recipe, run.kind, run.seed == null ? "" : `seed ${run.seed}`].filter(Boolean).join(" · "))}</div>${run.damage && html`<div class="small bad-text" data-test="damage">damaged: ${pieces(run.damage)}</div>`}${run.tags.length > 0 && html`<div class="tags">${run.tags.map((tag) => html`<span class="chip">${tag}</span>`)}</div>`}<div class="narrow"><${Badge} state=${run.damage ? "damaged" : run.state} />${run.note && html`<div class="small">${pieces(run.note.text.slice(0, 160))}</div>`}</div>`;
