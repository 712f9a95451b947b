"""The frontier: the truth and proxy that several runs of one task reached, against their distance from SFT.

Runs can be compared if they start from the same SFT policy (up to the seed) and are measured by the same first
truth; anything else is refused. Runs that differ only in their seed are one row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from trueward.evaluation.printable import printable
from trueward.evaluation.statistics import NINETY_FIVE, student_quantile

Row = dict[str, Any]
START = ("model", "data", "sft", "sampler")  # the sections that the SFT policy and its scale are made from
JUDGE = ("comparisons", "reward")  # the sections that the proxy is made from
ASIDE = ("seed", "name", "description", "runtime")
UNANCHORED = ("best_of_n", "sft_on_best")  # kinds that have an n in place of a β


@dataclass(frozen=True)
class FrontierRun:
    """A finished run: its name, report.json, and the digest of each stage."""

    name: str
    report: Mapping[str, Any]
    digests: Mapping[str, str]

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The resolved recipe."""
        recipe: Mapping[str, Any] = self.report["recipe"]
        return recipe

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.report["seed"])

    @property
    def kind(self) -> str:
        """The optimiser, `policy.kind`."""
        return str(self.recipe["policy"]["kind"])

    @property
    def truth(self) -> str:
        """The name of the first truth; empty if there is none."""
        return str((self.recipe["evaluation"].get("truths") or [""])[0])


def frontier(runs: Sequence[FrontierRun]) -> dict[str, Any]:
    """Rows and notes of the runs, the highest truth first: what `page`, `table` and `--json` show.

    `ValueError` in one line for a report that can't be read, and for runs that don't share an axis.
    """
    for run in runs:
        _check(run)
    for one, other in combinations(runs, 2):
        _refuse_another_task(one, other)
    groups = _grouped(runs)
    rows = [_row(name, group) for name, group in zip(names(groups), groups, strict=True)]
    rows.sort(key=lambda row: -math.inf if row["final"]["truth"] is None else row["final"]["truth"], reverse=True)
    by_seed = {run.seed: run for run in runs}
    result = {
        "format": 2,
        "truth": runs[0].truth or None,
        "notes": _notes(runs, rows),
        "sft": _point([run.report["policies"].get("sft") or {} for run in by_seed.values()]),
        "runs": rows,
    }
    cleaned: dict[str, Any] = printable(result)
    return cleaned


def names(groups: Sequence[Sequence[FrontierRun]]) -> list[str]:
    """A name for each group: kind and β (or n), then up to two more settings that differ, else the run's name."""
    recipes = [_flat({k: v for k, v in group[0].recipe.items() if k not in ASIDE}) for group in groups]
    short = [_short(group[0]) for group in groups]
    labels = []
    for i, group in enumerate(groups):
        alike = [j for j in range(len(groups)) if short[j] == short[i]]
        keys = {
            key for j in alike for key in {**recipes[i], **recipes[j]} if recipes[i].get(key) != recipes[j].get(key)
        }
        differing = [f"{key.rpartition('.')[2]}={_value(recipes[i].get(key))}" for key in sorted(keys)]
        name = " ".join([short[i], *differing])
        labels.append(name if len(differing) <= 2 and len(name) <= 40 else group[0].name)
    return [group[0].name if labels.count(name) > 1 else name for name, group in zip(labels, groups, strict=True)]


def _check(run: FrontierRun) -> None:
    """`ValueError` if something is missing that a report always has."""
    report = run.report
    if not isinstance(report, Mapping) or report.get("format") != 2:
        raise ValueError(f"{run.name}: report.json: expected a report of format 2")
    for key, kind in (("recipe", Mapping), ("seed", int), ("policies", Mapping)):
        if not isinstance(report.get(key), kind):
            raise ValueError(f"{run.name}: report.json: {key} is missing or damaged")
    for section in (*START, *JUDGE, "policy", "evaluation"):
        if not isinstance(report["recipe"].get(section), Mapping):
            raise ValueError(f"{run.name}: report.json: recipe.{section} is missing or damaged")
    if not report["policies"].get("policy"):
        raise ValueError(f"{run.name}: report.json: policies.policy is missing: no tuned policy was measured")


def starts_apart(one: FrontierRun, other: FrontierRun) -> str:
    """Why a distance from SFT, and an SD of its scores, is not the same in two runs; empty if it is."""
    reason = _difference(one, other, START, "sft", "prepare")
    return f"their SFT policies differ ({reason})" if reason else ""


def truths_apart(one: FrontierRun, other: FrontierRun) -> str:
    """Why the truth of two runs is not the same measure; empty if it is."""
    return (
        f"their truths differ ({one.truth or 'none'} and {other.truth or 'none'})" if one.truth != other.truth else ""
    )


def proxies_apart(one: FrontierRun, other: FrontierRun) -> str:
    """Why the proxy of two runs is not the same measure; empty if it is. Seeds are left aside."""
    reason = _difference(one, other, JUDGE, "reward_model")
    return f"their reward models differ ({reason})" if reason else ""


def _refuse_another_task(one: FrontierRun, other: FrontierRun) -> None:
    if reasons := [reason for apart in (starts_apart, truths_apart) if (reason := apart(one, other))]:
        raise ValueError(f"{one.name} and {other.name} can't stand on one axis: {'; '.join(reasons)}")


def _difference(one: FrontierRun, other: FrontierRun, sections: Sequence[str], stage: str, seedless: str = "") -> str:
    """The first difference between the inputs of a stage in two runs, apart from their seeds; empty if there is none."""
    ours, theirs = (_flat({s: run.recipe[s] for s in sections}) for run in (one, other))
    for key in {**ours, **theirs}:
        if ours.get(key) != theirs.get(key):
            return f"{key} is {_value(ours.get(key))} and {_value(theirs.get(key))}"
    compared = stage if one.seed == other.seed else seedless  # digests that depend on the seed differ between seeds
    if compared and one.digests.get(compared) != other.digests.get(compared):
        return f"the same settings, but other files went into the stage {compared}"
    return ""


def _notes(runs: Sequence[FrontierRun], rows: Sequence[Row]) -> list[str]:
    sentences = []
    other = next((f"{a.name} and {b.name}: {reason}" for a, b in combinations(runs, 2)
                  if (reason := _difference(a, b, JUDGE, "reward_model"))), "")  # fmt: skip
    if other:
        sentences.append(
            f"Not all runs have the same reward model ({other}), so one run’s proxy is another measure than the "
            "next one’s: compare the truths."
        )
    if not runs[0].truth:
        sentences.append("Nothing measured the truth in these runs: the proxy alone says little.")
    if len({tuple(row["seeds"]) for row in rows}) > 1:
        sentences.append("Not all rows have the same seeds, and each seed has its own SFT policy.")
    if any(len(row["seeds"]) > 1 for row in rows):
        sentences.append(
            "Where a row has several seeds, its numbers are means over them, and its intervals are Student’s over "
            "seeds: with two or three they are wide."
        )
    return sentences


def _grouped(runs: Sequence[FrontierRun]) -> list[list[FrontierRun]]:
    """Runs of one recipe that differ in the seed; a second run of the same recipe and seed is left out."""
    groups: list[list[FrontierRun]] = []
    for run in runs:
        for group in groups:
            if all(_same(run, group[0], ASIDE)):
                if run.seed not in [other.seed for other in group]:
                    group.append(run)
                break
        else:
            groups.append([run])
    return [sorted(group, key=lambda run: run.seed) for group in groups]


def _same(one: FrontierRun, other: FrontierRun, aside: Sequence[str]) -> list[bool]:
    return [one.recipe.get(k) == other.recipe.get(k) for k in {**one.recipe, **other.recipe} if k not in aside]


def _row(name: str, group: Sequence[FrontierRun]) -> Row:
    policy = group[0].recipe["policy"]
    kind = group[0].kind
    bests = [run.report["policies"].get("best") or {} for run in group]
    steps = [run.report.get("best_step") for run in group]
    # A best checkpoint that is the last step in every seed is the final policy again.
    ends = [(run.report.get("optimiser") or {}).get("steps", policy.get("steps")) for run in group]
    apart = all(bests) and any(step != end for step, end in zip(steps, ends, strict=True))
    return {
        "run": name,
        "runs": [run.name for run in group],
        "kind": kind,
        "kl_coef": None if kind in UNANCHORED else policy.get("kl_coef"),
        "n": (policy.get("best_of_n") or {}).get("n") if kind in UNANCHORED else None,
        "seeds": [run.seed for run in group],
        "final": _point([run.report["policies"]["policy"] for run in group]),
        "best": _point(bests) if apart else None,
        "best_steps": steps if apart else [],
        "path": _path(group),
    }


def _point(rows: Sequence[Mapping[str, Any]]) -> Row:
    """One policy's figures, each with half of its 95 % interval: over prompts for one seed, over seeds for several."""
    point: Row = {}
    for key in ("proxy", "truth", "kl"):
        point[key], point[f"{key}_half"] = _mean([_number(r.get(key)) for r in rows], _number(rows[0].get(f"{key}_se")))
    wins, half = _mean([_number(r.get("win_rate")) for r in rows], None)
    ends = [_number(rows[0].get(f"win_rate_{end}")) for end in ("low", "high")]
    if wins is not None and half is not None:
        ends = [max(0.0, wins - half), min(1.0, wins + half)]
    point |= {"win_rate": wins, "win_rate_low": ends[0], "win_rate_high": ends[1]}
    roots = [None if (kl := _number(r.get("kl"))) is None else math.sqrt(max(kl, 0.0)) for r in rows]
    return point | {"root_kl": _mean(roots, None)[0]}


def _mean(values: Sequence[float | None], error: float | None) -> tuple[float | None, float | None]:
    """Mean and half of its 95 % interval: by the standard error for one value, by Student's t for several."""
    known = [v for v in values if v is not None]
    if not known or len(known) < len(values):
        return None, None
    count, mean = len(known), math.fsum(known) / len(known)
    if count == 1:
        return mean, None if error is None else NINETY_FIVE * error
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in known) / (count - 1) / count)
    return mean, student_quantile(0.975, count - 1) * spread


def _path(group: Sequence[FrontierRun]) -> list[Row]:
    """The evaluations in training, or the best of 1, 2, 4, …: means over the seeds, where all of them have a row."""
    key = "n" if group[0].kind == "best_of_n" else "step"
    logs = [run.report.get("best_of_n" if key == "n" else "history") or [] for run in group]
    by = [{row[key]: row for row in log if row.get(key) is not None} for log in logs]
    path = []
    for at in by[0]:
        if all(at in rows for rows in by):
            point = _point([rows[at] for rows in by])
            path.append({key: at, **{k: point[k] for k in ("proxy", "truth", "kl", "root_kl")}})
    return path


def _short(run: FrontierRun) -> str:
    policy = run.recipe["policy"]
    if run.kind in UNANCHORED:
        return f"{run.kind} n={_value((policy.get('best_of_n') or {}).get('n'))}"
    return f"{run.kind} β={_value(policy.get('kl_coef'))}"


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "not set" if value is None else str(value)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in table.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return out
