"""Each preset's update against its paper's formula, written out answer by answer on a batch of eight."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from setups import descent, table
from torch import Tensor

from trueward.algorithms import grpo
from trueward.batches import Rollout
from trueward.config import PolicyConfig
from trueward.losses.advantages import group_advantages
from trueward.models import heads
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, sample
from trueward.training.policy_loss import policy_loss
from trueward.training.state import State

LONGEST, SIZE = 5, 4
REWARDS = torch.tensor([[0.0, 1.0, 0.5, 2.0], [1.0, -1.0, 0.25, 0.0]])
Objective = Callable[[Any], Tensor]


def by_answer(x: SimpleNamespace, term: Callable[[float, Tensor, Tensor, Tensor], Tensor]) -> list[Tensor]:
    """A paper's term for every answer, [tokens] each, of its advantage and log-probs: now, at the rollout, the reference's."""
    return [term(x.advantage[i], x.new[i], x.old[i], x.reference[i]) for i in range(len(x.new))]


def surrogate(low: float, high: float) -> Callable[[float, Tensor], Tensor]:
    return lambda a, ratio: torch.minimum(ratio * a, ratio.clamp(1 - low, 1 + high) * a)


def k3(new: Tensor, reference: Tensor) -> Tensor:
    return (reference - new).exp() - (reference - new) - 1


def grpo_paper(x: SimpleNamespace) -> Tensor:  # eq. 3 of Shao et al.
    rows = by_answer(x, lambda a, n, o, r: surrogate(0.2, 0.2)(a, (n - o).exp()) - 0.04 * k3(n, r))
    return torch.stack([row.mean() for row in rows]).mean()


def dr_grpo_paper(x: SimpleNamespace) -> Tensor:  # a constant in the place of each answer's length
    rows = by_answer(x, lambda a, n, o, r: surrogate(0.2, 0.2)(a, (n - o).exp()))
    return torch.stack([row.sum() / LONGEST for row in rows]).mean()


def dapo_paper(x: SimpleNamespace) -> Tensor:  # eq. 8 of Yu et al.
    rows = by_answer(x, lambda a, n, o, r: surrogate(0.2, 0.28)(a, (n - o).exp()))
    return torch.cat(rows).mean()


def gspo_paper(x: SimpleNamespace) -> Tensor:  # eq. 5 of Zheng et al.: one ratio for an answer
    rows = by_answer(x, lambda a, n, o, r: surrogate(3e-4, 4e-4)(a, ((n - o).mean()).exp()))
    return torch.stack(rows).mean()


def cispo_paper(x: SimpleNamespace) -> Tensor:  # eq. 4 of MiniMax-M1, without a lower bound
    rows = by_answer(x, lambda a, n, o, r: (n - o).exp().clamp(max=5.0).detach() * a * n)
    return torch.cat(rows).mean()


PAPERS: dict[str, tuple[Objective, bool]] = {
    "grpo": (grpo_paper, True),
    "dr_grpo": (dr_grpo_paper, False),
    "dapo": (dapo_paper, True),
    "gspo": (gspo_paper, True),
    "cispo": (cispo_paper, True),
}


def rollout(behaviour: Network) -> Rollout:
    prompts = [Prompt(text=text) for text in ("a", "c a b") for _ in range(SIZE)]
    return sample(behaviour, prompts, SamplingParams(max_new_tokens=LONGEST), Draws.purpose(4, "rollout"))


@pytest.mark.parametrize("distance", ["near", "far"])
@pytest.mark.parametrize("preset", PAPERS)
def test_the_update_is_the_gradient_of_the_papers_objective(preset: str, distance: str) -> None:
    objective, is_divided = PAPERS[preset]
    behaviour, policy, reference = table(5), table(5), table(9)
    with (
        torch.no_grad()
    ):  # off policy, so that ratios and their clips count; near: less than GSPO's clip, for some answers
        noise = torch.randn(policy.model.table.shape, generator=torch.Generator().manual_seed(2))
        policy.model.table += noise.to(policy.model.table.dtype) * {"near": 1e-3, "far": 0.8}[distance]
    drawn = rollout(behaviour)
    tokens, mask = drawn.tokens, drawn.tokens.response_mask
    assert not mask.all()
    kept = policy.model.table.detach().clone()

    def rows(logprobs: Tensor) -> list[Tensor]:
        return [row[m] for row, m in zip(logprobs, mask, strict=True)]

    centred = REWARDS - REWARDS.mean(1, keepdim=True)
    expected = (centred / REWARDS.std(1, keepdim=True, correction=0) if is_divided else centred).flatten()
    with torch.no_grad():
        old, anchor = (heads.response_logprobs(n.model, tokens, 1.0) for n in (behaviour, reference))
    new = heads.response_logprobs(policy.model, tokens, 1.0)
    x = SimpleNamespace(advantage=expected, new=rows(new), old=rows(old), reference=rows(anchor))
    (-objective(x)).backward()
    gradient = policy.model.table.grad.clone()
    policy.model.table.grad = None

    config = PolicyConfig(
        kind="grpo", batch_size=2 * SIZE, minibatches=1, max_grad_norm=1e9, group={"preset": preset, "size": SIZE}
    )
    advantages = group_advantages(REWARDS, "mean", config.group.std).reshape(-1, 1).expand(mask.shape)
    state = State({"policy": policy.model}, {"policy": descent(policy.model)}, numbers={})
    batch = grpo.GroupBatch(tokens, old, anchor, advantages)
    order = torch.arange(2 * SIZE)
    figures = grpo._update(config, policy, state, batch, order, 1.0, LONGEST, 10_000, policy_loss(config))
    assert figures["policy_loss"] + figures["kl_loss"] == pytest.approx(-objective(x).item(), abs=1e-6)
    torch.testing.assert_close(kept - policy.model.table.detach(), gradient, rtol=1e-4, atol=1e-6)
    assert gradient.abs().max() > 1e-4 or preset == "gspo"
    if preset == "gspo" and distance == "near":  # where no other clip binds, its own does
        assert 0 < figures["clipfrac"] < 1
    elif distance == "near":
        assert figures["clipfrac"] == 0
    elif preset != "cispo":
        assert figures["clipfrac"] > 0
