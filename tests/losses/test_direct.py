"""Losses of direct preference optimisation: their start, their gradient, their optimum."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from trueward.losses.preference import direct, dpo, dpo_margin, ipo, labels, robust_dpo, simpo


def reals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_dpo_starts_at_ln_2_with_the_gradient_of_the_difference() -> None:
    beta, logits = 0.3, reals(4, 5).requires_grad_()
    better, worse = torch.tensor([0, 1, 2, 3]), torch.tensor([4, 3, 0, 1])
    rows = torch.arange(4)
    logp = logits.log_softmax(-1)
    first, second = logp[rows, better], logp[rows, worse]
    margin = dpo_margin(first, second, first.detach(), second.detach(), beta)
    assert (margin == 0).all()
    assert dpo(margin).tolist() == pytest.approx([math.log(2)] * 4, abs=1e-15)
    (gradient,) = torch.autograd.grad(dpo(margin).sum(), logits)
    # −(β/2)(∇log π_w − ∇log π_l): in the logits the softmax cancels
    expected = torch.zeros(4, 5, dtype=torch.float64)
    expected[rows, better] -= beta / 2
    expected[rows, worse] += beta / 2
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)


def test_dpo_on_a_population_has_its_optimum_at_the_tilt() -> None:
    arms, beta = 4, 0.5
    reward, reference = reals(arms, seed=1), reals(arms, seed=2).log_softmax(0)
    tilt = (reference + reward / beta).softmax(0)
    i, j = torch.combinations(torch.arange(arms)).T
    share = torch.rand(len(i), generator=torch.Generator().manual_seed(3), dtype=torch.float64) + 0.1
    label = torch.sigmoid(reward[i] - reward[j])
    logits = torch.zeros(arms, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=500, tolerance_grad=1e-12, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        logp = logits.log_softmax(0)
        value = (share * dpo(dpo_margin(logp[i], logp[j], reference[i], reference[j], beta), label)).sum()
        value.backward()
        return value

    optimizer.step(loss)
    torch.testing.assert_close(logits.detach().softmax(0), tilt, rtol=0, atol=1e-6)


@pytest.mark.parametrize("chance", [0.9, 0.5, 1.0])
def test_ipo_has_its_optimum_where_its_law_says(chance: float) -> None:
    # two arms: logit π = logit p_ref + (2P − 1)/(2τ), so the margin τ·h is (2P − 1)/2
    best = torch.tensor((2 * chance - 1) / 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(ipo(best, chance, 0.2), best)
    assert gradient.item() == pytest.approx(0, abs=1e-12)
    assert ipo(best + 0.01, chance, 0.2) > ipo(best, chance, 0.2) < ipo(best - 0.01, chance, 0.2)


def test_robust_dpo_has_the_clean_loss_as_its_mean_over_the_flips() -> None:
    margin, flipped = reals(20), 0.3
    mean = (1 - flipped) * robust_dpo(margin, 1.0, flipped) + flipped * robust_dpo(margin, 0.0, flipped)
    torch.testing.assert_close(mean, torch.log1p(torch.exp(-margin)), rtol=0, atol=1e-12)


def test_a_pair_the_other_way_round_has_the_other_margin() -> None:
    arms = [reals(6, seed=s) for s in range(4)]
    margin = dpo_margin(*arms, 0.3)
    assert torch.equal(dpo_margin(arms[1], arms[0], arms[3], arms[2], 0.3), -margin)
    label = reals(6, seed=4).sigmoid()
    for loss in (lambda m, p: dpo(m, p, 0.1), lambda m, p: robust_dpo(m, p, 0.1), lambda m, p: ipo(m, p, 0.3)):
        torch.testing.assert_close(loss(margin, label), loss(-margin, 1 - label), rtol=0, atol=1e-12)


def test_soft_labels_by_hand() -> None:
    margin = torch.tensor([math.log(3.0)], dtype=torch.float64)  # σ = 3/4
    lose, win = math.log(4), math.log(4 / 3)
    # .6 wins, flipped with .1: .6·.9 + .4·.1 = .58
    assert dpo(margin, 0.6, 0.1).item() == pytest.approx(0.58 * win + 0.42 * lose, abs=1e-12)
    assert robust_dpo(margin, 0.6, 0.0).item() == pytest.approx(0.6 * win + 0.4 * lose, abs=1e-12)
    # (3 − 1)·.5 = 1 and γ = .25: p·log(1 + e^−.75) + (1 − p)·log(1 + e^1.25)
    first, second = torch.tensor([3.0], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64)
    expected = 0.6 * math.log1p(math.exp(-0.75)) + 0.4 * math.log1p(math.exp(1.25))
    assert simpo(first, second, 0.6, 0.5, 0.25).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("flipped", [0.5, 0.7, -0.1])
def test_no_robust_loss_where_labels_say_nothing(flipped: float) -> None:
    with pytest.raises(AssertionError):
        robust_dpo(reals(2), 1.0, flipped)


def test_smoothed_labels_and_simpo_by_hand() -> None:
    margin = torch.tensor([math.log(3.0)], dtype=torch.float64)  # σ = 3/4
    assert dpo(margin, 1.0, 0.1).item() == pytest.approx(-0.9 * math.log(0.75) - 0.1 * math.log(0.25), abs=1e-12)
    first, second = torch.tensor([-1.0], dtype=torch.float64), torch.tensor([-2.0], dtype=torch.float64)
    # 2·1 − γ, γ = 2: σ(0); the other direction −2·1 − 2: σ(−4)
    assert simpo(first, second, 1.0, 2.0, 2.0).item() == pytest.approx(math.log(2), abs=1e-12)
    assert simpo(first, second, 0.0, 2.0, 2.0).item() == pytest.approx(math.log1p(math.exp(4)), abs=1e-12)


def test_a_loss_by_its_name_is_that_loss() -> None:
    draw = torch.Generator().manual_seed(1)
    logprobs, reference = (torch.randn(8, generator=draw, dtype=torch.float64) - 5 for _ in range(2))
    lengths, label = torch.tensor([1, 2, 3, 4, 5, 6, 7, 8]), torch.tensor([1.0, 0.5, 0.2, 0.0], dtype=torch.float64)
    margin = dpo_margin(logprobs[::2], logprobs[1::2], reference[::2], reference[1::2], 0.3)
    by_token = logprobs / lengths
    expected = {
        "sigmoid": dpo(margin, label, 0.1),
        "ipo": ipo(margin, label, 0.3),
        "robust": robust_dpo(margin, label, 0.1),
        "simpo": simpo(by_token[::2], by_token[1::2], label, 1.5, 0.4),
    }
    for name, loss in expected.items():
        settings = {"beta": 0.3, "label_smoothing": 0.1, "simpo_beta": 1.5, "simpo_margin": 0.4}
        got, figures = direct(logprobs, reference, lengths, label, loss=name, **settings)
        torch.testing.assert_close(got, loss, rtol=0, atol=1e-12)
        implicit = 0.3 * (logprobs - reference)
        better = torch.stack([implicit[0], implicit[2], implicit[5], implicit[7]])  # the first one in a tie
        worse = torch.stack([implicit[1], implicit[3], implicit[4], implicit[6]])
        torch.testing.assert_close(figures["rewards/chosen"], better, rtol=0, atol=1e-12)
        torch.testing.assert_close(figures["rewards/rejected"], worse, rtol=0, atol=1e-12)
        torch.testing.assert_close(figures["rewards/margins"], better - worse, rtol=0, atol=1e-12)
        right = [float(b > w) for b, w in zip(better, worse, strict=True)]
        right[1] = 0.5
        assert figures["rewards/accuracies"].tolist() == right
        if name == "simpo":  # which needs no anchor
            alone = direct(logprobs, reference, lengths, label, loss=name, **settings | {"beta": 0.0})[1]
            assert alone["rewards/accuracies"].tolist() == right, "the order of the implicit rewards, at any β"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_ratios_that_rounding_tells_apart_are_equal(dtype: torch.dtype) -> None:
    """As the policy's and the reference's are in the first step, computed by two kernels."""
    draw = torch.Generator().manual_seed(2)
    reference = -100 * torch.rand(400, generator=draw, dtype=dtype)
    off = torch.finfo(dtype).eps * reference * torch.randn(400, generator=draw, dtype=dtype)
    label, lengths = torch.ones(200, dtype=dtype), torch.full((400,), 30)
    settings = {"loss": "sigmoid", "beta": 0.1, "label_smoothing": 0.0, "simpo_beta": 1.0, "simpo_margin": 0.0}
    figures = direct(reference + off, reference, lengths, label, **settings)[1]
    assert (figures["rewards/accuracies"] == 0.5).all()
    better = torch.tensor([0.01, 0.0]).repeat(200).to(dtype)  # nats
    figures = direct(reference + off + better, reference, lengths, label, **settings)[1]
    assert (figures["rewards/accuracies"] == 1.0).all()


def test_labels_from_scores() -> None:
    first, second = torch.tensor([2.0, 0.5, -1.0, 3.0]), torch.tensor([1.0, 0.5, 1.0, -30.0])
    sigmoid = [1 / (1 + math.exp(-1)), 0.5, 1 / (1 + math.exp(2)), 1.0]
    assert labels(first, second, "soft").tolist() == pytest.approx(sigmoid, abs=1e-6)
    assert labels(first, second, "hard").tolist() == [1.0, 0.5, 0.0, 1.0]
