// A run's whole pipeline: what is done, what goes on, what is still to come, and the time that is left.
import { duration } from "./parts.js";
import { html } from "./vendor.js";

const SIGNS = { done: "✓", running: "…", waiting: "○", stopped: "✕" };
const SAID = { done: "done", running: "going on", waiting: "still to come", stopped: "stopped" };

export function Stages({ run }) {
  const rows = run.pipeline?.length ? run.pipeline : run.stages;
  const goes = ["live", "stale"].includes(run.state);
  const time = (row) => {
    if (row.state === "running" && row.name === "policy" && run.step && run.recipe?.policy?.steps) return `step ${run.step} of ${run.recipe.policy.steps}${goes && row.left != null ? `, ${duration(row.left)} left` : ""}`;
    if (row.state === "running") return goes && row.left != null ? `${duration(row.left)} left` : "";
    if (row.state === "waiting") return goes && row.left != null ? `about ${duration(row.left)}` : "";
    return row.seconds ? duration(row.seconds) : "";
  };
  return html`<ol class="pipeline" aria-label="Stages">${rows.map((row) => html`<li class=${row.state} key=${row.name}><span aria-hidden="true">${SIGNS[row.state] ?? "✕"}</span><span class="unseen">${SAID[row.state] ?? row.state}: </span>${row.name.replaceAll("_", " ")}${time(row) ? html` <span class="soft num">${time(row)}</span>` : ""}</li>`)}
    ${goes && run.left && html`<li class="total" data-test="left">${left(run.left)}</li>`}</ol>`;
}

function left({ seconds, unknown }) {
  if (!unknown.length) return `about ${duration(seconds)} left in all`;
  const names = unknown.map((name) => name.replaceAll("_", " ")).join(", ");
  return `${seconds ? `${duration(seconds)} and more left` : "time left not known yet"} (${names}: no finished run of this recipe to go by)`;
}
