// Home: what there is to do, and a welcome where there is nothing yet.
import { attempt, encoded, get, lab, me, post } from "./api.js";
import { Badge, Meter, useData, Verdict, signed, when } from "./parts.js";
import { go, Link } from "./place.js";
import { rate } from "./project-settings.js";
import { html, useState } from "./vendor.js";

export const VERBS = { compare: "Compare", rank: "Rank", write: "Write" };

export function Home({ kind = "", welcome = false }) {
  const projects = useData(() => get("/api/projects"), "projects", 5000);
  const sees = me.value.role !== "annotator";
  const runs = useData(() => (sees && !kind ? get("/api/runs") : Promise.resolve([])), `runs ${kind}`, 5000);
  if (!projects.data || !runs.data) return html`<p class="soft" aria-busy="true">${projects.problem?.message || ""}</p>`;
  const ours = projects.data.filter((project) => !kind || (project.kind === "write") === (kind === "write"));
  const [listed, old] = [ours.filter((project) => !project.archived), ours.filter((project) => project.archived)];
  const rules = me.value.role === "admin";
  if (welcome || (!kind && rules && !projects.data.length && !runs.data.length)) return html`<${Welcome} />`;
  return html`
    <div class="row apart"><h1>${kind === "compare" ? "Compare" : kind === "write" ? "Write" : "The studio"}</h1>
      ${rules && html`<${NewProject} kind=${kind || "compare"} />`}</div>
    ${listed.length
      ? html`<div class="grid gap">${listed.map((project) => html`<${Tile} project=${project} />`)}</div>`
      : html`<div class="card empty gap"><h2>No projects${kind ? " of this kind" : ""} yet</h2>
          <p>${rules ? "Make one, and fill it from a file or from a model." : "Somebody has to make one first, or assign you to one."}</p></div>`}
    ${old.length > 0 && html`<details class="gap archive"><summary>${old.length === 1 ? "1 archived project" : `${old.length} archived projects`}</summary><ul>${old.map((project) => html`<li><${Link} to=${`/projects/${encodeURIComponent(project.name)}`}>${project.name}</${Link}> <span class="small soft">${project.kind}, archived ${when(project.archived)}</span></li>`)}</ul></details>`}
    ${me.value.password === false && me.value.name !== "owner" && html`<p class="note gap">You have no password yet, so this browser is your only way in. <${Link} to="/people">Choose one</${Link}></p>`}
    ${runs.data.length > 0 &&
    html`<h2 class="gap">Latest runs</h2><div class="grid">${runs.data.slice(0, 6).map(
      (run) => html`<div class="card"><div class="row apart"><h3><${Link} to=${`/runs/${encoded(run.name)}`}>${run.name}</${Link}></h3><${Badge} state=${run.damage ? "damaged" : run.state} /></div>
        <div class="row"><${Verdict} word=${run.verdict} /><span class="small soft num">truth ${signed(run.truth)} · proxy ${signed(run.proxy)}</span></div></div>`,
    )}</div>`}`;
}

function Tile({ project }) {
  const { round, mine } = project;
  const part = round ? round.answered / (round.needed || 1) : mine.done / (mine.done + mine.left || 1);
  const place = `/${project.kind}/${encodeURIComponent(project.name)}`;
  return html`<div class="card">
    <div class="row apart"><h2 style=${{ margin: 0 }}>${round ? html`<${Link} to=${`/projects/${encodeURIComponent(project.name)}`}>${project.name}</${Link}>` : project.name}</h2>
      <span class="chip">${project.kind}</span></div>
    <p class="small soft">${round ? `round ${round.number}: ${round.answered} of ${round.needed} answers, ${round.items} items` : `${mine.done} done, ${mine.left} left for you`}</p>
    <${Meter} part=${part} label=${`answers in ${project.name}`} />
    <div class="row gap">
      ${mine && html`<${Link} to=${place} class=${mine.left ? "button main" : "button"}>${VERBS[project.kind]}${mine.left ? ` (${mine.left})` : ""}</${Link}>`}
      ${round && html`<${Link} to=${`/projects/${encodeURIComponent(project.name)}`} class="button">Manage</${Link}>`}
    </div>
  </div>`;
}

export function NewProject({ kind, label = "New project" }) {
  const [open, setOpen] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const body = { name: form.get("name"), kind: form.get("kind"), overlap: Number(form.get("overlap")), instructions: form.get("instructions"), check_rate: rate(form.get("checks")) };
    if (await attempt(() => post("/api/projects", body))) go(`/projects/${encodeURIComponent(body.name)}`);
  };
  if (!open) return html`<button onClick=${() => setOpen(true)}>${label}</button>`;
  return html`<form class="card" style=${{ width: "100%" }} onSubmit=${submit}>
    <div class="grid"><label>Name<input name="name" required maxlength="64" placeholder="Helpful answers" autofocus /></label>
      <label>People do what?<select name="kind"><option value="compare" selected=${kind === "compare"}>compare two answers</option><option value="rank">rank several answers</option><option value="write" selected=${kind === "write"}>write answers</option></select></label>
      <label>People an item<input name="overlap" type="number" min="1" max="100" value="2" /></label>
      <label>Check pairs, % of each person’s<input name="checks" type="number" min="0" max="50" step="any" placeholder="as they are spread" /></label></div>
    <label>What should they go by?<textarea name="instructions" maxlength="20000"></textarea></label>
    <div class="row"><button class="main">Make it</button><button type="button" onClick=${() => setOpen(false)}>Not now</button></div>
  </form>`;
}

function Welcome() {
  const demonstrate = async () => {
    const made = await attempt(() => post("/api/demonstration", {}));
    if (made) go(`/compare/${made.name}`);
  };
  return html`<h1>People say what is better. See what becomes of it.</h1>
    <p class="lead">A policy is trained on what people click, or on something that has learnt to click like them. Here they do, and here you watch whether the reward stays honest.</p>
    <div class="offers">
      ${lab.value && html`<div class="card offer"><${Icon} path="M6 34 18 12l8 13 6-9 8 18z" /><h2>Play in the lab</h2>
        <p>Five answers, a reward model and you: break a reward by hand in five minutes, and see what an anchor does.</p><a class="button" href="/lab/">Open the lab</a></div>`}
      <div class="card offer"><${Icon} path="M7 10h13v26H7zM26 10h13v26H26zM11 17h5M11 22h5M30 17h5M30 22h5M30 27h5" /><h2>Compare a few answers</h2>
        <p>A small project with twelve pairs, to feel how quick the keys are. Nothing is trained on it.</p><button class="main" onClick=${demonstrate}>Make the demonstration</button></div>
      <div class="card offer"><${Icon} path="M23 6v22M14 20l9 9 9-9M8 38h30" /><h2>Bring your own</h2>
        <p>Pairs or prompts from a file: our JSONL, TRL's formats, Anthropic HH, or plain prompts to answer.</p><${NewProject} kind="compare" label="Make a project" /></div>
    </div>
    <div class="card gap"><h2>Or from a policy of yours</h2>
      <pre tabindex="0"><code>trueward run reviews --until sft
trueward comparisons make --model reviews/sft --project mine</code></pre>
      <p class="soft small">Runs appear under Runs by themselves, while they go on and when they are done.</p></div>`;
}

const Icon = ({ path }) => html`<svg viewBox="0 0 46 46" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linejoin="round" stroke-linecap="round" aria-hidden="true"><path d=${path} /></svg>`;
