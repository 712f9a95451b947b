// The studio's shell: who is here, where they are, and what to show there.
import { get, lab, me, offline, post, say, toast } from "./api.js";
import { Compare } from "./compare.js";
import { here, Link } from "./place.js";
import { Password } from "./password.js";
import { hidden, pieces } from "./signs.js";
import { html, render, signal, useEffect, useState } from "./vendor.js";
import { early } from "./early.js";
import { Home } from "./home.js";

// A page that is fetched when it is first opened: who compares waits for none of the others.
function later(load, name) {
  let known = null;
  return function Later(props) {
    const [page, setPage] = useState(() => known);
    const [lost, setLost] = useState(false);
    useEffect(() => {
      if (!known) load().then((module) => setPage(() => (known = module[name])), () => setLost(true));
    }, []);
    if (lost) return html`<p class="note bad" role="alert">This page can’t be fetched now. Reload it when the studio can be reached.</p>`;
    return page ? html`<${page} ...${props} />` : html`<p class="soft" aria-busy="true">…</p>`;
  };
}
const Desk = later(() => import("./desk.js"), "Desk");
const People = later(() => import("./people.js"), "People");
const Project = later(() => import("./project.js"), "Project");
const Rank = later(() => import("./rank.js"), "Rank");
const Run = later(() => import("./run.js"), "Run");
const Runs = later(() => import("./runs.js"), "Runs");
const Sweep = later(() => import("./sweep.js"), "Sweep");
const Write = later(() => import("./write.js"), "Write");

const PLACES = [
  ["/", "Home", ["admin", "annotator", "viewer"]],
  ["/compare", "Compare", ["admin", "annotator"]],
  ["/write", "Write", ["admin", "annotator"]],
  ["/runs", "Runs", ["admin", "viewer"]],
  ["/lab/", "Lab", ["admin", "annotator", "viewer"]],
  ["/people", "People", ["admin", "annotator", "viewer"]],
];

const OTHERS = { rank: "Rank", projects: "Project", desk: "Review", sweeps: "Sweep", welcome: "Welcome" };

// The tab's title: what is shown, its place, the studio. Signs that turn the direction of text have no place in it.
function titled(...parts) {
  document.title = [...parts.filter((part) => part && !hidden(part)), "trueward studio"].join(" · ");
}

function Shell() {
  if (me.value === undefined) return null;
  if (refusal) return html`<${Refused} />`;
  if (me.value === null) return html`<${SignIn} />`;
  if (me.value.role === "panelist") return html`<${Sitting} />`;
  return html`<${Places} />`;
}

function Places() {
  const [path] = here.value.split("?");
  const [, place, ...rest] = path.split("/");
  const name = decoded(rest.join("/"));
  const pages = {
    "": () => html`<${Home} />`,
    welcome: () => html`<${Home} welcome=${true} />`,
    compare: () => (name ? html`<${Compare} key=${name} name=${name} />` : html`<${Home} kind="compare" />`),
    rank: () => (name ? html`<${Rank} key=${name} name=${name} />` : html`<${Home} kind="compare" />`),
    write: () => (name ? html`<${Write} key=${name} name=${name} />` : html`<${Home} kind="write" />`),
    projects: () => (name ? html`<${Project} key=${name} name=${name} />` : html`<${Home} />`),
    desk: () => (name ? html`<${Desk} key=${name} name=${name} />` : html`<${Home} />`),
    runs: () => (name ? html`<${Run} key=${name} name=${name} />` : html`<${Runs} />`),
    sweeps: () => html`<${Sweep} key=${name} name=${name} />`,
    people: () => html`<${People} />`,
  };
  const known = Object.hasOwn(pages, place) && !(name && ["", "welcome", "people"].includes(place));
  const label = !known ? "No such page" : PLACES.find(([to]) => to === `/${place}`)?.[1] ?? OTHERS[place] ?? "";
  useEffect(() => titled(name, place ? label : ""), [name, label, place]);
  const current = (to) => (to === "/" ? path === "/" : path.startsWith(to)) || (to === "/" && ["projects", "desk"].includes(place)) || (to === "/runs" && place === "sweeps") || (to === "/compare" && place === "rank");
  const link = ([to, label, roles]) =>
    roles.includes(me.value.role) &&
    (to !== "/lab/" || lab.value) &&
    (to === "/lab/"
      ? html`<a href=${to}>${label}</a>`
      : html`<${Link} to=${to} aria-current=${current(to) ? "page" : undefined}>${label}</${Link}>`);
  return html`
    <a class="jump" href="#main">To the page</a>
    <header class="bar">
      <${Link} to="/" class="brand"><img src="/page/icon.svg" alt="" />trueward</${Link}>
      <nav aria-label="Places">${PLACES.map(link)}</nav>
      <span class="end">${offline.value && html`<span class="chip warn">offline</span>`}
        <span>${me.value.name}</span></span>
    </header>
    <main id="main" tabindex="-1" class=${["compare", "rank"].includes(place) && name ? "work" : place === "runs" || place === "sweeps" ? "wide" : ""}>
      ${entered.value && me.value.password === false && me.value.name !== "owner" && html`<div class="first"><${Password} first=${true} onDone=${() => (entered.value = false)} onLater=${() => (entered.value = false)} /></div>`}
      ${known ? pages[place]() : html`<${Nowhere} path=${path} />`}
    </main>
    <div aria-live="polite" role="status">${toast.value && html`<div class="toast">${toast.value}</div>`}</div>`;
}

// An address that leads nowhere: what was asked for, and the way back.
const Nowhere = ({ path }) => html`<div class="card empty"><h1>There is no such page</h1>
  <p><code>${pieces(path)}</code> is not one of the studio’s. It may have been mistyped, or a link is old.</p>
  <div class="row" style=${{ justifyContent: "center" }}><${Link} to="/" class="button main">Home</${Link}></div></div>`;

// Somebody of a panel: one project, and no way to anything else.
const Sitting = () => html`
  <a class="jump" href="#main">To the page</a>
  <main id="main" tabindex="-1" class="work"><${me.value.kind === "rank" ? Rank : Compare} name=${me.value.project} /></main>
  <div aria-live="polite" role="status">${toast.value && html`<div class="toast">${toast.value}</div>`}</div>`;

const Refused = () => html`<main tabindex="-1"><div class="card" style=${{ maxWidth: "480px", margin: "8vh auto" }}>
  <h1>This link doesn’t open</h1><p class="note bad" role="alert">${refusal}</p>
  <p class="small soft">If you came from a panel, please return the study there.</p></div></main>`;

// A part of the address as text; one that is no UTF-8 stays as it is.
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

let refusal = ""; // why a panel's link doesn't open
let spent = ""; // the key of a link that let nobody in
const entered = signal(false); // whether this page was opened by a link

// A panel's link: /panel/KEY with what the panel calls its member (Prolific's names, or plain ones).
async function join(key) {
  const given = new URLSearchParams(location.search);
  const named = (...names) => names.map((name) => given.get(name)).find(Boolean) || "";
  const who = {
    participant: named("PROLIFIC_PID", "participant"),
    study: named("STUDY_ID", "study"),
    session: named("SESSION_ID", "session"),
  };
  await post("/api/panel", { key, ...who }).catch((problem) => (refusal = problem.message));
}

function SignIn() {
  const [problem, setProblem] = useState(sessionStorage.getItem("problem") || "");
  const [wanted, setWanted] = useState("");
  const ask = async () => {
    await post("/api/enter/again", { token: spent }).then(
      () => setWanted("An admin sees now that you ask, and sends you a new link."),
      (error) => setWanted(error.message),
    );
  };
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    try {
      await post("/api/login", { name: form.get("name"), password: form.get("password") });
      sessionStorage.removeItem("problem");
      await know();
    } catch (error) {
      setProblem(error.message);
    }
  };
  return html`<main tabindex="-1"><div class="card" style=${{ maxWidth: "400px", margin: "8vh auto" }}>
    <h1>Sign in</h1>
    ${problem && html`<div class="note bad" role="alert"><p>${capital(problem)}.</p>
      ${spent && !wanted && html`<p>If you have a password, sign in with your name. If not:</p><button type="button" onClick=${ask}>Ask for a new link</button>`}
      ${wanted && html`<p data-test="wanted">${wanted}</p>`}</div>`}
    <form onSubmit=${submit}>
      <label>Name<input name="name" autocomplete="username" required /></label>
      <label>Password<input name="password" type="password" autocomplete="current-password" required /></label>
      <button class="main">Sign in</button>
    </form>
    <p class="small soft gap">No password? Open the link that you were sent, or the address that <code>trueward studio</code> printed. It works once. On the studio’s own machine <code>trueward studio account NAME</code> prints a new one.</p>
  </div></main>`;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

let known = early; // used once: later it would be about somebody else

async function know() {
  const session = (await known) ?? (await get("/api/me"));
  known = null;
  lab.value = session.lab;
  me.value = session.account;
}

async function start() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (key) {
    history.replaceState(null, "", location.pathname + location.search); // it never stays in the address bar
    await post("/api/enter", { token: key }).then(
      () => {
        sessionStorage.removeItem("problem");
        entered.value = true;
      },
      (problem) => {
        spent = problem.status === 401 ? key : "";
        sessionStorage.setItem("problem", problem.message);
      },
    );
  }
  const panel = location.pathname.match(/^\/panel\/([^/]+)$/);
  if (panel) await join(panel[1]);
  await know().catch(() => (me.value = null));
  if (me.value && spent) {
    say(`${capital(sessionStorage.getItem("problem"))}; you are still signed in here.`);
    sessionStorage.removeItem("problem");
  }
  render(html`<${Shell} />`, document.getElementById("app"));
}

start();
