// One person's sitting at a project: the items at hand, the clicks made, what can be taken back.
import { newKey, post, Problem } from "./api.js";
import * as outbox from "./outbox.js";
import { signal } from "./vendor.js";

const AHEAD = 6; // items that are there before they are needed

// A text that can be stored: halves of characters and NULs, which come in by pasting, are replaced.
const whole = (text) => text.replace(/[\p{Surrogate}\0]/gu, "\ufffd");

export function sitting(project) {
  const path = `/api/projects/${encodeURIComponent(project)}`;
  const state = {
    items: signal(null), // null: not fetched yet
    about: signal(null),
    progress: signal({ done: 0, left: 0 }),
    problem: signal(""),
    completed: signal(null), // of a panel's link: { items, code, redirect } once this part is done
    made: signal([]), // clicks of this sitting, the last one last: { key, item }
  };
  const answered = new Set(outbox.read().filter(({ path }) => path === "/api/answers").map(({ body }) => body.assignment));
  let fetching = false;
  let stale = false; // whether the progress on the page is only this page's own count
  let moves = 0; // clicks and undos so far: what the studio counted before the last of them is out of date
  let stopped = false;

  async function refill() {
    if (fetching || stopped) return;
    const at = state.items.value || [];
    if (at.length >= AHEAD && !stale) return;
    fetching = true;
    const before = outbox.waiting.value ? -1 : moves;
    try {
      const reply = await post(`${path}/queue`, { count: Math.min(20, AHEAD + outbox.waiting.value + 1) });
      const had = new Set((state.items.value || []).map((item) => item.assignment));
      const fresh = reply.items.filter((item) => !answered.has(item.assignment) && !had.has(item.assignment));
      state.completed.value = reply.completed || null;
      state.about.value = { kind: reply.kind, instructions: reply.instructions, skip_reasons: reply.skip_reasons, criteria: reply.criteria };
      stale = before !== moves;
      if (state.items.value === null || !stale) state.progress.value = reply.progress;
      state.items.value = [...(state.items.value || []), ...fresh];
      state.problem.value = "";
    } catch (problem) {
      if (!state.items.value?.length) state.problem.value = problem.message;
      if (!problem.status) setTimeout(refill, 1500);
    } finally {
      fetching = false;
    }
    if (stale && !outbox.waiting.value) refill();
  }

  function answer(what) {
    const [item, ...rest] = state.items.value;
    const key = newKey();
    if (what.text) what = { ...what, text: whole(what.text) };
    moves++;
    answered.add(item.assignment);
    state.made.value = [...state.made.value, { key, item, what }];
    state.items.value = rest;
    const { done, left } = state.progress.value;
    state.progress.value = { done: done + 1, left: Math.max(0, left - 1) };
    outbox.put("/api/answers", { assignment: item.assignment, key, ...what });
    refill();
  }

  async function undo() {
    const made = state.made.value;
    if (made.length) {
      const { key, item, what } = made.at(-1);
      state.made.value = made.slice(0, -1);
      outbox.put(`${path}/undo`, { key: newKey(), target: key });
      back(what.ranks ? { ...item, was: what } : item); // a ranking comes back as it was left
      return true;
    }
    if (!state.progress.value.done) throw new Problem(0, "there is nothing to take back");
    const reply = await post(`${path}/undo`, { key: newKey() });
    back(reply.item);
    return true;
  }

  function back(item) {
    moves++;
    answered.delete(item.assignment);
    state.items.value = [item, ...(state.items.value || []).filter((each) => each.assignment !== item.assignment)];
    const { done, left } = state.progress.value;
    state.progress.value = { done: Math.max(0, done - 1), left: left + 1 };
  }

  const stop = outbox.listen((body, reply, refused) => {
    if (refused && refused.status === 404) state.problem.value = refused.message;
    if (refused && body.assignment && body.kind && ![403, 404, 409].includes(refused.status)) {
      // the click as it was can't be stored: the item is still held, and comes back to be judged again
      moves++;
      stale = true;
      answered.delete(body.assignment);
      if (body.kind === "write") localStorage.setItem(`draft:${body.assignment}`, body.text);
    }
    if (!outbox.waiting.value) refill();
  });
  outbox.send();
  refill();
  return {
    ...state,
    answer,
    undo,
    refill,
    close() {
      stopped = true;
      stop();
    },
  };
}
