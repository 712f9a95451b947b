"""Intervals over comparisons that share prompts, answers and pairs: how often they hold what is true."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from trueward.evaluation import calibration
from trueward.evaluation import reward_report as rr
from trueward.evaluation.clustered import numbered, share, sums
from trueward.evaluation.statistics import wilson
from trueward.records import Comparison, Prompt, Response

RUNS = 1200
PROMPTS = 60
LEAST = 0.95 - 4 * math.sqrt(0.95 * 0.05 / RUNS)  # 92.5 %: Monte Carlo's own error aside


def ignorant(answers: int, votes: int, runs: int = RUNS, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Margins and choices [runs, comparisons] of a model that knows nothing, and each comparison's prompt.

    All pairs of `answers` answers to each of 60 prompts, `votes` choices of each pair by Bradley–Terry.
    """
    draw = np.random.default_rng(seed)
    first, second = np.array(list(itertools.combinations(range(answers), 2))).T
    truth, score = draw.standard_normal((2, runs, PROMPTS, answers))
    gap, margin = (np.repeat(x[:, :, first] - x[:, :, second], votes, axis=2) for x in (truth, score))
    chosen = draw.random(gap.shape) < calibration.sigmoid(gap / 0.7)
    prompts = np.repeat(np.arange(PROMPTS), len(first) * votes)
    return margin.reshape(runs, -1), chosen.reshape(runs, -1).astype(float), prompts


@pytest.mark.parametrize(("answers", "votes"), [(2, 1), (4, 1), (9, 1), (2, 3), (2, 5), (4, 3)])
def test_the_accuracy_of_a_model_that_knows_nothing_is_covered(answers: int, votes: int) -> None:
    """95 % of intervals hold ½. Wilson's own over comparisons: 91 and 79 % for 4 and 9 answers, 86 % for 5 votes."""
    margin, label, prompts = ignorant(answers, votes)
    points = (np.sign(margin) * np.sign(label - 0.5) + 1) / 2
    ends = np.array([share(row, prompts)[1:] for row in points])
    covered = float(((ends[:, 0] <= 0.5) & (ends[:, 1] >= 0.5)).mean())
    assert LEAST <= covered <= 0.985
    if (answers, votes) != (2, 1):
        alone = np.array([wilson(row.sum(), len(row)) for row in points])
        assert ((alone[:, 0] <= 0.5) & (alone[:, 1] >= 0.5)).mean() < LEAST, "comparisons one by one would do"


@pytest.mark.parametrize(("answers", "votes"), [(9, 1), (2, 5)])
def test_the_slope_of_a_model_that_knows_nothing_is_covered(answers: int, votes: int) -> None:
    """Its labels follow its margins with a slope of 0. One by one: 77 % for 9 answers."""
    margin, label, prompts = ignorant(answers, votes, runs=400)
    hits = 0
    for one, of in zip(margin, label, strict=True):
        fit = calibration.fitted_slope(one, of, prompts)
        assert fit is not None
        hits += fit.low <= 0 <= fit.high
    assert 0.95 - 4 * math.sqrt(0.95 * 0.05 / 400) <= hits / 400 <= 0.995


def test_the_report_clusters_by_prompt() -> None:
    """One prompt's comparisons all right, the other's all wrong, ten each: that is two observations, not twenty."""
    held_out = [
        Comparison(prompt=Prompt(text=f"p{i % 2}"), first=Response(id="1", text="a" * (i + 2)),
                   second=Response(id="2", text="b"), probability=float(i % 2), source="x")
        for i in range(20)
    ]  # fmt: skip
    figures = rr.report(lambda sides: np.array([len(c.response) for c in sides], float), [], held_out, agreement=0.7)
    (whole,) = [g for g in figures["groups"] if g["by"] == "annotator"]
    assert whole["accuracy"] == 0.5
    assert whole["low"] < 0.05
    assert whole["high"] > 0.95


def test_alone_it_is_wilsons() -> None:
    points = np.array([1.0] * 7 + [0.0] * 3)
    assert share(points, np.arange(10)) == (0.7, *wilson(7, 10))


def test_by_hand() -> None:
    """Clusters of two that are right together: the effective number is that of clusters, but for (G − 1)/G."""
    points = np.repeat(np.array([1.0] * 30 + [0.0] * 20), 2)
    mean, low, high = share(points, np.repeat(np.arange(50), 2))
    assert mean == 0.6
    assert (low, high) == pytest.approx(wilson(0.6 * 49, 49, 2.0096), abs=1e-4)
    assert math.isnan(share(np.array([]), np.array([]))[0])
    assert share(np.ones(5), np.zeros(5)) == (1.0, 0.0, 1.0)
    everything = share(np.ones(40), np.repeat(np.arange(20), 2))
    assert 0.8 < everything[1] < 0.86
    assert everything[2] == 1.0
    assert numbered(["b", "a", "b"]).tolist() == [0, 1, 0]
    assert sums(np.array([1.0, 2.0, 3.0]), np.array([7, 2, 7])).tolist() == [2.0, 4.0]


def test_soft_labels_have_a_slope() -> None:
    """.8 for whichever has the higher reward by 1: no hard label among them, and the slope is log(.8/.2)."""
    fit = calibration.fitted_slope(np.array([1.0, -1.0, 1.0]), np.array([0.8, 0.2, 0.8]))
    assert fit is not None
    assert fit.slope == pytest.approx(math.log(4), abs=1e-6)
    assert calibration.fitted_slope(np.array([1.0, -1.0]), np.array([1.0, 0.0])) is None
