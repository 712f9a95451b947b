"""How far annotators agree: raw, and beyond chance. A unit is one thing that was judged, with its labels.

Labels are nominal. A unit with fewer than two labels is left out everywhere.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from trueward.records import Prompt

Side = tuple[str, bool]  # a response's text, and whether it ended by itself
Units = Sequence[Sequence[Hashable]]
DRAWS = 1000


def turned(prompt: Prompt, low: Side, high: Side) -> bool:
    """Whether the lower of a pair's sorted responses is called B and not A: a fair coin, from a hash of the pair.

    Which one is called A sets how often A is chosen, and so the agreement that chance would give.
    """
    return bool(hashlib.sha256(f"{prompt.id}\0{low}\0{high}".encode()).digest()[0] & 1)


def counts(units: Units) -> np.ndarray:
    """How often each label was given to each unit that has two labels or more: float64 [units, labels]."""
    kept = [unit for unit in units if len(unit) > 1]
    place = {label: i for i, label in enumerate(dict.fromkeys(label for unit in kept for label in unit))}
    table = np.zeros((len(kept), len(place)))
    for row, unit in enumerate(kept):
        for label, n in Counter(unit).items():
            table[row, place[label]] = n
    return table


def raw(n: np.ndarray, times: np.ndarray | None = None) -> float:
    """The share of a unit's pairs of labels that are equal, mean over units: P̄ = mean Σ_c n_c(n_c − 1)/(m(m − 1)).

    times [units]: how often each unit counts, once if not given; the same in the functions below.
    """
    m = n.sum(1)
    return float(np.average((n * (n - 1)).sum(1) / (m * (m - 1)), weights=times))


def fleiss(n: np.ndarray, times: np.ndarray | None = None) -> float:
    """Fleiss' κ = (P̄ − P_e)/(1 − P_e), P_e = Σ p_c², p_c a label's share of all (Fleiss 1971, Psychol. Bull. 76).

    Fleiss defines it for equally many labels a unit; here units may have more or fewer. NaN if only one label was used.
    """
    by_label = np.average(n, axis=0, weights=times)
    chance = float(((by_label / by_label.sum()) ** 2).sum())
    return (raw(n, times) - chance) / (1 - chance) if chance < 1 else float("nan")


def krippendorff(n: np.ndarray, times: np.ndarray | None = None) -> float:
    """Krippendorff's α for nominal data, 1 − D_o/D_e (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability).

    α = 1 − (N − 1) Σ_u [(m_u² − Σ_c n_uc²)/(m_u − 1)] / (N² − Σ_c n_c²), N labels in all. NaN if only one label was used.
    """
    times = np.ones(len(n)) if times is None else times
    m, by_label = n.sum(1), times @ n
    total = by_label.sum()
    expected = total**2 - (by_label**2).sum()
    if expected == 0:
        return float("nan")
    return float(1 - (total - 1) * (times @ ((m**2 - (n**2).sum(1)) / (m - 1))) / expected)


def cohen(pairs: Sequence[tuple[Hashable, Hashable]]) -> float:
    """Cohen's κ of two annotators on what both judged; each has their own share of each label (Cohen 1960).

    P_e = Σ_c p_c q_c. NaN if both gave one and the same label to everything.
    """
    if not pairs:
        return float("nan")
    one, other = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    agreed = sum(a == b for a, b in pairs) / len(pairs)
    chance = sum(one[label] * other[label] for label in one) / len(pairs) ** 2
    return (agreed - chance) / (1 - chance) if chance < 1 else float("nan")


def interval(n: np.ndarray, figure: Callable[[np.ndarray, np.ndarray], float], seed: int = 0) -> tuple[float, float]:
    """A 95 % interval of a figure by resampling units: percentiles of the bootstrap. NaN for fewer than two units."""
    if len(n) < 2:
        return float("nan"), float("nan")
    draw = np.random.default_rng(seed)
    kinds, times = np.unique(n, axis=0, return_counts=True)  # units with equal counts are drawn together
    resampled = [figure(kinds, picked) for picked in draw.multinomial(len(n), times / len(n), DRAWS)]
    values = np.array([value for value in resampled if np.isfinite(value)])
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
