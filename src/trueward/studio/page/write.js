// Write: an answer to each prompt, as an example to follow.
import { Elsewhere } from "./around.js";
import { attempt, get } from "./api.js";
import { waiting } from "./outbox.js";
import { Dialog, Meter, plain, useData } from "./parts.js";
import { sitting } from "./sitting.js";
import { PromptText } from "./talk.js";
import { raw, turnRaw, Words } from "./words.js";
import { html, useEffect, useMemo, useRef, useState } from "./vendor.js";

export function Write({ name }) {
  const work = useMemo(() => sitting(name), [name]);
  const [text, setText] = useState("");
  const [editing, setEditing] = useState(null); // one's own older answer
  const [skipping, setSkipping] = useState(false);
  const box = useRef();
  const item = editing || work.items.value?.[0];
  const draft = item && `draft:${item.assignment}`;
  const past = useData(() => get(`/api/projects/${encodeURIComponent(name)}/mine`), name);

  useEffect(() => work.close, [work]);
  useEffect(() => {
    if (!item) return;
    setText(localStorage.getItem(draft) ?? editing?.text ?? "");
    box.current?.focus();
  }, [item?.assignment]);
  useEffect(() => {
    if (!waiting.value) past.again();
  }, [waiting.value]);

  const type = (value) => {
    setText(value);
    localStorage.setItem(draft, value);
  };
  const finish = (what) => {
    localStorage.removeItem(draft);
    if (editing) {
      // a second answer to the same prompt supersedes the first
      work.items.value = [editing, ...work.items.value];
      setEditing(null);
    }
    setText("");
    work.answer(what);
  };
  const skip = (reason) => {
    setSkipping(false);
    finish({ kind: "skip", reason });
  };
  const save = () => text.trim() && finish({ kind: "write", text });
  const { done, left } = work.progress.value;
  const kind = work.about.value?.kind ?? "write";
  if (kind !== "write") return html`<${Elsewhere} kind=${kind} name=${name} />`;

  return html`<div>
    <div class="row apart"><h1 style=${{ fontSize: "20px", margin: 0 }}>${name}</h1>
      <div class="where" style=${{ flex: "1 1 240px", maxWidth: "440px" }}>
        <${Meter} part=${done / (done + left || 1)} label="your part of the round" /><span class="num">${done} done · ${left} left</span>
        ${waiting.value > 0 && html`<span class="chip warn">${waiting.value} to send</span>`}</div></div>
    ${work.about.value?.instructions && html`<div class="soft gap"><${Words} text=${work.about.value.instructions} /></div>`}
    <div class="desk gap">
      <div class="card">
        ${item
          ? html`<h2>${editing ? "Write it again" : "Prompt"}</h2>
              <${PromptText} prompt=${item.prompt} />
              <label class="gap">Your answer
                <textarea ref=${box} value=${text} maxlength="100000" onInput=${(e) => type(e.target.value)}
                  onKeyDown=${(e) => e.key === "Enter" && (e.ctrlKey || e.metaKey) && (e.preventDefault(), save())}></textarea></label>
              <div class="tools dock">
                <button class="main" disabled=${!text.trim()} onClick=${save}>Keep and go on <kbd>Ctrl ↵</kbd></button>
                ${editing
                  ? html`<button onClick=${() => setEditing(null)}>Leave it as it was</button>`
                  : html`<button onClick=${() => setSkipping(true)}>Skip</button>`}
                <button aria-pressed=${raw.value} onClick=${turnRaw}>Raw</button>
                <span class="end small soft num">${text.trim() ? text.trim().split(/\s+/).length : 0} words</span>
              </div>`
          : html`<div class="empty" data-test="finished"><h2>${work.items.value ? "All prompts have an answer" : "Fetching prompts …"}</h2>
              ${work.problem.value && html`<p class="note bad">${work.problem.value}</p>`}
              ${work.items.value && html`<button onClick=${() => attempt(work.refill)}>Look again</button>`}</div>`}
      </div>
      <div class="card"><h2>What you wrote</h2>
        <ol class="past">${(past.data || [])
          .filter((row) => row.kind === "write")
          .map((row) => html`<li><button onClick=${() => setEditing(row)}>
            <span class="small soft">${plain(row.prompt)}</span><span>${row.text}</span></button></li>`)}</ol>
        ${past.data && !past.data.length && html`<p class="soft">Nothing yet. What you keep appears here and can be written again.</p>`}
      </div>
    </div>
    ${skipping && html`<${Dialog} title="Why skip it?" onClose=${() => setSkipping(false)}>
      <div class="reasons">${(work.about.value?.skip_reasons ?? []).map((reason) => html`<button onClick=${() => skip(reason)}>${reason}</button>`)}</div></${Dialog}>`}
  </div>`;
}
