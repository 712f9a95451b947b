"""Losses on comparisons."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trueward.losses.shapes import require

ROUNDING = 32.0
"""In steps of the precision, of the sum of the log-probs' sizes: what sums of a few hundred tokens are off by."""


def bradley_terry(first: Tensor, second: Tensor, probability: Tensor | float = 1.0) -> Tensor:
    """−p·log σ(r_1 − r_2) − (1 − p)·log σ(r_2 − r_1), unreduced (Bradley & Terry 1952; InstructGPT eq. 1).

    first, second: rewards, any one shape. probability: that the first response is the better one, a number or of the same
    shape; a tie is .5, and its loss the mean of both directions. At equal rewards the loss is ln 2, whatever the label.
    """
    require(first.shape, second, probability)
    margin = first - second
    return -(probability * F.logsigmoid(margin) + (1.0 - probability) * F.logsigmoid(-margin))


def dpo_margin(first: Tensor, second: Tensor, ref_first: Tensor, ref_second: Tensor, beta: float) -> Tensor:
    """β·(log π/π_ref (first) − log π/π_ref (second)): the difference of the implicit rewards.

    Each tensor: log-probs of whole responses, in nats, any one shape (Rafailov et al. 2023, arXiv 2305.18290, eq. 5).
    """
    require(first.shape, second, ref_first, ref_second)
    return beta * ((first - ref_first) - (second - ref_second))


def dpo(margin: Tensor, probability: Tensor | float = 1.0, label_smoothing: float = 0.0) -> Tensor:
    """Bradley–Terry on the implicit rewards (eq. 7), unreduced; at the reference policy ln 2.

    margin: of `dpo_margin`, any shape. probability: that the first response is the better one, a number or of the same shape.
    label_smoothing ε: labels are taken to be flipped with probability ε (conservative DPO, Mitchell 2023).
    """
    require(margin.shape, probability)
    probability = probability * (1.0 - label_smoothing) + (1.0 - probability) * label_smoothing
    return -(probability * F.logsigmoid(margin) + (1.0 - probability) * F.logsigmoid(-margin))


def robust_dpo(margin: Tensor, probability: Tensor | float, flipped: float) -> Tensor:
    """DPO's loss made unbiased for labels flipped with probability ε < ½ (Chowdhury et al. 2024, arXiv 2403.00409, eq. 6).

    ((1−ε)·l(m) − ε·l(−m)) / (1−2ε): its mean over the flips is the loss on clean labels. margin, probability: as for `dpo`.
    """
    require(margin.shape, probability)
    assert 0 <= flipped < 0.5, "labels flipped at random half of the time carry no information"
    return ((1.0 - flipped) * dpo(margin, probability) - flipped * dpo(-margin, probability)) / (1.0 - 2.0 * flipped)


def ipo(margin: Tensor, probability: Tensor | float, beta: float) -> Tensor:
    """(h − (2p − 1)/(2τ))² + const, with h = margin/β and τ = β (Azar et al. 2023, arXiv 2310.12036, eq. 17), for soft labels.

    A label p is p wins and 1 − p losses: p·(h − 1/2τ)² + (1−p)·(h + 1/2τ)². The optimum is finite even for p = 1.
    margin, probability: as for `dpo`.
    """
    require(margin.shape, probability)
    h = margin / beta
    half = 1.0 / (2.0 * beta)
    return probability * (h - half) ** 2 + (1.0 - probability) * (h + half) ** 2


def simpo(first: Tensor, second: Tensor, probability: Tensor | float, beta: float, target_margin: float) -> Tensor:
    """−log σ(β·(mean log π(first) − mean log π(second)) − γ), no reference (Meng et al. 2024, arXiv 2405.14734, eq. 6).

    first, second: mean log-prob a token, in nats, any one shape. probability: a number or of the same shape; a label p is
    p wins and 1 − p losses.
    """
    require(first.shape, second, probability)
    margin = beta * (first - second)
    return -(
        probability * F.logsigmoid(margin - target_margin) + (1.0 - probability) * F.logsigmoid(-margin - target_margin)
    )


def direct(
    logprobs: Tensor,
    ref_logprobs: Tensor,
    lengths: Tensor,
    probability: Tensor,
    *,
    loss: str,
    beta: float,
    label_smoothing: float,
    simpo_beta: float,
    simpo_margin: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of comparisons by its name, unreduced [n], and its figures [n]: rewards/chosen and so on.

    logprobs, ref_logprobs: log-prob of each whole response, in nats, [2n]; lengths: their tokens, [2n]. Rows 2i and 2i+1
    are comparison i's. probability: that the first response is the better one, [n]. loss: "sigmoid" (`dpo`), "ipo",
    "robust" (`robust_dpo`) or "simpo". The figures are of the implicit rewards β·log π/π_ref, for all losses.
    """
    require(probability.shape, rank=1)
    require((2 * probability.shape[0],), logprobs, ref_logprobs, lengths)
    first, second = logprobs.view(-1, 2).unbind(1)
    ref_first, ref_second = ref_logprobs.view(-1, 2).unbind(1)
    margin = dpo_margin(first, second, ref_first, ref_second, beta)
    if loss == "ipo":
        losses = ipo(margin, probability, beta)
    elif loss == "robust":
        losses = robust_dpo(margin, probability, label_smoothing)
    elif loss == "simpo":
        tokens = lengths.view(-1, 2).clamp(min=1)
        losses = simpo(first / tokens[:, 0], second / tokens[:, 1], probability, simpo_beta, simpo_margin)
    else:
        assert loss == "sigmoid", loss
        losses = dpo(margin, probability, label_smoothing)
    chosen = probability >= 0.5
    order = _order(first, second, ref_first, ref_second)  # the rewards', which is there at β = 0, too
    sign = order * torch.sign(probability - 0.5)  # 0 for equal margins and ties: half right
    rewards = beta * (logprobs - ref_logprobs).view(-1, 2).detach()
    better, worse = torch.where(chosen, rewards[:, 0], rewards[:, 1]), torch.where(chosen, rewards[:, 1], rewards[:, 0])
    return losses, {
        "rewards/chosen": better,
        "rewards/rejected": worse,
        "rewards/margins": better - worse,
        "rewards/accuracies": ((sign + 1) / 2).detach(),
    }


def _order(first: Tensor, second: Tensor, ref_first: Tensor, ref_second: Tensor) -> Tensor:
    """Which response's log-ratio is higher: 1 the first's, −1 the second's, 0 where rounding alone tells them apart, [n].

    A policy that hasn't moved has log-ratios of 0 but for rounding, and its signs would be another processor's other ones.
    """
    sides = torch.stack([first, second, ref_first, ref_second]).detach()
    rounding = ROUNDING * torch.finfo(sides.dtype).eps * sides.abs().sum(0)
    ratios = dpo_margin(first, second, ref_first, ref_second, 1.0).detach()
    return torch.sign(torch.where(ratios.abs() <= rounding, 0.0, ratios))


def labels(first: Tensor, second: Tensor, how: str) -> Tensor:
    """Labels from scores: the probability that the first of two responses is the better one, any one shape.

    "soft": σ(r_1 − r_2), Bradley–Terry's, so that DPO's population optimum is the tilt by r. "hard": 1 if the first has
    the higher score, 0 if the second has, ½ for equal ones. first, second: scores in SDs, any one shape.
    """
    require(first.shape, second)
    if how == "soft":
        return torch.sigmoid(first - second)
    assert how == "hard", how
    return (torch.sign(first - second) + 1) / 2
