"""Sampling and learning at the same time: the rollout of step t is sampled from the weights of step t − K.

While the policy learns from the rollout of step t, a thread samples those of the steps after it, one after the other, K of
them at most. Which weights sample which step is fixed beforehand, so a run doesn't depend on which of the two is quicker, and
one that is resumed samples the same again: checkpoints keep the K last versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import nn

from trueward.batches import Rollout
from trueward.models.lora import clone_sharing_frozen, own_parameters
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine, Plan


class AheadEngine:
    """Wraps the engine that draws. staleness: K, from 1; `sample` outside of the plan draws from the present weights."""

    sync_every = 1

    def __init__(self, engine: LocalEngine, staleness: int) -> None:
        assert staleness > 0
        self.engine, self.staleness = engine, staleness
        self.params = engine.params
        self.slots: list[Network] = []  # the weights of version v are in slot v % K
        self.request: Plan | None = None
        self.steps = 0
        self.step = -1
        self.jobs: dict[int, Future[Rollout]] = {}
        self.ready: Rollout | None = None
        self.thread = ThreadPoolExecutor(1, "rollouts")

    @property
    def version(self) -> int:
        """The version that the present step's rollout is sampled from: K steps older, the first one in the first K steps."""
        return max(0, self.step - self.staleness)

    def hold(self, policy: Network) -> dict[str, nn.Module]:
        """K copies of the policy's own weights, as `sampler_0` and so on."""
        models = [clone_sharing_frozen(policy.model).requires_grad_(False) for _ in range(self.staleness)]
        self.slots = [Network(model, policy.tokenizer) for model in models]
        return {f"sampler_{i}": model for i, model in enumerate(models)}

    def plan(self, request: Plan, steps: int) -> None:
        """What will be sampled at each step, and how many steps there are."""
        self.request, self.steps = request, steps

    def publish(self, policy: Network, version: int) -> None:
        """As `sync`: a version is a step."""
        self.sync(policy, version)

    def sync(self, policy: Network, step: int) -> None:
        """Wait for the step's rollout, keep the policy's present weights, and begin with the rollout of step + K.

        `ValueError` if the algorithm has no plan.
        """
        if self.request is None:
            raise ValueError(
                "sampler.engine.max_staleness: the algorithm doesn't say beforehand what it will sample (sampler.plan, "
                "docs/own-algorithms.md)"
            )
        begins = self.step < 0
        self.step = step
        if begins:
            if step == 0:
                self._keep(policy, 0)
            for each in range(step, min(step + self.staleness, self.steps)):
                self._begin(each)
        self.ready = self.jobs.pop(step).result()
        if step > 0:
            self._keep(policy, step)  # its slot held the version of the rollout that is done
        if step + self.staleness < self.steps:
            self._begin(step + self.staleness)

    def sample(self, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        """The step's rollout, if it's that. Other prompts, of a step's further rounds, are drawn now, after what has begun."""
        assert self.request is not None
        planned, wanted = self.request(self.step)
        if self.ready is not None and list(planned) == list(prompts) and _same(wanted, draws):
            rollout, self.ready = self.ready, None
            return rollout
        network, version = self.slots[self.step % self.staleness], self.step
        return self.thread.submit(self.engine.draw, network, version, prompts, draws).result()

    def close(self) -> None:
        """What is begun comes to its end, what isn't is dropped."""
        self.thread.shutdown(wait=True, cancel_futures=True)
        self.engine.close()

    @torch.no_grad()
    def _keep(self, policy: Network, version: int) -> None:
        mine = own_parameters(self.slots[version % self.staleness].model)
        for old, new in zip(mine.values(), own_parameters(policy.model).values(), strict=True):
            old.copy_(new)

    def _begin(self, step: int) -> None:
        assert self.request is not None
        version = max(0, step - self.staleness)
        prompts, draws = self.request(step)
        network = self.slots[version % self.staleness]
        self.jobs[step] = self.thread.submit(self.engine.draw, network, version, prompts, draws)


def _same(one: Draws, other: Draws) -> bool:
    rows = [[] if draws.rows is None else draws.rows.tolist() for draws in (one, other)]
    return (one.seed, one.of, rows[0]) == (other.seed, other.of, rows[1])
