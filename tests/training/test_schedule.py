"""Functions of the step: rates, which rows are taken, seeds."""

from __future__ import annotations

import pytest
import torch

from trueward.seeds import generator, seed_for
from trueward.training.schedule import learning_rate, rows_at, total_steps


@pytest.mark.parametrize(("total", "warmup"), [(100, 0.1), (7, 0.0), (1, 0.05), (10, 1.0), (50, 0.5)])
def test_the_rate_climbs_to_its_peak_and_falls_to_0(total: int, warmup: float) -> None:
    rates = [learning_rate(2.0, step, total, warmup) for step in range(total + 1)]
    assert max(rates) == 2.0
    assert all(rate > 0 for rate in rates[:-1])
    top = rates.index(2.0)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if warmup < 1:
        assert rates[-1] == 0


def test_rates_by_hand() -> None:
    assert [learning_rate(1.0, step, 10, 0.2) for step in range(10)] == pytest.approx(
        [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    )
    assert [learning_rate(1.0, step, 5, 0.4, decay=False) for step in range(5)] == [0.5, 1.0, 1.0, 1.0, 1.0]


def test_total_steps() -> None:
    assert total_steps(100, 32, 1.0) == 4
    assert total_steps(96, 32, 2.0) == 6
    assert total_steps(10, 32, 2.0) == 2  # a batch is never larger than the rows
    assert total_steps(100, 32, 0.001) == 1
    assert total_steps(100, 10, 0.25) == 3


@pytest.mark.parametrize(("rows", "batch"), [(12, 4), (10, 3), (7, 7), (5, 20), (9, 2)])
def test_every_row_is_taken_once_an_epoch(rows: int, batch: int) -> None:
    steps = 3 * rows  # a multiple of the rows, whatever the batch size
    taken = torch.cat([rows_at(step, rows, batch, 4, "test") for step in range(steps)]).tolist()
    assert len(taken) == steps * batch  # a batch larger than the rows runs on into the next epoch
    epochs = [taken[i : i + rows] for i in range(0, len(taken), rows)]
    assert all(sorted(epoch) == list(range(rows)) for epoch in epochs)
    if rows > 4:
        assert len({tuple(epoch) for epoch in epochs}) > 1


def test_the_rows_depend_on_seed_and_step_alone() -> None:
    forward = [rows_at(step, 50, 8, 1, "a").tolist() for step in range(10)]
    torch.rand(1000)
    assert [rows_at(step, 50, 8, 1, "a").tolist() for step in reversed(range(10))] == forward[::-1]
    assert rows_at(0, 50, 8, 2, "a").tolist() != forward[0]
    assert rows_at(0, 50, 8, 1, "b").tolist() != forward[0]


def test_seeds_of_different_purposes_differ() -> None:
    seeds = {seed_for(s, what, n) for s in range(5) for what in ("x", "y") for n in range(20)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_for(1, "a", 2) == seed_for(1, "a", 2)
    assert seed_for(1, 2) != seed_for(12)
    one, other = torch.rand(4, generator=generator(3, "a")), torch.rand(4, generator=generator(3, "a"))
    assert torch.equal(one, other)
