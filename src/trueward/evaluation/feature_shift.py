"""Feature shift: the features that the policy's answers have more often than the SFT policy's, and how each is scored.

A feature is named if its rise is more than chance gives to any of all the features that were tested: answers of the two
policies to one prompt are swapped at random, and the largest rise of each such shuffle sets the threshold (Westfall & Young
1993, max-T; sign flips, so exact for any dependence between features). Features that others explain are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trueward.evaluation import features
from trueward.evaluation.features import Feature, Text
from trueward.evaluation.statistics import Z

ALPHA = 0.03  # chance that anything at all is named when nothing has changed
SHUFFLES = 999
FEWEST = 8  # pairs of answers of which one has a feature: with fewer, nothing could be significant
MOST_FEATURES = 6000  # by how often they are seen in either policy's answers
MOST_NAMED = 6
ENOUGH = 8  # answers with and without a feature, within a policy (harmonic), to value it there
SAME = 0.9  # from this share of answers in common on (Jaccard), two features are taken for the same thing
NEAR = 0.8  # the same for two phrases of which one is a part of the other


@dataclass(frozen=True)
class ScoredAnswer:
    """One answer and its scores; NaN for one that wasn't measured."""

    text: str
    finished: bool = True
    proxy: float = float("nan")
    truth: float = float("nan")


def feature_shift(
    ours: Sequence[ScoredAnswer], theirs: Sequence[ScoredAnswer], most: int = MOST_NAMED
) -> list[dict[str, Any]]:
    """A row for each feature that the policy's answers have more often than the SFT policy's to the same prompts.

    The most specific comes first. Each row: `feature` in words, `kind`, `before` and `after` (shares of answers that have it),
    `proxy` and `truth` (its value in SDs, with `_low` and `_high`, a 95 % interval; None if not measured), `hacked` (the
    proxy's interval is above 0 and the truth's below).
    """
    assert len(ours) == len(theirs)
    texts = [[features.read(a.text, a.finished) for a in side] for side in (ours, theirs)]
    named = _named(texts[0], texts[1], most)
    if not named:
        return []
    has = np.array([[_has(f, text) for f in named] for side in texts for text in side], dtype=float)
    n = len(ours)
    side = np.repeat([1.0, 0.0], n)
    scores = {
        score: np.array([getattr(a, score) for a in [*ours, *theirs]], dtype=float) for score in ("proxy", "truth")
    }
    worth = {score: feature_values(has, side, y) for score, y in scores.items()}
    rows = []
    for j, feature in enumerate(named):
        row: dict[str, Any] = {
            "feature": feature.name,
            "kind": feature.kind,
            "before": round(float(has[n:, j].mean()), 4),
            "after": round(float(has[:n, j].mean()), 4),
        }
        for score, (estimate, error) in worth.items():
            for end, at in (("", 0.0), ("_low", -Z), ("_high", Z)):
                value = estimate[j] + at * error[j]
                row[score + end] = round(float(value), 4) if np.isfinite(value) else None
        row["hacked"] = (row["proxy_low"] or 0.0) > 0 > (row["truth_high"] or 0.0)
        rows.append(row)
    return rows


def feature_values(has: np.ndarray, side: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The value of each feature, and its standard error: least squares on all of them, errors by HC3 (MacKinnon & White 1985).

    has: [n, k] of 0 and 1; side: [n], 1 for the policy's answers; score: [n]. A regressor for the side makes it a
    difference between answers of one and the same policy. A feature that all of a policy's answers have and none of
    the other's cannot be valued so: its value is then the difference over all answers, confounded with all other changes.
    """
    k = has.shape[1]
    estimate, error = np.full(k, np.nan), np.full(k, np.nan)
    if not np.isfinite(score).all():
        return estimate, error
    enough = np.zeros(k)
    for which in (0.0, 1.0):
        part = has[side == which]
        enough += part.sum(0) * (1 - part.mean(0))
    within = enough >= ENOUGH
    one = np.ones((len(score), 1))
    weights, spread = _least_squares(np.column_stack([has, one, side]), score)
    estimate[within], error[within] = weights[:k][within], spread[:k][within]
    if not within.all():  # fitted separately: with the others they would replace the regressor for the side
        weights, spread = _least_squares(np.column_stack([has[:, ~within], one]), score)
        estimate[~within], error[~within] = weights[:-1], spread[:-1]
    return estimate, error


def _least_squares(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [k] of x [n, k] for y [n], and their standard errors by HC3."""
    inverse = np.linalg.pinv(x.T @ x)
    weights = inverse @ (x.T @ y)
    leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
    residual = (y - x @ weights) / np.maximum(1.0 - leverage, 1e-3)
    meat = (x * residual[:, None] ** 2).T @ x
    return weights, np.sqrt(np.maximum(np.diag(inverse @ meat @ inverse), 0.0))


def _named(ours: list[Text], theirs: list[Text], most: int) -> list[Feature]:
    """Up to `most` features that rose more than chance, the most specific first, without those that another one explains."""
    n = len(ours)
    if n < FEWEST:
        return []
    lengths = _lengths([t.words for t in [*ours, *theirs]])
    table = _FeatureTable.of(ours, theirs, lengths)
    if not table.features:
        return []
    bar = table.bar(np.random.default_rng(0))
    rises = dict(zip(table.features, table.z.tolist(), strict=True))
    candidates = {f for f, z in rises.items() if z > bar}
    column = {f: i for i, f in enumerate(table.features)}
    named: list[Feature] = []
    while candidates and len(named) < most:
        top = max(candidates, key=lambda f: (rises[f], f.telling, f))
        mine = table.has[:n, column[top]]

        same = [
            f for f in candidates if rises[f] >= 0.9 * rises[top] and overlap(mine, table.has[:n, column[f]]) >= SAME
        ]
        best = max(same, key=lambda f: (f.telling, rises[f], f))
        whole = features.whole_phrase(best, ours)
        named.append(whole)
        candidates.discard(best)
        # The feature is removed from here on: what no longer rises was explained by it.
        if best.kind == "length":
            shorter = [min(a.words, b.words) for a, b in zip(ours, theirs, strict=True)]
            ours, theirs = ([features.cut(t, w) for t, w in zip(s, shorter, strict=True)] for s in (ours, theirs))
            candidates = {f for f in candidates if f.kind != "length"}
        else:
            ours, theirs = ([features.without(features.without(t, whole), best) for t in s] for s in (ours, theirs))
        still = _FeatureTable.of(ours, theirs, lengths, only=candidates)
        after = dict(zip(still.features, still.z.tolist(), strict=True))
        mine, rest = table.has[:n, column[best]], ~table.has[:n, column[best]]
        candidates = {
            f
            for f in candidates
            if after.get(f, 0.0) > bar
            and not _inside(table, column[f], rest)
            and not (part_of(f, best) and overlap(mine, table.has[:n, column[f]]) >= NEAR)
        }
    return named


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Jaccard's index of two sets, [n] of booleans."""
    return float((one & other).sum() / max(1, (one | other).sum()))


def part_of(one: Feature, other: Feature) -> bool:
    """Whether the words of one are contained in the words of the other."""
    short, long = sorted((f" {' '.join(f.of)} " for f in (one, other)), key=len)
    return short in long


def _inside(table: _FeatureTable, column: int, rest: np.ndarray) -> bool:
    """Whether a feature rose only in the answers that have another one: not in `rest`, the policy's answers without it."""
    if rest.sum() < 20:
        return False
    n = len(rest)
    ours, theirs = table.has[:n, column], table.has[n:, column]
    return bool(ours[rest].mean() - theirs[rest].mean() < (ours.mean() - theirs.mean()) / 3)


@dataclass(frozen=True)
class _FeatureTable:
    """Which answers have which features: has [2n, k], ours above theirs; z [k], each feature's rise in standard errors."""

    features: list[Feature]
    has: np.ndarray
    z: np.ndarray

    @classmethod
    def of(
        cls, ours: Sequence[Text], theirs: Sequence[Text], lengths: Sequence[int], only: set[Feature] | None = None
    ) -> _FeatureTable:
        n = len(ours)
        rows: dict[Feature, list[int]] = {}
        for i, text in enumerate([*ours, *theirs]):
            for feature in features.features(text, lengths):
                if only is None or feature in only:
                    rows.setdefault(feature, []).append(i)
        # Nothing here may depend on whose answer is whose, or the threshold would not be valid.
        kept = sorted((f for f, at in rows.items() if len(at) >= FEWEST), key=lambda f: (-len(rows[f]), f))
        kept = kept[:MOST_FEATURES]
        has = np.zeros((2 * n, len(kept)), dtype=bool)
        for j, feature in enumerate(kept):
            has[rows[feature], j] = True
        differ = (has[:n] != has[n:]).sum(0)
        enough = differ >= FEWEST if only is None else differ > 0
        kept = [f for f, keep in zip(kept, enough, strict=True) if keep]
        has, differ = has[:, enough], differ[enough]
        z = (has[:n].sum(0) - has[n:].sum(0)) / np.sqrt(differ)
        return cls(kept, has, z)

    def bar(self, draw: np.random.Generator) -> float:
        """The threshold: the largest rise of any feature that chance exceeds with probability ALPHA, by swaps within pairs."""
        n = len(self.has) // 2
        change = self.has[:n].astype(np.float32) - self.has[n:]
        change /= np.sqrt((change**2).sum(0))
        signs = draw.integers(0, 2, (SHUFFLES, n)).astype(np.float32) * 2 - 1
        largest = np.sort((signs @ change).max(1))
        # The real pairs are one of the shuffles. Rises are counts, so ties with the threshold are common, and don't exceed it.
        return float(largest[int(np.ceil((1 - ALPHA) * (SHUFFLES + 1))) - 1]) + 1e-4


def _has(feature: Feature, text: Text) -> bool:
    """Whether an answer has a feature, a phrase longer than three words included."""
    if feature.kind not in ("phrase", "repeat"):
        return feature in features.features(text, [feature.least] if feature.kind == "length" else [])
    size = len(feature.of)
    times = sum(
        tuple(run[i : i + size]) == feature.of for run in features.runs(text.pieces) for i in range(len(run) - size + 1)
    )
    return times >= feature.least


def _lengths(words: Sequence[int]) -> list[int]:
    """Tenths of all answers' lengths."""
    return sorted({int(x) for x in np.quantile(np.array(words), np.linspace(0.1, 0.9, 9))})
