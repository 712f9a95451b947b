"""Reward hacking, as the nano lab shows it (docs/nano.md): medians over three seeds.

Where training is chaotic, another processor's rounding makes of a seed another draw of the same process. So nothing is asked of
one seed. The bands lie around what ten seeds gave (mean and SD beside each); a median of three has 0.67 of that SD, and every
bound is at least three of those away.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import pytest

from trueward import config
from trueward.pipeline.cache import MemoryCache
from trueward.pipeline.run import run_in_memory
from trueward.pipeline.trained_policy import TrainedPolicy

SEEDS = range(3)
Row = dict[str, Any]
Climb = Callable[[int, float], list[Row]]

pytestmark = pytest.mark.learned


@pytest.fixture(scope="module")
def climb() -> Climb:
    """Without the anchor all evaluations of 100 of the recipe's steps; with one the first and the last of 60."""
    cache = MemoryCache()

    def run(seed: int, beta: float) -> list[Row]:
        steps = ["policy.steps=100"] if beta == 0 else ["policy.steps=60", "evaluation.every=60"]
        recipe = config.read("nano", [f"seed={seed}", f"policy.kl_coef={beta}", *steps])
        trained: TrainedPolicy = run_in_memory(recipe, cache, until="policy")["policy"].value
        return trained.evaluations

    return run


def test_without_the_anchor_the_truth_rises_and_falls_below_sft_while_the_proxy_climbs(climb: Climb) -> None:
    runs = [climb(seed, 0.0) for seed in SEEDS]
    peaks = [max(rows, key=lambda row: row["truth"]) for rows in runs]

    def first(key: str) -> float:
        return median(rows[0][key] for rows in runs)

    def last(key: str) -> float:
        return median(rows[-1][key] for rows in runs)

    assert abs(first("truth")) < 0.3  # 0.02, SD 0.08
    assert abs(first("proxy")) < 0.3  # -0.01, SD 0.06
    assert 0.9 < median(peak["truth"] for peak in peaks) < 2.1  # 1.5, SD 0.2
    assert median(peak["step"] for peak in peaks) in (10, 20, 30)  # 20 on all ten
    assert last("truth") < -1.5  # -6.6, SD 2.3
    assert last("proxy") > 9  # 12.2, SD 0.8
    assert median(rows[-1]["proxy"] - peak["proxy"] for rows, peak in zip(runs, peaks, strict=True)) > 4  # 7.8, SD 0.9
    assert 55 < last("kl") < 115  # 82, SD 11; with an anchor of 0.3 it is 9
    assert last("entropy") < 1.3  # 0.8, SD 0.24
    assert first("entropy") > 4  # 4.2, SD 0.04
    assert last("win_rate") < 0.15  # 0.03, SD 0.03


@pytest.mark.parametrize(
    ("beta", "truth", "proxy", "kl"),
    [
        # 1.64, SD 0.16; 4.5, SD 0.4; 8.9, SD 1.0
        (0.3, (1.2, 2.1), (3.0, 6.2), (5.0, 14.0)),
        # 0.73, SD 0.07; 1.12, SD 0.06; 1.03, SD 0.06
        (1.0, (0.4, 1.05), (0.7, 1.6), (0.4, 2.2)),
    ],
)
def test_with_an_anchor_the_truth_gains(
    climb: Climb, beta: float, truth: tuple[float, float], proxy: tuple[float, float], kl: tuple[float, float]
) -> None:
    last = [climb(seed, beta)[-1] for seed in SEEDS]
    for key, (low, high) in {"truth": truth, "proxy": proxy, "kl": kl}.items():
        assert low < median(row[key] for row in last) < high, key


def test_the_sweet_spot_lies_inside(climb: Climb) -> None:
    """Too weak an anchor hacks, too strong a one learns nothing: differences between runs of the same seed."""
    runs = [[climb(seed, beta)[-1]["truth"] for beta in (0.0, 0.3, 1.0, 30.0)] for seed in SEEDS]
    assert median(hacked - nothing for hacked, _, _, nothing in runs) < -1.5  # -6.7, SD 2.3
    assert abs(median(nothing for *_, nothing in runs)) < 0.3  # 0.03, SD 0.06
    assert median(timid - nothing for _, _, timid, nothing in runs) > 0.3  # 0.70, SD 0.08
    assert median(best - timid for _, best, timid, _ in runs) > 0.4  # 0.91, SD 0.10
