// The policy's answers by step, beside the SFT policy's; a pair can be sent to people.
import { attempt, encoded, get, me, post, say } from "./api.js";
import { different, Marked } from "./difference.js";
import { number, PlainText, signed, useData } from "./parts.js";
import { Tokens } from "./tokens.js";
import { html, useEffect, useMemo, useState } from "./vendor.js";

export function Samples({ name, evaluations }) {
  const [step, setStep] = useState(null); // null: the last one
  const [index, setIndex] = useState(0);
  const [view, setView] = useState(""); // "", "marks" or "tokens"
  const marks = view === "marks";
  const path = `/api/runs/${encoded(name)}`;
  const [data, setData] = useState(null);
  useEffect(() => {
    let on = true;
    get(`${path}/samples${step === null ? "" : `?step=${step}`}`).then((samples) => on && setData(samples), () => {});
    return () => (on = false);
  }, [name, step, evaluations]);
  if (!data?.samples.length) return null;
  const at = Math.min(index, data.samples.length - 1);
  const row = data.samples[at];
  const place = data.steps.indexOf(data.step);
  const go = (by) => setIndex((at + by + data.samples.length) % data.samples.length);
  return html`<div class="card"><div class="row apart"><h2>What it says</h2>
      <div class="row"><button onClick=${() => go(-1)} aria-label="previous prompt">←</button><span class="num small soft">prompt ${at + 1} of ${data.samples.length}</span><button onClick=${() => go(1)} aria-label="next prompt">→</button>
        <button aria-pressed=${marks} onClick=${() => setView(marks ? "" : "marks")}>Differences</button>
        ${row.tokens && html`<button aria-pressed=${view === "tokens"} onClick=${() => setView(view === "tokens" ? "" : "tokens")}>Tokens</button>`}</div></div>
    <label class="row">step <input type="range" min="0" max=${data.steps.length - 1} step="1" value=${place} aria-label="step" aria-valuetext=${`step ${data.step}`}
      onInput=${(e) => setStep(data.steps[Number(e.target.value)])} style=${{ flex: 1, display: "inline-block" }} /><b class="num" data-test="step">${data.step}</b></label>
    <${Sides} row=${row} marks=${marks} tokens=${view === "tokens"} />
    <${Histogram} samples=${data.samples} step=${data.step} />
    ${me.value.role === "admin" && html`<${Send} path=${path} step=${data.step} index=${at} />`}</div>`;
}

function Sides({ row, marks, tokens }) {
  const parts = useMemo(() => (marks && row.reference !== undefined ? different(row.reference, row.response) : null), [row, marks]);
  const figures = (proxy, truth, more = "") => html`<span class="small num soft"><span style=${{ color: "var(--proxy)" }}>proxy ${signed(proxy)}</span> · <span style=${{ color: "var(--truth)" }}>truth ${signed(truth)}</span>${more}</span>`;
  return html`<p class="small soft" style=${{ margin: "6px 0 2px" }}>Prompt</p><${PlainText} text=${row.prompt} />
    <div class="pairing">
      ${row.reference !== undefined && html`<div class="side"><h3>SFT</h3>${parts ? html`<${Marked} parts=${parts[0]} />` : html`<${PlainText} text=${row.reference} cut=${row.reference_finished === false} />`}${figures(row.reference_proxy, row.reference_truth)}</div>`}
      <div class="side"><h3>Policy</h3>${tokens && row.tokens ? html`<${Tokens} key=${`${row.step} ${row.prompt}`} row=${row} />` : parts ? html`<${Marked} parts=${parts[1]} />` : html`<${PlainText} text=${row.response} cut=${row.finished === false} />`}${figures(row.proxy, row.truth, ` · KL ${number(row.kl, 1)} · ${row.length} tokens`)}</div></div>`;
}

function Send({ path, step, index }) {
  const { data } = useData(() => get("/api/projects"), "projects");
  const open = (data || []).filter((project) => project.kind === "compare");
  const [project, setProject] = useState("");
  if (!open.length) return html`<p class="small soft">Make a project to compare in, and this pair can be sent there.</p>`;
  const send = async () => {
    const to = project || open[0].name;
    const made = await attempt(() => post(`${path}/pairs`, { project: to, step, index }));
    if (made) say(made.added ? `The pair is in ${to} now, blind.` : `${to} has this pair already.`);
  };
  return html`<div class="row gap"><button onClick=${send}>Send this pair to Compare</button>
    <label style=${{ margin: 0 }}><span class="unseen">project</span><select value=${project || open[0].name} onChange=${(e) => setProject(e.target.value)}>${open.map((p) => html`<option value=${p.name}>${p.name}</option>`)}</select></label></div>`;
}

const BINS = 24;

// How the proxy is spread over the prompts of this step: SFT's answers and the policy's.
function Histogram({ samples, step }) {
  const series = [
    ["SFT", "soft", samples.map((row) => row.reference_proxy)],
    ["policy", "proxy", samples.map((row) => row.proxy)],
  ].map(([name, tone, values]) => [name, tone, values.filter((value) => Number.isFinite(value))]);
  const all = series.flatMap(([, , values]) => values);
  if (all.length < 4) return null;
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const width = (high - low || 1) / BINS;
  const counted = series.map(([name, tone, values]) => {
    const bins = Array(BINS).fill(0);
    for (const value of values) bins[Math.min(BINS - 1, Math.floor((value - low) / width))]++;
    return [name, tone, bins, values];
  });
  const top = Math.max(...counted.flatMap(([, , bins]) => bins));
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
  const means = counted.map(([name, , , values]) => `${name}: mean ${number(mean(values))}`).join(", ");
  return html`<figure class="chart gap"><figcaption><h3>The proxy over the prompts of step ${step}</h3>${counted.map(
      ([name, tone, , values]) => html`<span class="key"><i style=${{ "--c": `var(--${tone})` }}></i>${name} mean ${number(mean(values))}</span>`)}</figcaption>
    <svg viewBox="0 0 720 110" width="100%" role="img" aria-label=${`Histogram of the proxy, from ${number(low)} to ${number(high)}. ${means}`} style=${{ display: "block", maxWidth: "900px" }}>
      ${counted.map(([, tone, bins], i) => bins.map((n, bin) => html`<rect x=${30 * bin + 3 + 12 * i} y=${90 - (86 * n) / top} width="12" height=${(86 * n) / top} fill=${`var(--${tone})`} />`))}
      <line x1="0" x2="720" y1="90" y2="90" stroke="var(--edge)" />
      <text x="2" y="106" font-size="13" fill="var(--soft)">${number(low, 1)}</text><text x="718" y="106" font-size="13" text-anchor="end" fill="var(--soft)">${number(high, 1)}</text></svg></figure>`;
}
