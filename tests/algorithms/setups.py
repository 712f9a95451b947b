"""What the loops' tests share: setups of their usual parts, engines that remember, descent whose step is the gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trueward.batches import Pairs, Rollout, Step
from trueward.models.network import Network
from trueward.models.tabular import TabularPolicy, tokenizer
from trueward.records import Comparison, Completion, Prompt, Score
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine, Plan, RolloutEngine
from trueward.sampling.sampler import SamplingParams
from trueward.scorers.scorer import Scorer
from trueward.training.setup import Algorithm, Offline, Online, Ranking, Setup, Supervised
from trueward.training.state import State

WHOLE = 10_000  # tokens: everything goes through a model at once
Rule = Callable[[Completion], float]
Optimizer = Callable[[nn.Module], torch.optim.Optimizer]


class Ran(NamedTuple):
    """A loop's end."""

    steps: list[Step]
    state: State
    rollouts: list[Rollout]
    """Those of a `Recorder`."""

    def weights(self, name: str = "policy") -> Tensor:
        return weights(self.state.networks[name])


def weights(model: nn.Module) -> Tensor:
    """All of a model's, one after the other."""
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def descent(model: nn.Module) -> torch.optim.Optimizer:
    """At rate 1: the step is the gradient."""
    return torch.optim.SGD(model.parameters(), lr=1.0)


def run(
    algorithm: Algorithm,
    config: Any,
    setup: Setup,
    optimizer: Optimizer | None = None,
    prepare: Callable[[State], None] = lambda state: None,
) -> Ran:
    """A loop from start to end. optimizer: in the place of its own. prepare: is given the state before the first step."""
    state = algorithm.start(config, setup)
    if optimizer is not None:
        state.optimizers = {name: optimizer(state.networks[name]) for name in state.optimizers}
    prepare(state)
    steps = list(algorithm.train(config, setup, state))
    engine = setup.sampler if isinstance(setup, Online) else None
    return Ran(steps, state, engine.rollouts if isinstance(engine, Recorder) else [])


def supervised(policy: Network, rows: Sequence[Completion], budget: int = WHOLE, seed: int = 1) -> Supervised:
    return Supervised(policy=policy, demonstrations=rows, seed=seed, micro_batch_tokens=budget)


def ranking(network: Network, rows: Sequence[Comparison], budget: int = WHOLE, seed: int = 1) -> Ranking:
    return Ranking(network=network, comparisons=rows, seed=seed, micro_batch_tokens=budget)


def offline(policy: Network, pairs: Pairs, budget: int = WHOLE, seed: int = 1) -> Offline:
    return Offline(policy=policy, pairs=pairs, seed=seed, micro_batch_tokens=budget)


def online(
    policy: Network,
    reference: Network,
    sampler: RolloutEngine,
    scorer: Scorer,
    prompts: Sequence[Prompt],
    budget: int = WHOLE,
    seed: int = 1,
    **more: Any,
) -> Online:
    """more: demonstrations, a critic, a fabric."""
    return Online(
        policy=policy,
        reference=reference,
        sampler=sampler,
        scorer=scorer,
        prompts=prompts,
        seed=seed,
        micro_batch_tokens=budget,
        **more,
    )


def scoring(rule: Rule) -> Scorer:
    """A scorer that scores each answer by itself."""
    return lambda completions: [Score(score=rule(c)) for c in completions]


class Recorder(LocalEngine):
    """A process's own engine that keeps its rollouts, and what they were drawn with."""

    def __init__(self, params: SamplingParams, sync_every: int = 1) -> None:
        super().__init__(params, sync_every)
        self.rollouts: list[Rollout] = []
        self.draws: list[Draws] = []

    def sample(self, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        self.draws.append(draws)
        self.rollouts.append(super().sample(prompts, draws))
        return self.rollouts[-1]


class Scripted:
    """An engine whose rollouts a test writes."""

    sync_every = 1
    version = 0

    def __init__(self, params: SamplingParams, write: Callable[[Sequence[Prompt], Draws], Rollout]) -> None:
        self.params, self.write = params, write

    def hold(self, policy: Network) -> dict[str, nn.Module]:
        return {}

    def publish(self, policy: Network, version: int) -> None:
        self.version = version

    sync = publish

    def plan(self, request: Plan, steps: int) -> None:
        self.request, self.steps = request, steps

    def close(self) -> None:
        self.is_closed = True

    def sample(self, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        return self.write(prompts, draws)


def table(seed: int = 0) -> Network:
    """A policy over three words, the end and two tokens that it never writes: random numbers in float64."""
    model = TabularPolicy(6, 2, 12).double()
    nn.init.normal_(model.table, generator=torch.Generator().manual_seed(seed))
    model.table.data[:, :2] = -1e4
    return Network(model, tokenizer(["a", "b", "c"], 12))


def words(completion: Completion) -> float:
    """A score: the a's, less some of the b's."""
    return float(completion.response.count("a")) - 0.3 * completion.response.count("b")
