// The files of a run: how large, how old, and the beginning of those that are text.
import { encoded, get } from "./api.js";
import { bytes, Dialog, useData, when } from "./parts.js";
import { pieces } from "./signs.js";
import { html, useState } from "./vendor.js";

export function Files({ name, stamp }) {
  const path = `/api/runs/${encoded(name)}`;
  const { data, problem } = useData(() => get(`${path}/files`), `${path}/files ${stamp}`);
  const [open, setOpen] = useState("");
  if (!data) return html`<div class="card"><p class="soft" aria-busy="true">${problem?.message || ""}</p></div>`;
  return html`<div class="card"><h2>${data.files.length + data.more} files, ${bytes(data.bytes)}</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Files"><table class="files"><thead><tr><th>file</th><th class="num">size</th><th class="num wide">last change</th></tr></thead>
      <tbody>${data.files.map((file) => html`<tr key=${file.path}><td>${file.text ? html`<button class="quiet file" onClick=${() => setOpen(file.path)}>${pieces(file.path)}</button>` : html`<code>${pieces(file.path)}</code>`}</td><td class="num">${bytes(file.bytes)}</td><td class="num wide">${when(file.at)}</td></tr>`)}</tbody></table></div>
    ${data.more > 0 && html`<p class="small soft">and ${data.more} more</p>`}
    ${data.left_out > 0 && html`<p class="small soft">${data.left_out} links, pipes or devices aren’t listed.</p>`}
    ${open && html`<${Opened} key=${open} path=${path} file=${open} onClose=${() => setOpen("")} />`}</div>`;
}

function Opened({ path, file, onClose }) {
  const { data, problem } = useData(() => get(`${path}/file?path=${encodeURIComponent(file)}`), file);
  return html`<${Dialog} title=${file} onClose=${onClose} wide=${true}>
    ${problem && html`<p class="note bad">${problem.message}</p>`}
    <pre class="file-text" tabindex="0"><code>${data ? pieces(data.text) : ""}</code></pre>
    ${data?.cut && html`<p class="small soft">The first 64 kB of ${bytes(data.bytes)}.</p>`}</${Dialog}>`;
}
