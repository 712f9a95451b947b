// Clicks on their way. Each is kept on this machine until the studio has it, so that a lost connection or a reload
// loses none; it is sent in order, and again under the same key, which the studio stores once.
import { me, offline, post, Problem, say } from "./api.js";
import { signal } from "./vendor.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 8000;
const TRIES = 4; // of a click at which the studio itself fails; then the next one has its turn

const place = () => `outbox:${me.value.name}`;
export const waiting = signal(0);
let sending = false;
let wait = FIRST_WAIT;
let timer = 0;
let failed = { key: "", times: 0 };
let listeners = [];

export function read() {
  try {
    const list = JSON.parse(localStorage.getItem(place()));
    return Array.isArray(list) ? list.filter((each) => typeof each?.path === "string" && typeof each.body?.key === "string") : [];
  } catch {
    return [];
  }
}

function write(list) {
  localStorage.setItem(place(), JSON.stringify(list));
  waiting.value = list.length;
}

// Call a listener for each click that has arrived or was refused.
export function listen(listener) {
  listeners.push(listener);
  return () => (listeners = listeners.filter((each) => each !== listener));
}

export function put(path, body) {
  write([...read(), { path, body }]);
  send();
}

// Whether the studio can't be asked now, whatever the click is: it waits, and the others behind it.
const later = (status) => !status || [401, 408, 429, 502, 503, 504].includes(status);

// Whether the studio has failed so often at this click that it would block all others for ever.
function givenUp(key) {
  failed = { key, times: failed.key === key ? failed.times + 1 : 1 };
  return failed.times >= TRIES;
}

export async function send() {
  if (sending || !me.value) return;
  sending = true;
  waiting.value = read().length; // those of an earlier visit too
  clearTimeout(timer);
  try {
    for (let list = read(); list.length; list = read()) {
      const [{ path, body }] = list;
      let reply = null;
      let refused = null;
      try {
        reply = await post(path, body);
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        if (later(problem.status) || (problem.status >= 500 && !givenUp(body.key))) {
          offline.value = problem.status !== 401;
          timer = setTimeout(send, wait);
          wait = Math.min(2 * wait, LONGEST_WAIT);
          return;
        }
        refused = problem;
        say(problem.message);
      }
      wait = FIRST_WAIT;
      write(read().filter((each) => each.body.key !== body.key));
      for (const listener of listeners) listener(body, reply, refused);
    }
  } finally {
    sending = false;
  }
}

addEventListener("online", send);
