"""What a training loop is given beside its settings: one class for each kind of loop, with the fields that it needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trueward.batches import Pairs, Step
from trueward.models.network import Network
from trueward.models.state_cache import StateCache
from trueward.parallel.fabric import ALONE, Fabric
from trueward.records import Comparison, Completion, Prompt
from trueward.sampling.engine import RolloutEngine
from trueward.scorers.scorer import Scorer
from trueward.token_budget import Budget
from trueward.training.critic import Critic
from trueward.training.state import State


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What every loop needs."""

    seed: int
    micro_batch_tokens: Budget
    """Tokens in one forward and backward pass: sets the memory, and no result."""
    fabric: Fabric = ALONE


@dataclass(frozen=True, kw_only=True)
class Supervised(Setup):
    """SFT: a policy and the demonstrations that it is trained on."""

    policy: Network
    demonstrations: Sequence[Completion]


@dataclass(frozen=True, kw_only=True)
class Ranking(Setup):
    """A reward model: a network with a scalar head, and the comparisons that it is fitted to."""

    network: Network
    comparisons: Sequence[Comparison]
    states: StateCache | None = None
    """What the layers that don't learn make of the answers, if that is there."""


@dataclass(frozen=True, kw_only=True)
class Offline(Setup):
    """DPO: a policy and pairs with the reference policy's log-probs."""

    policy: Network
    pairs: Pairs


@dataclass(frozen=True, kw_only=True)
class Online(Setup):
    """PPO, GRPO, RLOO and online DPO: a policy that answers prompts, an engine that samples, a scorer that is optimised."""

    policy: Network
    reference: Network
    """The anchor: the policy that the KL is taken to. Frozen."""
    sampler: RolloutEngine
    scorer: Scorer
    """The reward, in SDs under the reference policy."""
    scorer_samples_reference: bool = False
    """Whether the scorer sets answers of the reference policy beside others: then its weights are needed at any time."""
    prompts: Sequence[Prompt]
    demonstrations: Sequence[Completion] = ()
    """Their SFT loss is added with weight policy.ptx_coef."""
    critic: Critic | None = None
    """PPO's value network."""


class Algorithm(Protocol):
    """A module in algorithms/: three functions. `setup`: of the class in this file that the algorithm takes."""

    def steps(self, config: Any, setup: Any) -> int:
        """Optimiser steps in all (PPO's: rollouts)."""

    def start(self, config: Any, setup: Any) -> State:
        """The state before the first step: networks, optimisers, numbers that change."""

    def train(self, config: Any, setup: Any, state: State) -> Iterator[Step]:
        """Trains in place, from `state` on; yields a `Step` after every one."""
