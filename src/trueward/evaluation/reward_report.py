"""The reward model's report: its accuracy, calibration, where it errs, and what best-of-n with it should gain.

All of it on comparisons of prompts that the reward model was not fitted to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trueward.evaluation import calibration
from trueward.evaluation.clustered import numbered, share
from trueward.evaluation.noise import without_noise
from trueward.evaluation.order_statistics import promised_truth
from trueward.evaluation.statistics import standard_error
from trueward.records import Comparison, Completion
from trueward.scorers.scorer import Scorer, fit_scale, scores

Raw = Callable[[Sequence[Completion]], np.ndarray]
FEW = 2000  # comparisons; below, reward models of real language were near chance (Gao et al. 2023)
CHOICES = (2, 4, 8, 16)
FEWEST_PROMPTS = 20
IN_TENTH = 20  # comparisons; where tenths would hold fewer, there are fewer parts


@dataclass(frozen=True)
class NoisyAnnotators:
    """A program that chose by Bradley–Terry: its utility, temperature, and the width in which it calls a tie."""

    utility: Scorer
    temperature: float
    tie_width: float = 0.0


def report(
    raw: Raw,
    train: Sequence[Comparison],
    held_out: Sequence[Comparison],
    *,
    agreement: float | None,
    annotators: NoisyAnnotators | None = None,
    reference: Sequence[Completion] = (),
) -> dict[str, Any]:
    """The figures, as JSON. raw: rewards of completions. reference: the SFT policy's answers, two to a prompt.

    agreement: of two annotators, None if it isn't known. annotators: the simulated ones who chose, if they did.
    """
    margin, label = margins(raw, held_out)
    decided = label != 0.5
    points, n = right(margin, label), int(decided.sum())
    clusters = by_prompt(held_out)
    slope = calibration.fitted_slope(margin, label, clusters)
    floor, floor_high = calibration.error_floor(margin)
    accuracy, low, high = share(points[decided], clusters[decided])
    figures = {
        **_truth(margin, held_out, annotators),
        "slope": slope and _number(slope.slope),
        "slope_low": slope and _number(slope.low),
        "slope_high": slope and _number(slope.high),
        "ece": _number(calibration.expected_error(margin, label)),
        "ece_floor": _number(floor),
        "ece_floor_high": _number(floor_high),
        "reliability": [
            {
                "confidence": _number(b.confidence),
                "won": _number(b.won),
                "won_se": _number(b.error),
                "comparisons": b.count,
            }
            for b in calibration.reliability(margin, label, _tenths(len(margin)))
        ],
        "groups": groups(margin, held_out),
        **_by_length_alone(train, held_out),
        "warning": few(len(train)),
    }
    cleaned = [None if agreement is None or not n else without_noise(a, agreement) for a in (accuracy, low, high)]
    figures["clean_accuracy"] = _number(cleaned[0])
    figures["promised"] = [
        {"n": k, **{end: _number(promised_truth(a, k))
                    for end, a in zip(("gain", "low", "high"), cleaned, strict=True) if a is not None}}
        for k in CHOICES if None not in cleaned
    ]  # fmt: skip
    fitted = {c.prompt.id for c in train}
    return {**figures, **measured_gain(raw, [c for c in reference if c.prompt.id not in fitted], annotators)}


def margins(raw: Raw, comparisons: Sequence[Comparison]) -> tuple[np.ndarray, np.ndarray]:
    """Reward of the first less that of the second, and the label, each [n]."""
    rewards = raw([side for c in comparisons for side in c.completions()]).reshape(-1, 2)
    return rewards[:, 0] - rewards[:, 1], np.array([c.probability for c in comparisons])


def by_prompt(comparisons: Sequence[Comparison]) -> np.ndarray:
    """The number of each comparison's prompt, [n]: the clusters of intervals, since its comparisons share answers."""
    return numbered([c.prompt.id for c in comparisons])


def few(comparisons: int) -> str | None:
    """A warning if a reward model was fitted to few comparisons, else None."""
    if comparisons >= FEW:
        return None
    return (
        f"It was fitted to {comparisons:,} comparisons. On real language, reward models fitted to fewer than about "
        f"{FEW:,} were hardly better than chance (Gao et al. 2023, arXiv 2210.10760): collect more before you trust it."
    )


def groups(margin: np.ndarray, comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Accuracy on the decided comparisons by margin (tenths, or fewer), length gap (fifths), annotator and strength.

    Each row: `by`, `name`, `at` (mean of what it is sorted by; None for names), `comparisons`, `accuracy`, `low`, `high`.
    The gap is the words of the response that the annotator preferred, less those of the other one.
    """
    label = np.array([c.probability for c in comparisons])
    rows = np.flatnonzero(label != 0.5)
    points, size = right(margin, label), np.abs(margin)
    gap = np.array([_gap(c) for c in comparisons]) * np.sign(label - 0.5)
    kinds: list[tuple[str, str, float | None, np.ndarray]] = []
    for part in _parts(size, rows, _tenths(len(rows))):
        kinds.append(("margin", f"{size[part].min():.2f} to {size[part].max():.2f}", float(size[part].mean()), part))
    for part in _parts(gap, rows, 5):
        low, high = int(gap[part].min()), int(gap[part].max())
        kinds.append(("length", _words(low, high), float(gap[part].mean()), part))
    sources, strengths = np.array([c.source for c in comparisons]), np.array([c.strength or 0 for c in comparisons])
    for source in sorted(set(sources.tolist())):
        kinds.append(("annotator", source, None, rows[sources[rows] == source]))
    for strength in (1, 2, 3):
        part = rows[strengths[rows] == strength]
        kinds.append(("strength", ("slightly better", "better", "much better")[strength - 1], None, part))
    clusters = by_prompt(comparisons)
    return [_group(by, name, at, points[part], clusters[part]) for by, name, at, part in kinds if len(part)]


def measured_gain(raw: Raw, answers: Sequence[Completion], annotators: NoisyAnnotators | None) -> dict[str, Any]:
    """The gain, by the annotators' utility and in its SDs, of picking the better of the SFT policy's two answers by reward."""
    if annotators is None or len(answers) < 2 * FEWEST_PROMPTS:
        return {"gain": None, "gain_se": None, "gain_prompts": len(answers) // 2}
    truth = scores(annotators.utility, answers).reshape(-1, 2)
    reward = raw(answers).reshape(-1, 2)
    sd = fit_scale(truth, "the annotators' utility").sd
    half = (truth[:, 0] - truth[:, 1]) / 2 * np.sign(reward[:, 0] - reward[:, 1])
    return {
        "gain": _number(half.mean() / sd),
        "gain_se": _number(standard_error(half) / sd),
        "gain_prompts": len(truth),
    }


def _truth(margin: np.ndarray, comparisons: Sequence[Comparison], annotators: NoisyAnnotators | None) -> dict[str, Any]:
    """What is known only where a program chose: the lowest possible loss, the best possible accuracy, the true accuracy."""
    if annotators is None:
        return {"nll_floor": None, "best_accuracy": None, "true_accuracy": None}
    sides = [side for c in comparisons for side in c.completions()]
    utility = scores(annotators.utility, sides).reshape(-1, 2)
    gap = (utility[:, 0] - utility[:, 1]) / annotators.temperature
    tie = np.abs(gap) < annotators.tie_width
    chance = np.where(tie, 0.5, calibration.sigmoid(gap))
    differ = gap != 0
    agree = ((np.sign(margin) * np.sign(gap)) + 1) / 2
    return {
        "nll_floor": _number(calibration.entropy(chance)),
        "best_accuracy": _number(np.maximum(chance, 1 - chance)[~tie].mean()) if not tie.all() else None,
        "true_accuracy": _number(agree[differ].mean()) if differ.any() else None,
    }


def _by_length_alone(train: Sequence[Comparison], held_out: Sequence[Comparison]) -> dict[str, Any]:
    """Accuracy of the rule "the longer one" (or the shorter one, whichever the fitted comparisons favour), as a baseline."""
    taste = sum(np.sign(_gap(c)) * (c.probability - 0.5) for c in train)
    decided = [c for c in held_out if c.probability != 0.5]
    prefers = -1.0 if taste < 0 else 1.0
    points = [(1 + prefers * np.sign(_gap(c)) * np.sign(c.probability - 0.5)) / 2 for c in decided]
    mean, low, high = share(np.array(points, dtype=np.float64), by_prompt(decided))
    return {
        "length_accuracy": _number(mean),
        "length_accuracy_low": _number(low),
        "length_accuracy_high": _number(high),
        "length_prefers": "shorter" if prefers < 0 else "longer",
    }


def _gap(c: Comparison) -> int:
    return len(c.first.text.split()) - len(c.second.text.split())


def right(margin: np.ndarray, label: np.ndarray) -> np.ndarray:
    """1 where the better response has the higher reward, ½ where both have the same; [n]."""
    points: np.ndarray = (np.sign(margin) * np.sign(label - 0.5) + 1) / 2
    return points


def _parts(x: np.ndarray, rows: np.ndarray, count: int) -> list[np.ndarray]:
    """Rows in parts of about equal size by x; equal values are in the same part."""
    if not len(rows):
        return []
    _, of, counts = np.unique(x[rows], return_inverse=True, return_counts=True)
    part = ((counts.cumsum() - counts / 2) * count // len(rows))[of]
    return [rows[part == k] for k in np.unique(part)]


def _tenths(n: int) -> int:
    return int(np.clip(n // IN_TENTH, 2, 10))


def _words(low: int, high: int) -> str:
    """The range of a length gap in words: of the preferred response against the other one."""

    def in_words(gap: int) -> str:
        return "as long" if gap == 0 else f"{abs(gap)} {'longer' if gap > 0 else 'shorter'}"

    return in_words(low) if low == high else f"{in_words(low)} to {in_words(high)}"


def _group(by: str, name: str, at: float | None, right: np.ndarray, clusters: np.ndarray) -> dict[str, Any]:
    mean, low, high = share(right, clusters)
    return {"by": by, "name": name, "at": _number(at), "comparisons": len(right), "accuracy": _number(mean),
            "low": _number(low), "high": _number(high)}  # fmt: skip


def _number(x: float | None) -> float | None:
    return round(float(x), 4) if x is not None and np.isfinite(x) else None
