// A run as it goes on: what was there, and then what comes, over one event stream that resumes where it broke off.
import { encoded, get } from "./api.js";
import { signal } from "./vendor.js";

const POINTS = 1500;

export function follow(name) {
  const path = `/api/runs/${encoded(name)}`;
  const state = { run: signal(null), evaluations: signal([]), series: signal({}), problem: signal(""), connected: signal(true) };
  let stream;
  let closed = false;
  let late = {};
  let timer;

  const again = () => get(path).then((run) => closed || (state.run.value = run), () => {});

  const load = async (stage) => {
    const series = await get(`${path}/series/${stage}?most=${POINTS}`);
    state.series.value = { ...state.series.value, [stage]: series };
    return series;
  };

  async function start() {
    try {
      const run = await get(path);
      const cursor = {};
      for (const stage of run.logs) cursor[`${stage}/metrics`] = (await load(stage)).offset;
      state.evaluations.value = run.evaluations;
      state.run.value = run;
      if (closed) return;
      stream = new EventSource(`${path}/events?start=${encodeURIComponent(JSON.stringify(cursor))}`);
    } catch (problem) {
      state.problem.value = problem.message;
      return;
    }
    stream.onopen = () => (state.connected.value = true);
    stream.onerror = () => {
      state.connected.value = false;
      if (stream.readyState === EventSource.CLOSED) get(path).catch((problem) => (state.problem.value = problem.message)); // 401: signed out
    };
    stream.addEventListener("rows", (event) => {
      const { log, rows } = JSON.parse(event.data);
      if (log === "policy/evaluations") state.evaluations.value = merged(state.evaluations.value, rows);
      else append(log.split("/")[0], rows);
    });
    stream.addEventListener("again", (event) => {
      const { log } = JSON.parse(event.data);
      if (log === "policy/evaluations") state.evaluations.value = [];
      else state.series.value = { ...state.series.value, [log.split("/")[0]]: empty() };
    });
    stream.addEventListener("state", (event) => {
      const now = JSON.parse(event.data);
      state.run.value = { ...state.run.value, ...now };
      again(); // its report, and the stages that are still to come
    });
    timer = setInterval(() => document.hidden || state.run.value.state !== "live" || again(), 5000); // the time that is left
  }

  function append(stage, rows) {
    const had = state.series.value[stage] || empty();
    const fresh = rows.filter((row) => typeof row.step === "number");
    if (!fresh.length) return;
    if (had.bucket > 1 || had.steps.length + fresh.length > 2 * POINTS) {
      // in buckets: fetched again, at most every two seconds
      if (!late[stage]) late[stage] = setTimeout(() => ((late[stage] = 0), load(stage).catch(() => {})), 2000);
      return;
    }
    state.series.value = { ...state.series.value, [stage]: longer(had, fresh) };
  }

  start();
  return {
    ...state,
    close() {
      closed = true;
      stream?.close();
      clearInterval(timer);
      Object.values(late).forEach(clearTimeout);
    },
  };
}

const empty = () => ({ steps: [], columns: {}, bucket: 1, rows: 0, gaps: {} });

// The columns with more rows. A resumed run writes some steps again: the new rows replace the old ones, and are counted once.
function longer(had, rows) {
  const steps = [...had.steps];
  const kept = steps.map((_, i) => i); // places in the old columns; new rows follow as tables
  for (const row of rows) {
    while (steps.length && steps.at(-1) >= row.step) {
      steps.pop();
      kept.pop();
    }
    steps.push(row.step);
    kept.push(row);
  }
  const keys = new Set([...Object.keys(had.columns), ...rows.flatMap(Object.keys)]);
  keys.delete("step");
  const [columns, gaps] = [{}, {}];
  for (const key of keys) {
    const old = had.columns[key];
    columns[key] = kept.map((at) => (typeof at === "number" ? (old?.[at] ?? null) : typeof at[key] === "number" ? at[key] : null));
    const missing = columns[key].filter((value) => value === null).length;
    if (missing) gaps[key] = missing;
  }
  return { ...had, steps, columns, gaps, rows: steps.length };
}

function merged(had, rows) {
  let all = had;
  for (const row of rows.filter((each) => typeof each.step === "number")) all = [...all.filter((each) => each.step < row.step), row];
  return all;
}
