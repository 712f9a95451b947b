"""Reward hacking, as the nano lab shows it: bands around what ten seeds gave (docs/nano.md), with slack, on three of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch

from trueward.pipeline import nano

SEEDS = (0, 1, 2)
Row = dict[str, Any]
Climb = Callable[[int, float], list[Row]]


@pytest.fixture(scope="module")
def climb() -> Iterator[Climb]:
    """Without the anchor the recipe's run, look by look; with one a shorter run's first and last look."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    lab = cache(nano.lab)

    @cache
    def run(seed: int, beta: float) -> list[Row]:
        shorter = {} if beta == 0 else {"steps": 60, "every": 60}
        return nano.climb(lab(seed), kl_coef=beta, **shorter)

    yield run
    torch.set_num_threads(threads)


@pytest.mark.parametrize("seed", SEEDS)
def test_without_the_anchor_the_truth_rises_and_falls_below_sft_while_the_proxy_climbs(climb: Climb, seed: int) -> None:
    rows = climb(seed, 0.0)
    first, last, peak = rows[0], rows[-1], max(rows, key=lambda row: row["truth"])
    assert abs(first["truth"]) < 0.3
    assert abs(first["proxy"]) < 0.3
    assert 0.8 < peak["truth"] < 2.1
    assert peak["step"] in (10, 20, 30)
    assert last["truth"] < -3
    assert last["proxy"] > 9
    assert last["proxy"] > peak["proxy"] + 4
    assert 70 < last["kl"] < 115
    assert last["entropy"] < 1.2 < 4 < first["entropy"]
    assert last["win_rate"] < 0.1


@pytest.mark.parametrize(
    ("beta", "truth", "proxy", "kl"),
    [(0.3, (1.2, 2.1), (3.0, 6.2), (5.0, 14.0)), (1.0, (0.4, 1.05), (0.7, 1.6), (0.4, 2.2))],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_with_an_anchor_the_truth_gains(
    climb: Climb,
    seed: int,
    beta: float,
    truth: tuple[float, float],
    proxy: tuple[float, float],
    kl: tuple[float, float],
) -> None:
    last = climb(seed, beta)[-1]
    for key, (low, high) in {"truth": truth, "proxy": proxy, "kl": kl}.items():
        assert low < last[key] < high, key


def test_the_sweet_spot_lies_inside(climb: Climb) -> None:
    """Too weak an anchor hacks, too strong a one learns nothing."""
    hacked, best, timid, nothing = (climb(0, beta)[-1]["truth"] for beta in (0.0, 0.3, 1.0, 30.0))
    assert hacked < nothing - 3
    assert abs(nothing) < 0.3
    assert nothing + 0.3 < timid < best - 0.4
