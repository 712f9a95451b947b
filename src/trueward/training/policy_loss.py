"""The policy's loss by token: the one that an algorithm brings, or a function of the user's that `policy.loss` names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trueward.config import PolicyConfig
from trueward.losses.masks import masked
from trueward.losses.policy import clipped_surrogate, clipped_weight, ratio_figures
from trueward.models import precision
from trueward.models.network import Network
from trueward.scorers.custom import function_of

PolicyLoss = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]
"""(logprobs, sampler_logprobs, advantages, mask), all [B, T], log-probs in nats -> the loss by token, unreduced [B, T], and
figures by token [B, T]: `ratio`, `clipped`, `kl` and others. The algorithm averages both over the step's tokens."""
LOW_CAP = 2.0
OURS = frozenset({"ratio", "clipped", "kl"})
TAKES = "(logprobs, sampler_logprobs, advantages, mask)"


def importance_cap(config: PolicyConfig, policy: Network) -> float | None:
    """`policy.importance_sampling_cap`; where products are in bfloat16 and it isn't set, `LOW_CAP`.

    Sampler and learner then round differently, by how much no one knows beforehand.
    """
    cap = config.importance_sampling_cap
    return LOW_CAP if cap is None and precision.is_low(policy.model) else cap


def policy_loss(config: PolicyConfig) -> PolicyLoss:
    """The policy loss of a run: that of policy.loss, PPO's, or for grpo and rloo the one that [policy.group] sets."""
    if config.loss:
        return CustomPolicyLoss(config.loss)
    return ppo_loss(config) if config.kind == "ppo" else group_loss(config)


def ppo_loss(config: PolicyConfig) -> PolicyLoss:
    """PPO's clipped surrogate."""
    return partial(clipped_surrogate, clip=config.clip, dual_clip=config.dual_clip)


def group_loss(config: PolicyConfig) -> PolicyLoss:
    """The loss of grpo and rloo: clipped by token or by answer, or a clipped weight."""
    group = config.group
    if group.ratio == "weight":
        return partial(clipped_weight, clip_high=config.clip if group.clip_high is None else group.clip_high)
    return partial(
        clipped_surrogate,
        clip=config.clip,
        clip_high=group.clip_high,
        dual_clip=config.dual_clip,
        whole_sequence=group.ratio == "sequence",
    )


class CustomPolicyLoss:
    """A user's loss by its `module:function`. `ValueError` in one line if it takes or gives other things than `PolicyLoss`."""

    def __init__(self, name: str) -> None:
        self.name, self.function = name, function_of(name)

    def __call__(
        self, logprobs: Tensor, sampler_logprobs: Tensor, advantages: Tensor, mask: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As `PolicyLoss`; 0 outside the mask. `ratio`, `clipped` and `kl` are computed here, the others by the function."""
        if not len(
            mask
        ):  # nothing to ask it about: a micro-batch without rows, of a process that keeps up with the others
            return masked(logprobs, mask), ratio_figures(logprobs, sampler_logprobs, mask)
        given = [masked(t, mask) for t in (logprobs, sampler_logprobs, advantages)]
        loss, figures = self._checked(self.function(*given, mask), mask)
        ratios = ratio_figures(logprobs, sampler_logprobs, mask)
        return masked(loss, mask), ratios | {name: masked(f.detach(), mask) for name, f in figures.items()}

    def check(self) -> None:
        """Try it on two short answers before anything is trained."""
        try:
            inspect.signature(self.function).bind(*range(4))
        except TypeError as error:
            raise ValueError(f"policy.loss = {self.name}: expected a function of {TAKES}: {error}") from None
        logprobs = torch.tensor([[-1.0, -2.0, -0.5], [-0.1, -3.0, -1.0]], requires_grad=True)
        mask = torch.tensor([[True, True, True], [True, True, False]])
        advantages = torch.tensor([[1.0, -0.5, 0.2], [-1.0, 0.3, 0.0]])
        try:
            loss, _ = self(logprobs, logprobs.detach() - 0.1, advantages, mask)
        except ValueError:
            raise
        except Exception as error:  # whatever a user's function does, the line says which one it was
            raise ValueError(f"policy.loss = {self.name}: {type(error).__name__}: {error}") from error
        if not loss.requires_grad:
            raise ValueError(
                f"policy.loss = {self.name}: its loss has no gradient in logprobs, so nothing would be learnt"
            )

    def _checked(self, value: Any, mask: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        wanted = f"policy.loss = {self.name}: expected (loss, figures): a tensor by token, and a dict of such"
        if not isinstance(value, tuple) or len(value) != 2 or not isinstance(value[1], Mapping):
            raise ValueError(f"{wanted}, got {type(value).__name__}")
        loss, figures = value
        for what, tensor in {"the loss": loss, **{f"figure {k!r}": v for k, v in figures.items()}}.items():
            if not isinstance(tensor, Tensor) or tensor.shape != mask.shape:
                got = list(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
                raise ValueError(f"{wanted}; {what} is {got} where {list(mask.shape)} was expected")
        if taken := OURS & figures.keys():
            raise ValueError(f"{wanted}; {', '.join(sorted(taken))}: a figure of that name is logged already")
        return loss, figures


def own_figures(ratios: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The figures by token of a custom loss, under the names of their columns in the log."""
    return {f"loss/{name}_avg": value for name, value in ratios.items() if name not in OURS}
