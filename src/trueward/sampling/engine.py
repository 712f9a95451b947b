"""Rollout engines, which sample what a policy learns from. Measurements call `sampler.sample` instead, which is exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import nn

from trueward.batches import Rollout
from trueward.models.lora import clone_sharing_frozen, own_parameters
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling import sampler
from trueward.sampling.decoder_pool import DecoderPool
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams

Plan = Callable[[int], tuple[Sequence[Prompt], Draws]]
"""What a loop samples at a step: prompts and draws, which depend on nothing but the step."""


class RolloutEngine(Protocol):
    """Samples from the weights that were published last, and records their version in every rollout."""

    params: SamplingParams
    sync_every: int

    @property
    def version(self) -> int:
        """The version of the weights that it samples from: the steps after which they were published."""

    def hold(self, policy: Network) -> dict[str, nn.Module]:
        """Called once, before all others. The networks, by name, that checkpoints need to resume between two syncs; or none."""

    def plan(self, request: Plan, steps: int) -> None:
        """Called before the first step: what will be sampled at each of `steps` steps, for engines that sample ahead."""

    def publish(self, policy: Network, version: int) -> None:
        """Sample from the policy's present weights from now on; `version`: the steps that they have had."""

    def sync(self, policy: Network, step: int) -> None:
        """Publish if that is due before step `step` (from 0); else set the version, which a resumed loop doesn't know."""

    def sample(self, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        """One completion for each prompt, in order."""

    def close(self) -> None:
        """Called once, after all others: the loop has ended, or failed."""


class LocalEngine:
    """Samples in this process, from the policy itself or from a copy of its weights that is synced every N steps.

    params: how to draw. sync_every: N; 1 takes the policy itself. pool: where decoders are kept; one of its own by default.
    """

    def __init__(
        self,
        params: SamplingParams,
        sync_every: int = 1,
        pool: DecoderPool | None = None,
    ) -> None:
        self.params, self.sync_every = params, sync_every
        self.pool = DecoderPool() if pool is None else pool
        self.network: Network | None = None
        self.version = 0

    def hold(self, policy: Network) -> dict[str, nn.Module]:
        """The policy itself is sampled if it is synced at every step; else its copy, under the name `sampler`."""
        if self.sync_every == 1:
            self.network = policy
            return {}
        self.network = Network(clone_sharing_frozen(policy.model).requires_grad_(False), policy.tokenizer)
        return {"sampler": self.network.model}

    def plan(self, request: Plan, steps: int) -> None:
        """Nothing: it samples when it's called."""

    @torch.no_grad()
    def publish(self, policy: Network, version: int) -> None:
        """Copy the policy's own weights, or take the policy itself if it is synced at every step. `hold` comes first."""
        assert self.network is not None, "hold() comes first"
        self.version = version
        if self.sync_every == 1:
            self.network = policy
            return
        mine, theirs = own_parameters(self.network.model), own_parameters(policy.model)
        for old, new in zip(mine.values(), theirs.values(), strict=True):
            old.copy_(new)

    def sync(self, policy: Network, step: int) -> None:
        """Publish at every `sync_every`-th step; between them the version is that of the last one."""
        if step % self.sync_every == 0:
            self.publish(policy, step)
        else:
            self.version = step - step % self.sync_every

    def sample(self, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        """One completion for each prompt, in order."""
        assert self.network is not None, "hold() comes first"
        return self.draw(self.network, self.version, prompts, draws)

    def draw(self, network: Network, version: int, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        """A rollout of a network's present weights, whose version this is."""
        rollout = sampler.sample(network, prompts, self.params, draws, pool=self.pool, version=version)
        self.pool.forget()  # the weights are about to change
        return rollout

    def close(self) -> None:
        """Nothing is left to end."""
