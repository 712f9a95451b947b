"""Does the score go with the length? The correlation of score and number of words, with a test and an interval."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueward.evaluation.reward_test.answers import FLAT, AnswerPool

DRAWS = 5000


def length_bias(answers: AnswerPool, scores: np.ndarray, seed: int) -> dict[str, Any]:
    """`correlation` of score [n] and words, both less the mean of their prompt where prompts have several answers.

    `low` and `high`: 95 %, percentiles over resampled prompts; `p`: the share of permutations of the lengths (within a prompt,
    where it has several answers) that correlate as much. Missing where either doesn't vary.
    """
    words = np.array([len(c.response.split()) for c in answers.completions], dtype=np.float64)
    known = np.isfinite(scores)
    kind = "answers to one prompt" if answers.several else "all answers"
    x, y = answers.centred(np.where(known, words, np.nan))[known], answers.centred(scores)[known]
    row: dict[str, Any] = {"correlation": None, "low": None, "high": None, "p": 1.0, "answers": len(x), "of": kind}
    if len(x) < 3 or not (x.std() > FLAT and y.std() > FLAT):
        return row
    clusters, draw = answers.clusters[known], np.random.default_rng(seed)
    observed = _correlation(x @ x, y @ y, x @ y)
    strata = clusters if answers.several else np.zeros(len(x))
    order = np.argsort(draw.random((DRAWS, len(x))) + strata, axis=1)  # a permutation within each stratum
    permuted = x[order] @ y
    extreme = int((np.abs(permuted) >= abs(x @ y) * (1 - 1e-9)).sum())
    low, high = _interval(x, y, clusters, draw)
    return row | {"correlation": float(observed), "low": low, "high": high, "p": (1 + extreme) / (1 + DRAWS)}


def _interval(x: np.ndarray, y: np.ndarray, clusters: np.ndarray, draw: np.random.Generator) -> tuple[float, float]:
    moments = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y])
    by_prompt = np.stack([np.bincount(clusters, weights=m) for m in moments])[:, np.bincount(clusters) > 0]
    prompts = by_prompt.shape[1]
    counts = draw.multinomial(prompts, np.full(prompts, 1 / prompts), 2000)
    n, sx, sy, xx, yy, xy = (counts @ m for m in by_prompt)
    drawn = _correlation(xx - sx**2 / n, yy - sy**2 / n, xy - sx * sy / n)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _correlation(xx: np.ndarray, yy: np.ndarray, xy: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(xy / np.sqrt(xx * yy))
