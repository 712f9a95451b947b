// The desk: items to review, with what people said of each. Found by words, filtered, sorted, decided, excluded in bulk.
import { get, me, newKey, offline, say } from "./api.js";
import { asked, Filters } from "./desk-filter.js";
import { decide, Item } from "./desk-item.js";
import * as outbox from "./outbox.js";
import { Dialog, useData } from "./parts.js";
import { Link, look, view } from "./place.js";
import { SCALE } from "./scale.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor.js";

export function Desk({ name }) {
  const path = `/api/projects/${encodeURIComponent(name)}`;
  const wish = asked();
  const { data: fresh, problem, again } = useData(() => get(`${path}/desk?${wish}`), `${path} ${wish}`);
  const about = useData(() => get(path), path);
  const last = useRef(null); // the rows stay while the next ones come
  if (fresh) last.current = fresh;
  const data = fresh ?? last.current;
  const [changed, setChanged] = useState({}); // items as they are after a decision or a comment
  const [picked, setPicked] = useState(new Map()); // answers by assignment
  const [at, setAt] = useState(0); // the item that keys act on
  const [ask, setAsk] = useState(null); // exclude or include, and what
  const [help, setHelp] = useState(false);
  const rules = me.value.role === "admin";

  useEffect(() => setChanged({}), [fresh]);
  useEffect(() => {
    setPicked(new Map());
    setAt(0);
  }, [wish]);
  useEffect(() => {
    outbox.send();
    return outbox.listen((body, reply, refused) => {
      if (refused || !reply) return;
      if (reply.item) setChanged((old) => ({ ...old, [reply.item]: reply }));
      else if ("excluded" in reply || "included" in reply) {
        say("excluded" in reply ? `${answers(reply.excluded)} no longer ${reply.excluded === 1 ? "counts" : "count"}.` : told(reply));
        setPicked(new Map());
        again();
      }
    });
  }, [path, wish]);

  const items = (data?.items ?? []).map((item) => changed[item.item] ?? item);
  const pick = (vote) =>
    setPicked((old) => {
      const next = new Map(old);
      if (!next.delete(vote.assignment)) next.set(vote.assignment, vote.state);
      return next;
    });
  const move = (by) => {
    const next = Math.max(0, Math.min(items.length - 1, at + by));
    setAt(next);
    const card = document.querySelectorAll(".item")[next];
    card?.scrollIntoView({ block: "start" });
    card?.querySelector("h2 a")?.focus({ preventScroll: true });
  };
  useLayoutEffect(() => {
    const press = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select") || document.querySelector("dialog[open]")) return;
      const item = items[at];
      const step = SCALE.find(([key]) => key === event.key);
      const acts = {
        j: () => move(1),
        k: () => move(-1),
        "/": () => document.querySelector(".sieve input").focus(),
        "?": () => setHelp(true),
        c: () => document.getElementById(`comment-${item?.item}`)?.focus(),
        x: () => item?.votes.filter((vote) => vote.state === "answered").forEach(pick),
      };
      if (step && rules && item?.open && item.first && !item.check) decide(path, item, step, "");
      else if (acts[event.key]) acts[event.key]();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });

  if (problem && !data) return html`<div class="card empty"><h1>${problem.status === 404 ? "There is no such project" : "This can’t be shown"}</h1><p>${problem.message}</p><${Link} to="/" class="button main">Home</${Link}></div>`;
  if (!data) return html`<h1>Review</h1><p class="soft" aria-busy="true">…</p>`;
  const annotator = view().get("annotator");
  const chosen = (state) => [...picked].filter(([, was]) => was === state).map(([id]) => id);
  return html`<div class="row apart"><h1>Review</h1><div class="row"><button class="quiet" onClick=${() => setHelp(true)}>Keys <kbd>?</kbd></button>
      <${Link} class="button" to=${`/projects/${encodeURIComponent(name)}`}>Back to ${name}</${Link}></div></div>
    <${Filters} kind=${data.kind} annotators=${data.annotators} rounds=${about.data?.rounds.length ?? 1} />
    <div class="row apart found"><span class="num" role="status" data-test="total">${data.total === 1 ? "1 item" : `${data.total.toLocaleString()} items`}</span>
      ${outbox.waiting.value > 0 && offline.value && html`<span class="chip warn">${outbox.waiting.value} to send</span>`}
      ${rules && annotator && html`<span class="row"><button onClick=${() => setAsk({ what: "exclude", body: { annotator }, words: `all answers of ${annotator}` })}>Exclude all of ${annotator}’s answers</button>
        <button onClick=${() => setAsk({ what: "include", body: { annotator }, words: `all excluded answers of ${annotator}` })}>Take them back in</button></span>`}</div>
    ${items.map((item, i) => html`<${Item} key=${item.item} item=${item} path=${path} rules=${rules} picked=${picked} onPick=${pick} at=${i === at} onFocus=${() => setAt(i)} />`)}
    ${!items.length && html`<div class="card empty"><h2>No item is like that</h2><p>${data.kind !== "write" ? "Show everything, or look for something else." : "Nobody has written anything like it."}</p></div>`}
    ${data.pages > 1 && html`<${Pages} page=${data.page} pages=${data.pages} />`}
    ${picked.size > 0 && html`<div class="picked" role="region" aria-label="Picked answers"><span class="num">${answers(picked.size)} picked</span>
      ${chosen("answered").length > 0 && html`<button class="main" onClick=${() => setAsk({ what: "exclude", body: { assignments: chosen("answered") }, words: answers(chosen("answered").length) })}>Exclude …</button>`}
      ${chosen("excluded").length > 0 && html`<button onClick=${() => setAsk({ what: "include", body: { assignments: chosen("excluded") }, words: answers(chosen("excluded").length) })}>Take back in …</button>`}
      <button class="quiet" onClick=${() => setPicked(new Map())}>None</button></div>`}
    ${ask && html`<${Ask} ...${ask} path=${path} onClose=${() => setAsk(null)} />`}
    ${help && html`<${Keys} onClose=${() => setHelp(false)} />`}`;
}

const answers = (n) => (n === 1 ? "1 answer" : `${n.toLocaleString()} answers`);
const told = ({ included, surplus }) => `${answers(included)} ${included === 1 ? "counts" : "count"} again${surplus ? `; others have replaced ${surplus} since` : ""}.`;

function Pages({ page, pages }) {
  const go = (to) => {
    look({ page: to === 1 ? "" : String(to) }, true);
    scrollTo(0, 0);
  };
  return html`<nav class="row pages" aria-label="Pages"><button disabled=${page <= 1} onClick=${() => go(page - 1)}>Back</button>
    <span class="num">page ${page} of ${pages}</span><button disabled=${page >= pages} onClick=${() => go(page + 1)}>Next</button></nav>`;
}

// The reason of an exclusion, or of one that is taken back.
function Ask({ what, body, words, path, onClose }) {
  const excludes = what === "exclude";
  const submit = (event) => {
    event.preventDefault();
    outbox.put(`${path}/${what}`, { ...body, reason: new FormData(event.target).get("reason"), key: newKey() });
    onClose();
  };
  return html`<${Dialog} title=${excludes ? `Exclude ${words}` : `Take back in: ${words}`} onClose=${onClose}><form onSubmit=${submit}>
    <p>${excludes ? "They stay in the log and no longer count; somebody else gets the items of the open round." : "They count again where nobody else has taken their place since."}</p>
    <label>The reason<input name="reason" required=${excludes} maxlength="500" autofocus /></label>
    <button class="main">${excludes ? "Exclude" : "Take back in"}</button></form></${Dialog}>`;
}

const Keys = ({ onClose }) => html`<${Dialog} title="Keys" onClose=${onClose}><dl class="keys">
    <dt><kbd>J</kbd> <kbd>K</kbd></dt><dd>next item, the one before</dd>
    <dt><kbd>1</kbd> to <kbd>7</kbd></dt><dd>decide it, from A much better to B much better</dd>
    <dt><kbd>X</kbd></dt><dd>pick its answers</dd>
    <dt><kbd>C</kbd></dt><dd>comment</dd>
    <dt><kbd>/</kbd></dt><dd>find</dd></dl><form method="dialog"><button class="main">Go on</button></form></${Dialog}>`;
