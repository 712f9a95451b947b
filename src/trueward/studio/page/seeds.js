// Runs that differ in their seed alone, as one: the mean of each figure with Student's 95 % interval over the seeds.
const FIGURES = ["proxy", "truth", "kl", "win_rate", "length", "entropy", "eos_rate", "distinct_1", "best_truth", "accuracy"];
const STUDENT = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11, 2.101, 2.093, 2.086];

const quantile = (freedom) => STUDENT[freedom - 1] ?? 1.96 + 2.372 / freedom + 2.82 / freedom ** 2;

export function mean(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (!known.length || known.length < values.length) return [null, null];
  const middle = known.reduce((sum, value) => sum + value, 0) / known.length;
  if (known.length === 1) return [middle, null];
  const spread = known.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (known.length - 1);
  return [middle, quantile(known.length - 1) * Math.sqrt(spread / known.length)];
}

export function grouped(runs) {
  const [groups, first] = [new Map(), new Map()];
  const place = (run) => `${run.group} ${run.seed}`;
  for (const run of runs.toSorted((one, other) => other.final - one.final)) { // a finished run counts before one that goes on
    if (run.group && !first.has(place(run))) first.set(place(run), run);
  }
  for (const run of runs) {
    const key = first.get(place(run)) === run ? run.group : run.name; // a damaged run, and a seed's second run, stand by themselves
    groups.set(key, [...(groups.get(key) || []), run]);
  }
  return [...groups.values()].map((members) => (members.length === 1 ? { ...members[0], members } : joined(members)));
}

function joined(runs) {
  const members = runs.toSorted((one, other) => (one.seed ?? 0) - (other.seed ?? 0));
  const [figures, halves] = [{}, {}];
  for (const key of FIGURES) [figures[key], halves[key]] = mean(members.map((run) => run[key]));
  const { seed, ...differs } = members[0].differs;
  const same = (key) => (members.every((run) => run[key] === members[0][key]) ? members[0][key] : null);
  const words = [...new Set(members.map((run) => run.verdict))];
  return {
    ...members[0], ...figures, halves, differs, members, seed: null, damage: "", note: null, tags: [],
    words: words.length > 1 ? words.map((word) => `${members.filter((run) => run.verdict === word).length} ${word ?? "without"}`).join(", ") : "",
    name: label(members[0]), state: same("state") ?? "several", verdict: words.length === 1 ? words[0] : null,
    rule: "", step: same("step"), final: members.every((run) => run.final), evaluated: same("evaluated"),
    touched: Math.max(...members.map((run) => run.touched)), seconds: mean(members.map((run) => run.seconds))[0],
  };
}

export function label(run) {
  const parts = Object.entries(run.differs).filter(([key]) => key !== "seed").slice(0, 3).map(([key, value]) => `${key === "policy.kl_coef" ? "β" : key.split(".").at(-1)}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return [run.recipe ?? "run", run.kind, ...parts].filter(Boolean).join(" ");
}
