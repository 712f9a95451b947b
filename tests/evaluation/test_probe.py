"""The linear probe: its optimum, its choice of a ridge, and its comparison with a reward model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from trueward.evaluation import probe
from trueward.evaluation.probe import RIDGES, Probe, fit_probe
from trueward.pipeline.reward_probe import compare_probe, mean_with_interval
from trueward.records import Comparison, Completion, Prompt, Response


def made(n: int, d: int, seed: int, strength: float = 2.0) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    draw = np.random.default_rng(seed)
    direction = draw.standard_normal(d) / np.sqrt(d)
    x = draw.standard_normal((n, d))
    y = (draw.random(n) < 1 / (1 + np.exp(-strength * (x @ direction)))).astype(float)
    return x, y, [str(i // 2) for i in range(n)], direction


@pytest.mark.parametrize("shape", [(60, 8), (20, 50)])
@pytest.mark.parametrize("ridge", [0.01, 1.0])
def test_at_the_optimum_the_slope_is_zero(shape: tuple[int, int], ridge: float) -> None:
    """With more rows than columns, and with fewer, where it is found in the span of the rows."""
    x, y, _, _ = made(*shape, seed=1)
    y[:5] = 0.5
    weights = probe._fit(x, y, ridge)
    p = 1 / (1 + np.exp(-x @ weights))
    assert np.abs(x.T @ (p - y) / len(x) + ridge * weights).max() < 1e-7


def test_swapped_answers_give_the_same_probe() -> None:
    x, y, prompts, _ = made(200, 6, seed=2)
    draw = np.random.default_rng(0)
    swap = draw.random(len(x)) < 0.5
    other = fit_probe(np.where(swap[:, None], -x, x), np.where(swap, 1 - y, y), prompts)
    assert other.weights == pytest.approx(fit_probe(x, y, prompts).weights)


def test_units_of_the_states_do_not_matter() -> None:
    x, y, prompts, _ = made(200, 6, seed=3)
    scale = np.array([1, 10, 100, 0.1, 1, 1e-3])
    assert fit_probe(x * scale, y, prompts).weights * scale == pytest.approx(fit_probe(x, y, prompts).weights)


@pytest.mark.parametrize("seed", range(4))
def test_noise_gets_the_largest_ridge_and_signal_a_smaller_one(seed: int) -> None:
    x, y, prompts, direction = made(600, 20, seed, strength=3.0)
    found = fit_probe(x, y, prompts)
    cosine = found.weights @ direction / np.linalg.norm(found.weights) / np.linalg.norm(direction)
    assert cosine > 0.8
    assert found.ridge < RIDGES[-1]
    noise = fit_probe(x, np.random.default_rng(seed + 50).integers(0, 2, len(x)).astype(float), prompts)
    assert noise.ridge >= RIDGES[-2]
    assert noise.loss > found.loss + 0.1


class Fixed:
    """A reward model that gives these scores."""

    def __init__(self, margins: Sequence[float]) -> None:
        self.margins = margins

    def raw(self, sides: Sequence[Completion]) -> np.ndarray:
        return np.array([m for margin in self.margins for m in (margin, 0.0)])


def test_compared_on_the_same_comparisons() -> None:
    """Three prompts with two comparisons each; the first is always better. The probe has five right, the model three."""
    comparisons = [
        Comparison(
            prompt=Prompt(text=f"p{i // 2}"),
            first=Response(id=f"a{i}", text="x"),
            second=Response(id=f"b{i}", text="y"),
            probability=1.0,
            source="test",
        )
        for i in range(6)
    ]
    states = np.array([1, 1, 1, 1, 1, -1.0])[:, None]
    model = Fixed([1, -1, 1, -1, 1, -1])
    figures = compare_probe(Probe(np.ones(1), 1.0, 0.0), states, model, comparisons)  # type: ignore[arg-type]
    assert figures["probe_accuracy"] == pytest.approx(5 / 6, abs=1e-4)
    assert figures["probe_ahead"] == pytest.approx(2 / 6, abs=1e-4)
    assert figures["probe_ahead_low"] < figures["probe_ahead"] < figures["probe_ahead_high"]


def test_an_interval_of_prompts_holds_the_mean_in_19_of_20_cases() -> None:
    """Four comparisons to a prompt that are right together: coverage over 2,000 draws, within three standard errors."""
    draw = np.random.default_rng(5)
    held = 0
    for _ in range(2000):
        x = np.repeat(draw.standard_normal(25), 4) + 0.3 * draw.standard_normal(100)
        _, low, high = mean_with_interval(x, np.repeat(np.arange(25), 4))
        held += low <= 0 <= high
    assert held / 2000 == pytest.approx(0.95, abs=3 * np.sqrt(0.05 * 0.95 / 2000))
    assert mean_with_interval(np.array([1.0, 0.0]), np.zeros(2)) == (0.5, -1.0, 1.0)
