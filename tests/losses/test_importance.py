"""Truncated importance weights, and how far a sampler is from the learner."""

from __future__ import annotations

import math

import pytest
import torch

from trueward.losses.importance import deviation, importance_weights, mismatch

MASK = torch.tensor([[False, True, True], [True, True, False]])
RATIOS = torch.tensor([[9.0, 0.5, 4.0], [1.0, 2.0, 9.0]], dtype=torch.float64)
SAMPLER = torch.tensor([[-1.0, -2.0, -3.0], [-0.5, -1.5, -1.0]], dtype=torch.float64)
LEARNER = SAMPLER + RATIOS.log()


@pytest.mark.parametrize(
    ("cap", "expected"), [(math.inf, [0.5, 4, 1, 2]), (3.0, [0.5, 3, 1, 2]), (1.0, [0.5, 1, 1, 1])]
)
def test_by_hand(cap: float, expected: list[float]) -> None:
    got = importance_weights(LEARNER, SAMPLER, MASK, cap)
    assert got[MASK].tolist() == pytest.approx(expected, abs=1e-12)
    assert (got[~MASK] == 0).all()


def test_the_figures_by_hand() -> None:
    got = mismatch(LEARNER, SAMPLER, MASK, 1.5)
    assert got == pytest.approx(
        {
            "importance/weight": (0.5 + 1.5 + 1 + 1.5) / 4,
            "importance/truncated": 0.5,
            "importance/kl": sum(r - 1 - math.log(r) for r in (0.5, 4, 1, 2)) / 4,
            "importance/log_ratio": math.log(4),
        },
        abs=1e-12,
    )


def test_a_policy_is_like_itself() -> None:
    assert mismatch(LEARNER, LEARNER, MASK) == {
        "importance/weight": 1.0,
        "importance/truncated": 0.0,
        "importance/kl": 0.0,
        "importance/log_ratio": 0.0,
    }


def test_no_gradient_and_nothing_from_outside() -> None:
    leaf = torch.where(MASK, LEARNER, torch.nan).requires_grad_()
    dirty = torch.where(MASK, SAMPLER, torch.nan)
    got = importance_weights(leaf, dirty, MASK, 3.0)
    assert not got.requires_grad
    assert torch.equal(got, importance_weights(LEARNER, SAMPLER, MASK, 3.0))
    assert mismatch(leaf, dirty, MASK, 3.0) == mismatch(LEARNER, SAMPLER, MASK, 3.0)


def test_unbiased_and_when_truncated_too_small() -> None:
    """By enumeration: Σ p_s·w·f = Σ p·f, and E[w] falls below 1 with the cap."""
    draw = torch.Generator().manual_seed(0)
    p, q, f = (torch.rand(7, generator=draw, dtype=torch.float64) for _ in range(3))
    p, q, mask = p / p.sum(), q / q.sum(), torch.ones(7, dtype=torch.bool)
    torch.testing.assert_close((q * importance_weights(p.log(), q.log(), mask) * f).sum(), (p * f).sum())
    capped = importance_weights(p.log(), q.log(), mask, 1.2)
    assert capped.max() == 1.2
    assert (q * capped).sum() == pytest.approx(torch.minimum(p, 1.2 * q).sum().item(), abs=1e-12)


def test_a_weight_that_is_the_cap_was_not_truncated() -> None:
    assert mismatch(LEARNER, LEARNER, MASK, 1.0)["importance/truncated"] == 0.0


def test_the_quantile_of_the_deviation_is_a_token_of_the_sample() -> None:
    draw = torch.Generator().manual_seed(0)
    ours, theirs = (torch.randn(50, 60, generator=draw, dtype=torch.float64) for _ in range(2))
    mask = torch.rand(50, 60, generator=draw) < 0.7
    count = int(mask.sum())
    apart = (ours - theirs).abs()[mask].sort(descending=True).values
    dirty = torch.where(mask, theirs, float("nan"))  # whatever stands outside the mask
    got = deviation(ours, dirty, mask, count)
    assert 2000 < count < 3000
    assert got["importance/deviation"] == pytest.approx(float(apart.mean()), rel=1e-12)
    assert float(got["importance/deviation_999"]) == float(apart[2]), "the third of two to three thousand"
    none = deviation(ours, theirs, torch.zeros_like(mask), 0)
    assert (float(none["importance/deviation"]), float(none["importance/deviation_999"])) == (0.0, 0.0)
