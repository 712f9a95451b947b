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
      const before = state.run.value;
      state.run.value = { ...before, ...now };
      if (before.state !== now.state && now.state !== "live") get(path).then((run) => (state.run.value = run), () => {});
    });
  }

  function append(stage, rows) {
    const had = state.series.value[stage] || empty();
    if (had.bucket > 1 || had.steps.length + rows.length > 2 * POINTS) {
      // in buckets: fetched again, at most every two seconds
      if (!late[stage]) late[stage] = setTimeout(() => ((late[stage] = 0), load(stage).catch(() => {})), 2000);
      return;
    }
    const keep = had.steps.findLastIndex((step) => step < rows[0].step) + 1;
    const keys = new Set([...Object.keys(had.columns), ...rows.flatMap(Object.keys)]);
    keys.delete("step");
    const columns = {};
    for (const key of keys) {
      const before = had.columns[key]?.slice(0, keep) ?? Array(keep).fill(null);
      columns[key] = before.concat(rows.map((row) => (typeof row[key] === "number" ? row[key] : null)));
    }
    const steps = had.steps.slice(0, keep).concat(rows.map((row) => row.step));
    state.series.value = { ...state.series.value, [stage]: { ...had, steps, columns } };
  }

  start();
  return {
    ...state,
    close() {
      closed = true;
      stream?.close();
      Object.values(late).forEach(clearTimeout);
    },
  };
}

const empty = () => ({ steps: [], columns: {}, bucket: 1, rows: 0, gaps: {} });

// A resumed run writes some steps again: the new rows replace the old ones.
function merged(had, rows) {
  if (!rows.length) return had;
  return had.filter((row) => row.step < rows[0].step).concat(rows);
}
