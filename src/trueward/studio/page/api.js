// Requests to the studio, and what the whole page shares: who is here, and a word at the bottom now and then.
import { signal } from "./vendor.js";

export const me = signal(undefined); // undefined: not known yet; null: a stranger
export const lab = signal(false); // whether this studio has one
export const toast = signal("");
export const offline = signal(false);

export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(path, options) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    offline.value = true;
    throw new Problem(0, "the studio can't be reached");
  }
  offline.value = false;
  if (reply.status === 401 && path !== "/api/enter" && path !== "/api/login") me.value = null;
  const body = await reply.json().catch(() => undefined);
  if (!reply.ok) throw new Problem(reply.status, detail(body) || `error ${reply.status}`);
  if (body === undefined) throw new Problem(0, "the studio’s answer broke off"); // the page is being left, or the line was lost
  return body;
}

function detail(body) {
  const problem = body && body.detail;
  if (typeof problem === "string") return problem;
  return Array.isArray(problem) && problem.length ? `${problem[0].loc.slice(1).join(".")}: ${problem[0].msg}` : "";
}

export const get = (path) => request(path, {});
export const post = (path, body) =>
  request(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

export const encoded = (name) => name.split("/").map(encodeURIComponent).join("/");
export const newKey = () => crypto.randomUUID().replaceAll("-", "");

let silence;
export function say(text) {
  toast.value = text;
  clearTimeout(silence);
  silence = setTimeout(() => (toast.value = ""), 4200);
}

export async function attempt(work) {
  try {
    return await work();
  } catch (problem) {
    say(problem.message);
    return undefined;
  }
}
