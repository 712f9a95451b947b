// Words on runs, to find them by.
import { attempt, encoded, me, post } from "./api.js";
import { html, useState } from "./vendor.js";

export function Tags({ name, tags, onChange }) {
  const [open, setOpen] = useState(false);
  const rules = me.value.role === "admin";
  const change = async (body) => {
    const changed = await attempt(() => post(`/api/runs/${encoded(name)}/tags`, body));
    if (changed) onChange(changed.tags);
    return changed;
  };
  const add = async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    const word = new FormData(form).get("tag").trim();
    if (word && (await change({ add: [word] }))) form.reset();
  };
  if (!rules && !tags.length) return null;
  return html`<div class="tags" role="group" aria-label="Tags">${tags.map((tag) => html`<span class="chip" key=${tag}>${tag}${rules && html`<button class="quiet" aria-label=${`take the tag ${tag} off`} onClick=${() => change({ remove: [tag] })}>×</button>`}</span>`)}
    ${rules && (open
      ? html`<form onSubmit=${add}><label class="unseen" for="new-tag">A tag</label><input id="new-tag" name="tag" maxlength="39" placeholder="a tag" required autofocus onKeyDown=${(e) => e.key === "Escape" && setOpen(false)} /><button>Add</button></form>`
      : html`<button class="quiet" onClick=${() => setOpen(true)}>+ tag</button>`)}</div>`;
}

// All tags, each a switch: the table lists the runs that have every pressed one.
export function TagFilter({ runs, picked, onPick }) {
  const counted = new Map();
  for (const run of runs) for (const tag of run.tags) counted.set(tag, (counted.get(tag) || 0) + 1);
  for (const tag of picked) if (!counted.has(tag)) counted.set(tag, 0);
  if (!counted.size) return null;
  return html`<div class="tags" role="group" aria-label="Show runs with">${[...counted].sort(([a], [b]) => a.localeCompare(b)).map(([tag, n]) => html`<button key=${tag} aria-pressed=${picked.includes(tag)}
    onClick=${() => onPick(picked.includes(tag) ? picked.filter((each) => each !== tag) : [...picked, tag])}>${tag} <span class="soft num">${n}</span></button>`)}</div>`;
}
