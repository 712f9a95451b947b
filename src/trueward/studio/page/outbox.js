// Clicks on their way. Each is kept on this machine until the studio has it, so that a lost connection or a reload
// loses none; it is sent in order, and again under the same key, which the studio stores once.
import { me, offline, post, Problem, say } from "./api.js";
import { signal } from "./vendor.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 8000;

const place = () => `outbox:${me.value.name}`;
export const waiting = signal(0);
let sending = false;
let wait = FIRST_WAIT;
let timer = 0;
let listeners = [];

export function read() {
  try {
    return JSON.parse(localStorage.getItem(place())) || [];
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
        if (!problem.status || problem.status === 401 || problem.status === 429 || problem.status >= 500) {
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
