from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from trueward.evaluation import reward_report as rr
from trueward.evaluation.calibration import sigmoid
from trueward.evaluation.noise import without_noise
from trueward.evaluation.order_statistics import promised_truth
from trueward.records import Comparison, Completion, Prompt, Response, Score


def comparison(first: str, second: str, probability: float, prompt: str = "p", **more: Any) -> Comparison:
    return Comparison(prompt=Prompt(text=prompt), first=Response(id="1", text=first), second=Response(id="2", text=second),
                      probability=probability, **{"source": "ann", **more})  # fmt: skip


def utility(completions: Sequence[Completion]) -> list[Score]:
    """An answer is the number of its worth, with words after it."""
    return [Score(score=float(c.response.split()[0])) for c in completions]


def drawn(seed: int, n: int, temperature: float = 0.7) -> list[Comparison]:
    draw = np.random.default_rng(seed)
    comparisons = []
    for i in range(n):
        a, b = draw.normal(size=2)
        vote = float(draw.random() < sigmoid((a - b) / temperature))
        texts = [f"{x:.6f}" + " w" * int(draw.integers(0, 9)) for x in (a, b)]
        comparisons.append(comparison(*texts, vote, f"prompt {seed} {i}", strength=1 + i % 3, source=f"ann {i % 2}"))
    return comparisons


def raw(scale: float, noise: float = 0.0) -> rr.Raw:
    draw = np.random.default_rng(7)

    def read(completions: Sequence[Completion]) -> np.ndarray:
        truth = np.array([v.score for v in utility(completions)])
        return scale * (truth + noise * draw.normal(size=len(truth)))

    return read


def answers(n: int) -> list[Completion]:
    draw = np.random.default_rng(1)
    return [Completion(prompt=Prompt(text=f"asked {i // 2}"), response=f"{draw.normal():.6f}") for i in range(2 * n)]


def test_a_reward_model_that_is_the_annotators_utility() -> None:
    """Its loss is the floor, its accuracy the ceiling, its slope 1, its calibration error the floor, its gain all there is."""
    held_out = drawn(1, 3000)
    figures = rr.report(raw(1 / 0.7), drawn(2, 50), held_out, agreement=0.73,
                      annotators=rr.NoisyAnnotators(utility, 0.7), reference=answers(2000))  # fmt: skip
    margin, label = rr.margins(raw(1 / 0.7), held_out)
    nll = np.logaddexp(0, np.where(label == 1, -margin, margin))
    assert abs(nll.mean() - figures["nll_floor"]) <= 4.5 * nll.std() / math.sqrt(len(nll))
    right = rr.right(margin, label)
    assert abs(right.mean() - figures["best_accuracy"]) <= 4.5 * right.std() / math.sqrt(len(right))
    assert figures["true_accuracy"] == 1.0
    assert figures["slope_low"] < 1 < figures["slope_high"]
    assert figures["ece"] < figures["ece_floor_high"]
    assert abs(figures["gain"] - 1 / math.sqrt(math.pi)) <= 4.5 * figures["gain_se"]
    assert figures["gain_prompts"] == 2000
    assert abs(figures["length_accuracy"] - 0.5) < 0.05


def test_twice_the_rewards_are_twice_too_sure() -> None:
    one, two = (rr.report(raw(k / 0.7), [], drawn(1, 3000), agreement=None) for k in (1, 2))
    assert two["slope"] == pytest.approx(one["slope"] / 2, abs=1e-3)
    assert two["ece"] > 2 * two["ece_floor_high"]
    assert two["promised"] == []
    assert two["clean_accuracy"] is None
    assert two["nll_floor"] is None
    assert two["gain"] is None


def test_the_accuracy_promises_the_gain_that_is_measured() -> None:
    """Of a noisy proxy of the utility, correlation 1/√(1 + 1.5²): from its accuracy by the truth, as EXACT row 17 has it."""
    held_out = drawn(3, 4000)
    figures = rr.report(raw(1.0, 1.5), [], held_out, agreement=0.73,
                      annotators=rr.NoisyAnnotators(utility, 0.7), reference=answers(4000))  # fmt: skip
    promised = promised_truth(figures["true_accuracy"], 2)
    assert abs(figures["gain"] - promised) <= 4.5 * figures["gain_se"] + 0.02
    assert [row["n"] for row in figures["promised"]] == [2, 4, 8, 16]
    assert all(row["low"] < row["gain"] < row["high"] for row in figures["promised"])
    points = rr.right(*rr.margins(raw(1.0, 1.5), held_out))
    assert figures["clean_accuracy"] == pytest.approx(without_noise(float(points.mean()), 0.73), abs=1e-4)
    assert figures["promised"][3]["gain"] == pytest.approx(promised_truth(figures["clean_accuracy"], 16), abs=1e-3)


def test_prompts_that_it_was_fitted_to_are_no_measure() -> None:
    reference = answers(40)
    train = [comparison("1", "2", 1.0, str(c.prompt)) for c in reference[:20]]
    figures = rr.report(
        raw(1.0), train, drawn(1, 40), agreement=0.7, annotators=rr.NoisyAnnotators(utility, 1.0), reference=reference
    )
    assert figures["gain_prompts"] == 30
    few = rr.report(
        raw(1.0), train, drawn(1, 40), agreement=0.7, annotators=rr.NoisyAnnotators(utility, 1.0), reference=answers(9)
    )
    assert few["gain"] is None


def test_length_alone_by_hand() -> None:
    """The fitted ones favour the shorter; of the held-out ones two are right, one wrong, one of equal length, one a tie."""
    train = [comparison("1 a", "1", 0.0), comparison("1 a b", "1", 0.0), comparison("1 a", "1", 1.0)]
    held_out = [comparison("1", "1 a", 1.0), comparison("1 a b", "1 a", 0.0), comparison("1 a", "1", 1.0),
                comparison("1 a", "1 b", 1.0), comparison("1 a", "1", 0.5)]  # fmt: skip
    figures = rr.report(raw(1.0), train, held_out, agreement=None)
    assert figures["length_prefers"] == "shorter"
    assert figures["length_accuracy"] == pytest.approx(2.5 / 4)


def test_groups_by_hand() -> None:
    held_out = [
        comparison("3", "1 a", 1.0, source="ann", strength=1),
        comparison("2", "1 a", 0.0, source="bob", strength=3),
        comparison("1 a b", "5", 0.0, source="bob", strength=3),
        comparison("1", "2", 0.5, source="bob"),
    ]
    margin, _ = rr.margins(raw(1.0), held_out)
    figures = {(g["by"], g["name"]): (g["comparisons"], g["accuracy"]) for g in rr.groups(margin, held_out)}
    assert figures["annotator", "ann"] == (1, 1.0)
    assert figures["annotator", "bob"] == (2, 0.5)
    assert figures["strength", "slightly better"] == (1, 1.0)
    assert figures["strength", "much better"] == (2, 0.5)
    assert ("strength", "better") not in figures
    assert figures["length", "1 longer"] == (1, 0.0)
    assert figures["length", "1 shorter"] == (1, 1.0)
    assert figures["length", "2 shorter"] == (1, 1.0)
    assert figures["margin", "1.00 to 1.00"] == (1, 0.0)
    assert sum(n for (by, _), (n, _) in figures.items() if by == "margin") == 3


def test_parts_hold_about_as_many() -> None:
    x = np.random.default_rng(0).normal(size=1000)
    parts = rr._parts(x, np.arange(1000), 10)
    assert [len(p) for p in parts] == [100] * 10
    assert all(x[a].max() < x[b].min() for a, b in itertools.pairwise(parts))


def test_few_comparisons_are_warned_of() -> None:
    assert "1,999 comparisons" in (rr.few(1999) or "")
    assert rr.few(2000) is None


def test_ties_alone_say_nothing_of_accuracy() -> None:
    figures = rr.report(raw(1.0), [], [comparison("1", "2 a", 0.5), comparison("3", "2", 0.5)], agreement=0.73)
    assert figures["length_accuracy"] is None
    assert figures["groups"] == []
    assert figures["promised"] == []
