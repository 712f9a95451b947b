"""Losses on comparisons."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def bradley_terry(first: Tensor, second: Tensor, probability: Tensor | float = 1.0) -> Tensor:
    """−p·log σ(r_1 − r_2) − (1 − p)·log σ(r_2 − r_1), unreduced (Bradley & Terry 1952; InstructGPT eq. 1).

    first, second: rewards, any one shape. probability: that the first response is the better one; a tie is .5, and its
    loss the mean of both directions. At equal rewards the loss is ln 2, whatever the label.
    """
    margin = first - second
    return -(probability * F.logsigmoid(margin) + (1.0 - probability) * F.logsigmoid(-margin))


def dpo_margin(first: Tensor, second: Tensor, reference_first: Tensor, reference_second: Tensor, beta: float) -> Tensor:
    """β·(log π/π_ref (first) − log π/π_ref (second)): the difference of the implicit rewards.

    Each argument: log-prob of the whole response, in nats, [n] (Rafailov et al. 2023, arXiv 2305.18290, eq. 5).
    """
    return beta * ((first - reference_first) - (second - reference_second))


def dpo(margin: Tensor, probability: Tensor | float = 1.0, label_smoothing: float = 0.0) -> Tensor:
    """Bradley–Terry on the implicit rewards (eq. 7), unreduced; at the reference policy ln 2.

    label_smoothing ε: labels are taken to be flipped with probability ε (conservative DPO, Mitchell 2023).
    """
    probability = probability * (1.0 - label_smoothing) + (1.0 - probability) * label_smoothing
    return -(probability * F.logsigmoid(margin) + (1.0 - probability) * F.logsigmoid(-margin))


def robust_dpo(margin: Tensor, probability: Tensor | float, flipped: float) -> Tensor:
    """DPO's loss made unbiased for labels flipped with probability ε < ½ (Chowdhury et al. 2024, arXiv 2403.00409, eq. 6).

    ((1−ε)·l(m) − ε·l(−m)) / (1−2ε): its mean over the flips is the loss on clean labels.
    """
    assert 0 <= flipped < 0.5
    return ((1.0 - flipped) * dpo(margin, probability) - flipped * dpo(-margin, probability)) / (1.0 - 2.0 * flipped)


def ipo(margin: Tensor, probability: Tensor | float, beta: float) -> Tensor:
    """(h − (2p − 1)/(2τ))² + const, with h = margin/β and τ = β (Azar et al. 2023, arXiv 2310.12036, eq. 17), for soft labels.

    A label p is p wins and 1 − p losses: p·(h − 1/2τ)² + (1−p)·(h + 1/2τ)². The optimum is finite even for p = 1.
    """
    h = margin / beta
    half = 1.0 / (2.0 * beta)
    return probability * (h - half) ** 2 + (1.0 - probability) * (h + half) ** 2


def simpo(first: Tensor, second: Tensor, probability: Tensor | float, beta: float, target_margin: float) -> Tensor:
    """−log σ(β·(mean log π(first) − mean log π(second)) − γ), no reference (Meng et al. 2024, arXiv 2405.14734, eq. 6).

    first, second: mean log-prob a token, [n]. A label p is p wins and 1 − p losses.
    """
    margin = beta * (first - second)
    return -(
        probability * F.logsigmoid(margin - target_margin) + (1.0 - probability) * F.logsigmoid(-margin - target_margin)
    )


def direct(
    logprobs: Tensor,
    reference: Tensor,
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

    logprobs, reference: log-prob of each whole response, in nats, [2n]; lengths: their tokens, [2n]. Rows 2i and 2i+1
    are comparison i's. probability: that the first response is the better one, [n]. loss: "sigmoid" (`dpo`), "ipo",
    "robust" (`robust_dpo`) or "simpo". The figures are of the implicit rewards β·log π/π_ref, for all losses.
    """
    first, second = logprobs.view(-1, 2).unbind(1)
    anchors = reference.view(-1, 2).unbind(1)
    margin = dpo_margin(first, second, anchors[0], anchors[1], beta)
    if loss == "ipo":
        found = ipo(margin, probability, beta)
    elif loss == "robust":
        found = robust_dpo(margin, probability, label_smoothing)
    elif loss == "simpo":
        tokens = lengths.view(-1, 2).clamp(min=1)
        found = simpo(first / tokens[:, 0], second / tokens[:, 1], probability, simpo_beta, simpo_margin)
    else:
        assert loss == "sigmoid"
        found = dpo(margin, probability, label_smoothing)
    chosen = probability >= 0.5
    sign = torch.sign(margin) * torch.sign(probability - 0.5)  # 0 for equal margins and ties: half right
    rewards = beta * (logprobs - reference).view(-1, 2).detach()
    better, worse = torch.where(chosen, rewards[:, 0], rewards[:, 1]), torch.where(chosen, rewards[:, 1], rewards[:, 0])
    return found, {
        "rewards/chosen": better,
        "rewards/rejected": worse,
        "rewards/margins": better - worse,
        "rewards/accuracies": ((sign + 1) / 2).detach(),
    }


def labels(first: Tensor, second: Tensor, how: str) -> Tensor:
    """What scores say of two answers: the probability that the first is the better one, [n].

    "soft": σ(r_1 − r_2), Bradley–Terry's, so that DPO's population optimum is the tilt by r. "hard": 1 if the first has
    the higher score, 0 if the second has, ½ for equal ones. first, second: scores in SDs, [n].
    """
    if how == "soft":
        return torch.sigmoid(first - second)
    assert how == "hard"
    return (torch.sign(first - second) + 1) / 2
