"""A sweep's results: proxy, truth and KL by the value that was swept, the value to take, and what fails on either side.

Rows are finished runs, one for each value and seed. All is of the last policy's answers, in SDs above the SFT policy's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueward.evaluation.statistics import standard_error, student_quantile
from trueward.evaluation.verdict import ALARMS

Row = dict[str, Any]
Array = NDArray[np.float64]
KEPT = ("proxy", "proxy_se", "truth", "truth_se", "win_rate", "kl", "length", "eos_rate", "distinct_1")
NORMAL_95, NORMAL_975 = 1.645, 1.960


def row(value: Any, seed: int, run: str, report: Row) -> Row:
    """One run's row of sweep.json, from its report."""
    policy = report["policies"]["policy"]
    best = report["policies"].get("best") or {}
    verdict = report.get("verdict") or {}
    return {
        "value": value,
        "seed": seed,
        "run": run,
        **{key: policy.get(key) for key in KEPT},
        "best_truth": best.get("truth"),
        "best_step": report.get("best_step"),
        "sft_truth": (report["policies"].get("sft") or {}).get("truth"),
        "verdict": verdict.get("word"),
        "history": [{k: row.get(k) for k in ("step", "proxy", "truth", "kl")} for row in report["history"]],
    }


@dataclass(frozen=True)
class Point:
    """One value, over its seeds: means with 95 % half-widths.

    The half-widths come from the seeds: from this value's own where there are three or more, from the SD pooled over all values
    where there are two (one difference is hardly an estimate), and from the run's held-out prompts where there is one.
    """

    value: Any
    seeds: int
    proxy: float
    proxy_half: float
    truth: float
    truth_half: float
    kl: float
    win_rate: float
    verdicts: dict[str, int]
    freedom: int  # degrees of freedom of the half-widths; 0: the normal's
    truths: tuple[float, ...]  # by seed, in the order of the seeds

    def table(self) -> Row:
        """As JSON."""
        return {k: v for k, v in vars(self).items() if k != "truths"} | {"truths": list(self.truths)}


def points(rows: Sequence[Row]) -> list[Point]:
    """One point for each value, in the order of first appearance. Runs that failed (with an `error`) are left out."""
    groups: dict[str, list[Row]] = {}
    for r in rows:
        if not r.get("error") and r.get("truth") is not None and r.get("proxy") is not None:
            groups.setdefault(str(r["value"]), []).append(r)
    out = []
    pairs = [group for group in groups.values() if len(group) == 2]
    for group in groups.values():
        group = sorted(group, key=lambda r: r["seed"])
        freedom = len(pairs) if len(group) == 2 else len(group) - 1
        mean = {k: float(np.mean([r[k] for r in group])) for k in ("proxy", "truth")}
        kl = [r["kl"] for r in group if r["kl"] is not None]
        wins = [r["win_rate"] for r in group if r["win_rate"] is not None]
        verdicts: dict[str, int] = {}
        for r in group:
            if r["verdict"]:
                verdicts[r["verdict"]] = verdicts.get(r["verdict"], 0) + 1
        out.append(
            Point(
                value=group[0]["value"],
                seeds=len(group),
                proxy=mean["proxy"],
                proxy_half=half_width(group, "proxy", pairs),
                truth=mean["truth"],
                truth_half=half_width(group, "truth", pairs),
                kl=float(np.mean(kl)) if kl else math.nan,
                win_rate=float(np.mean(wins)) if wins else math.nan,
                verdicts=verdicts,
                freedom=freedom,
                truths=tuple(r["truth"] for r in group),
            )
        )
    return out


def half_width(group: Sequence[Row], key: str, pairs: Sequence[Sequence[Row]]) -> float:
    """Half a 95 % interval of the mean. pairs: the groups of two seeds, this one included if it is one."""
    if len(group) == 2:
        variance = float(np.mean([(one[key] - other[key]) ** 2 / 2 for one, other in pairs]))
        return student_quantile(0.975, len(pairs)) * math.sqrt(variance / 2)
    if len(group) > 2:
        values = np.array([r[key] for r in group], dtype=np.float64)
        return student_quantile(0.975, len(group) - 1) * standard_error(values)
    error = group[0].get(f"{key}_se")
    return NORMAL_975 * error if error is not None else math.nan


@dataclass(frozen=True)
class Advice:
    """The value to take. `as_good`: the values whose truth is not significantly below its."""

    best: Any
    as_good: tuple[Any, ...]
    edge: str  # "low" or "high" if the best value is the first or the last one swept, else ""
    below: str  # what goes wrong on that side: "hacking", "past", "pinned", "worse", or "" if nothing does
    above: str
    seeds: int

    def table(self) -> Row:
        """As JSON."""
        return {**vars(self), "as_good": list(self.as_good)}


def advise(swept: Sequence[Point]) -> Advice | None:
    """The value of the highest mean truth, and the neighbours that are not significantly worse.

    Values are compared by one-sided tests at 5 %: paired by seed where there are three or more; by the half-widths' errors
    otherwise. The interval is the range around the best value in which no test is significant. It has no correction for the
    number of values: too short an interval is the worse mistake, and more tests make it shorter, so read its ends as "no
    evidence against it".

    None when fewer than two values were measured. Sorted by value if all values are numbers.
    """
    if len(swept) < 2:
        return None
    numeric = all(isinstance(p.value, int | float) and not isinstance(p.value, bool) for p in swept)
    order = sorted(swept, key=lambda p: p.value) if numeric else list(swept)
    top = max(range(len(order)), key=lambda i: order[i].truth)
    best = order[top]
    worse = [significantly_below(p, best) for p in order]
    low = top
    while low > 0 and not worse[low - 1]:
        low -= 1
    high = top
    while high < len(order) - 1 and not worse[high + 1]:
        high += 1
    as_good = [p for i, p in enumerate(order) if (low <= i <= high if numeric else not worse[i])]
    return Advice(
        best=best.value,
        as_good=tuple(p.value for p in as_good),
        edge="" if not numeric or len(order) < 2 else "low" if top == 0 else "high" if top == len(order) - 1 else "",
        below=_side([p for i, p in enumerate(order[:top]) if worse[i]], best) if numeric else "",
        above=_side([p for i, p in enumerate(order) if i > top and worse[i]], best) if numeric else "",
        seeds=min(p.seeds for p in order),
    )


def significantly_below(point: Point, best: Point) -> bool:
    """Whether a value's truth lies below the best one's: one-sided at 5 % over seeds, or by its runs' own verdicts.

    Where a reward is hacked, seeds fall at different times, so their spread hides what each of them shows: the alarm of a run
    is a test of its own, on its own prompts (verdict.py).
    """
    if point is best:
        return False
    if point.truth < best.truth and alarmed(point):
        return True
    if point.seeds == best.seeds > 2:
        gap = np.array(best.truths) - np.array(point.truths)
        error = standard_error(gap)
        return bool(gap.mean() > student_quantile(0.95, len(gap) - 1) * error) if error > 0 else bool(gap.mean() > 0)
    errors = [p.truth_half / (student_quantile(0.975, p.freedom) if p.freedom else NORMAL_975) for p in (point, best)]
    freedom = min(point.freedom, best.freedom)
    return best.truth - point.truth > (student_quantile(0.95, freedom) if freedom else NORMAL_95) * math.hypot(*errors)


def alarmed(point: Point) -> bool:
    """Whether the truth has fallen in more than half of a value's runs."""
    return 2 * sum(point.verdicts.get(word, 0) for word in ALARMS) > point.seeds


def hacked(verdicts: Mapping[str, int], seeds: int) -> bool:
    """Whether more than half of a value's runs say so themselves."""
    return 2 * verdicts.get("hacking", 0) > seeds


def _side(worse: Sequence[Point], best: Point) -> str:
    """What goes wrong at the worse values of one side: "hacking" if the runs of one of them say so; "past" the best if they are
    farther from SFT and the proxy is no lower; "pinned" if they are closer to SFT; else "worse".
    """
    if not worse:
        return ""
    if any(hacked(p.verdicts, p.seeds) for p in worse):
        return "hacking"
    kl, proxy = float(np.mean([p.kl for p in worse])), float(np.mean([p.proxy for p in worse]))
    if kl > best.kl and proxy >= best.proxy - best.proxy_half:
        return "past"
    return "pinned" if kl < best.kl else "worse"


@dataclass(frozen=True)
class Form:
    """Gao, Schulman & Hilton (2023, arXiv 2210.10760): d·(α − β·log d) for RL, d·(α − β·d) for best-of-n, d = √KL."""

    kind: str  # "rl" or "best_of_n"
    alpha: float
    beta: float
    r_squared: float
    low: float  # range of d that was fitted
    high: float
    points: int

    def __call__(self, d: Array) -> Array:
        """The fitted gain at each d."""
        return d * (self.alpha - self.beta * (np.log(np.maximum(d, 1e-12)) if self.kind == "rl" else d))

    @property
    def peak(self) -> float:
        """The d of the highest value, infinite if the form has no peak."""
        if self.beta <= 0:
            return math.inf
        return math.exp(self.alpha / self.beta - 1.0) if self.kind == "rl" else self.alpha / (2.0 * self.beta)

    def table(self) -> Row:
        """As JSON, with the peak; None for an infinite one."""
        return {**vars(self), "peak": self.peak if math.isfinite(self.peak) else None}


def fit_form(d: Sequence[float], gain: Sequence[float], kind: str = "rl") -> Form | None:
    """Least squares; d: √KL, gain: change against SFT. None for fewer than three points with d > 0.

    Both forms are linear in α and β, so the solution is unique. R² is against the mean of the gains.
    """
    assert kind in ("rl", "best_of_n")
    x, y = np.asarray(d, dtype=np.float64), np.asarray(gain, dtype=np.float64)
    kept = np.isfinite(x) & np.isfinite(y) & (x > 1e-6)
    x, y = x[kept], y[kept]
    if len(np.unique(x)) < 3:
        return None
    design = np.stack([x, -x * (np.log(x) if kind == "rl" else x)], axis=1)
    (alpha, beta), *_ = np.linalg.lstsq(design, y, rcond=None)
    residual, total = float(((y - design @ [alpha, beta]) ** 2).sum()), float(((y - y.mean()) ** 2).sum())
    r_squared = 1.0 - residual / total if total > 0 else math.nan
    return Form(kind, float(alpha), float(beta), r_squared, float(x.min()), float(x.max()), len(x))


def forms(rows: Sequence[Row]) -> dict[str, Form]:
    """The RL form fitted to all evaluations of all runs: for `truth` and `proxy`, where there are enough points."""
    evaluations = [e for r in rows if not r.get("error") for e in r["history"] if (e.get("kl") or 0) > 0]
    fitted = {}
    for key in ("truth", "proxy"):
        kept = [(math.sqrt(e["kl"]), e[key]) for e in evaluations if e.get(key) is not None]
        form = fit_form([d for d, _ in kept], [g for _, g in kept])
        if form:
            fitted[key] = form
    return fitted


def sentence(key: str, advice: Advice | None) -> str:
    """The advice in words. key: the setting that was swept."""
    if advice is None:
        return "Fewer than two values were measured: nothing to compare."
    others = [v for v in advice.as_good if v != advice.best]
    text = f"Take {'β' if key == 'policy.kl_coef' else key} = {_show(advice.best)}"
    if others and all(isinstance(v, int | float) for v in advice.as_good):
        text += f" (from {_show(min(advice.as_good))} to {_show(max(advice.as_good))} nothing tells them apart)"
    elif others:
        text += f" ({', '.join(_show(v) for v in others)} can't be told from it)"
    text += "."
    reasons = {
        "hacking": "the truth is lower and the reward is hacked, by its runs’ own verdicts",
        "past": "the proxy is no lower and the policy further from SFT, but the truth is lower: that is past the best",
        "pinned": "the policy stays closer to SFT and the truth is lower: it is held too tightly",
        "worse": "the truth is lower",
    }
    if advice.below:
        text += f" Below it {reasons[advice.below]}."
    if advice.above:
        text += f" Above it {reasons[advice.above]}."
    if advice.edge == "low" and advice.best == 0 and key == "policy.kl_coef":
        text += (
            " Even without an anchor the truth has not fallen below that of the other values, in runs of this length."
        )
    elif advice.edge:
        text += f" It is the {'lowest' if advice.edge == 'low' else 'highest'} value that was tried: try further."
    if advice.seeds < 3:
        text += f" This stands on {advice.seeds} seed{'s' if advice.seeds > 1 else ''}; three or more would say how sure it is."
    return text


def _show(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
