// Runs: all that lie under a directory, as a table; two or more of them on one plot.
import { encoded, get } from "./api.js";
import { Trail, trail } from "./chart.js";
import { Badge, number, percent, signed, useData, Verdict } from "./parts.js";
import { Link } from "./place.js";
import { Sweeps } from "./sweep.js";
import { pieces } from "./signs.js";
import { TagFilter } from "./tags.js";
import { html, useEffect, useState } from "./vendor.js";

const COLOURS = ["truth", "proxy", "good", "kl", "bad", "soft"];

let seen = "/runs"; // the view of the table that was last open
export const lastView = () => seen;

export function Runs() {
  const { data, problem } = useData(() => get("/api/runs"), "runs", 3000);
  const [picked, setPicked] = useState([]);
  const [find, setFind] = useState("");
  const [tags, setTags] = useState([]);
  if (!data) return html`<p class="soft" aria-busy="true">${problem?.message || ""}</p>`;
  if (!data.length)
    return html`<h1>Runs</h1><div class="card empty"><h2>No runs here yet</h2><p>Start one in another terminal, from where the studio was started, and it appears by itself:</p>
      <p><code>trueward run nano</code></p></div>`;
  const matching = data.filter((run) => `${run.name} ${run.verdict} ${run.state} ${run.tags.join(" ")}`.toLowerCase().includes(find.toLowerCase()) && tags.every((tag) => run.tags.includes(tag)));
  const pick = (name) => setPicked(picked.includes(name) ? picked.filter((each) => each !== name) : [...picked, name]);
  return html`<div class="row apart" style=${{ marginBottom: "12px" }}><h1>Runs</h1><label style=${{ margin: 0 }}><span class="unseen">Find</span><input type="search" placeholder="Find by name, state, tag" value=${find} onInput=${(e) => setFind(e.target.value)} style=${{ width: "260px" }} /></label></div>
    <${Sweeps} />
    <${TagFilter} runs=${data} picked=${tags} onPick=${setTags} />
    ${picked.length > 1 && html`<${Overlay} names=${picked} rows=${data.filter((run) => picked.includes(run.name))} onClear=${() => setPicked([])} />`}
    <div class="card scroll runs" tabindex="0" role="region" aria-label="Runs"><table>
      <thead><tr><th class="wide"><span class="unseen">overlay</span></th><th>run</th><th class="wide">state</th><th>verdict</th><th class="num wide">step</th><th class="num wide">proxy</th><th class="num">truth</th><th class="num wide">KL</th><th class="num wide">win rate</th><th class="wide">what differs</th></tr></thead>
      <tbody>${matching.map((run) => html`<tr key=${run.name}>
        <td class="wide"><input type="checkbox" aria-label=${`overlay ${run.name}`} checked=${picked.includes(run.name)} onChange=${() => pick(run.name)} /></td>
        <td><${Link} to=${`/runs/${encoded(run.name)}`}>${run.name}</${Link}><div class="small soft">${[run.recipe, run.kind, run.seed === undefined ? "" : `seed ${run.seed}`].filter(Boolean).join(" · ")}</div>${run.damage && html`<div class="small bad-text" data-test="damage">damaged: ${pieces(run.damage)}</div>`}${run.tags.length > 0 && html`<div class="tags">${run.tags.map((tag) => html`<span class="chip">${tag}</span>`)}</div>`}<div class="narrow"><${Badge} state=${run.damage ? "damaged" : run.state} /></div></td>
        <td class="wide"><${Badge} state=${run.damage ? "damaged" : run.state} />${run.stage && ["live", "stale"].includes(run.state) ? html`<div class="small soft">${run.stage}</div>` : ""}</td>
        <td><${Verdict} word=${run.verdict} /></td>
        <td class="num wide">${run.step ?? "–"}${run.steps ? html`<span class="soft"> / ${run.steps}</span>` : ""}</td>
        <td class="num wide" style=${{ color: "var(--proxy)" }}>${signed(run.proxy)}</td><td class="num" style=${{ color: "var(--truth)" }}>${signed(run.truth)}</td>
        <td class="num wide">${number(run.kl, 1)}</td><td class="num wide">${percent(run.win_rate)}</td>
        <td class="differs wide">${Object.entries(run.differs).slice(0, 3).map(([key, value]) => html`<div>${key}=${JSON.stringify(value)}</div>`)}${Object.keys(run.differs).length > 3 && html`<div title=${Object.entries(run.differs).slice(3).map(([key, value]) => `${key}=${JSON.stringify(value)}`).join("\n")}>and ${Object.keys(run.differs).length - 3} more</div>`}</td></tr>`)}</tbody></table>
      ${!matching.length && html`<p class="empty">No run matches.</p>`}</div>`;
}

function Overlay({ names, rows, onClear }) {
  const [runs, setRuns] = useState([]);
  useEffect(() => {
    let on = true;
    Promise.all(names.map((name) => get(`/api/runs/${encoded(name)}`).catch(() => null))).then((all) => on && setRuns(all.filter(Boolean)));
    return () => (on = false);
  }, [names.join("\n")]);
  const trails = (key) => runs.map((run) => trail(run.evaluations, key, run.name, COLOURS[Math.max(0, names.indexOf(run.name)) % COLOURS.length]));
  // one point a run: where each of them ended
  const ends = (key) => ({
    name: key,
    colour: key,
    apart: true,
    points: rows.filter((run) => run[key] != null && run.kl != null).map((run) => ({ x: Math.sqrt(Math.max(0, run.kl)), y: run[key], label: `${run.name}: ${number(run[key])}` })),
  });
  const query = names.map((name) => `run=${encodeURIComponent(name)}`).join("&");
  const frontier = useData(() => get(`/api/frontier?${query}`).then((frontier) => ({ ...frontier, query })), query); // the last one stays until this one is there
  return html`<div class="card" style=${{ marginBottom: "18px" }}><div class="row apart"><h2>${names.length} runs on one plot</h2><button class="quiet" onClick=${onClear}>Clear</button></div>
    <div class="charts"><${Trail} title="Truth against √KL" xLabel="√KL" trails=${trails("truth")} height=${280} /><${Trail} title="Proxy against √KL" xLabel="√KL" trails=${trails("proxy")} height=${280} />
      <${Trail} title="Where each run ended" xLabel="√KL" trails=${[ends("proxy"), ends("truth")]} height=${280} /></div>
    ${frontier.data?.headline && html`<h3 class="gap">The frontier</h3><p class="small">${frontier.data.headline}</p>
      <picture><source media="(max-width: 700px)" srcset=${`/api/frontier.svg?${frontier.data.query}&narrow=true`} /><img class="picture" src=${`/api/frontier.svg?${frontier.data.query}`} alt=${`Truth and proxy of these runs by the distance from SFT. ${frontier.data.headline}`} /></picture>
      ${frontier.data.notes.map((note) => html`<p class="small soft">${note}</p>`)}`}
    ${frontier.data?.problem && html`<p class="small soft gap">No frontier: ${frontier.data.problem}</p>`}</div>`;
}
