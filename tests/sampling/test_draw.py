"""Drawing one token: frequencies, and the edges of the unit interval."""

from __future__ import annotations

import math

import pytest
import torch

from trueward.sampling.sampler import draw

LAST = 1 - 2**-24  # the largest number that torch.rand gives


@pytest.mark.parametrize("temperature", [1.0, 0.7, 1.5])
def test_frequencies_are_those_of_the_softmax(temperature: float) -> None:
    count = 40_000
    row = [1.0, -0.5, 0.3, -3.0, 2.0, -math.inf]
    weights = [math.exp(x / temperature) for x in row]
    expected = [w / sum(weights) for w in weights]
    chance = torch.rand(count, generator=torch.Generator().manual_seed(6))
    chosen, logp = draw(torch.tensor(row).expand(count, -1), chance, temperature)
    for token, p in enumerate(expected):
        share = (chosen == token).float().mean().item()
        assert abs(share - p) <= 4.5 * math.sqrt(p * (1 - p) / count)
        if p:
            assert logp[chosen == token][0].item() == pytest.approx(math.log(p), abs=1e-5)


def test_the_first_token_whose_cumulative_probability_exceeds_the_chance() -> None:
    logits = torch.tensor([0.25, 0.25, 0.5]).log().expand(6, -1)
    chance = torch.tensor([0.0, 0.249, 0.25, 0.499, 0.5, LAST])
    assert draw(logits, chance, 1.0)[0].tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("chance", [0.0, 0.5, LAST])
@pytest.mark.parametrize("impossible", [[0], [4], [0, 4], [0, 1, 3, 4], [1, 2, 3]])
def test_a_token_of_probability_0_is_never_drawn(chance: float, impossible: list[int]) -> None:
    draws = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(500, 5, generator=draws)
    for value in (-math.inf, -1e9):
        logits[:, impossible] = value
        chosen, logp = draw(logits, torch.full((500,), chance), 1.0)
        assert not set(chosen.tolist()) & set(impossible)
        assert logp.isfinite().all()
        assert (logp <= 1e-6).all()


def test_the_last_chance_over_a_large_vocabulary_is_a_token() -> None:
    logits = torch.randn(50, 50_000, generator=torch.Generator().manual_seed(2))
    logits[:, -100:] = -math.inf
    for chance in (0.0, LAST):
        chosen, logp = draw(logits, torch.full((50,), chance), 1.0)
        assert ((chosen >= 0) & (chosen < 49_900)).all()
        torch.testing.assert_close(logp, logits.log_softmax(-1).gather(1, chosen[:, None])[:, 0])


def test_temperature_0_is_the_likeliest_token_with_its_log_prob() -> None:
    logits = torch.randn(20, 9, generator=torch.Generator().manual_seed(3))
    chosen, logp = draw(logits, torch.full((20,), 0.99), 0)
    assert torch.equal(chosen, logits.argmax(-1))
    torch.testing.assert_close(logp, logits.log_softmax(-1).max(-1).values)


def test_large_logits_do_not_overflow() -> None:
    chosen, logp = draw(torch.tensor([[1e4, 1e4 - 1, 0.0]]), torch.tensor([0.1]), 0.5)
    assert chosen.tolist() == [0]
    assert logp.item() == pytest.approx(-math.log1p(math.exp(-2)), abs=1e-5)
