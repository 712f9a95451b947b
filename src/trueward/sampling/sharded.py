"""A rollout engine of a sharded policy: it samples from whole weights, which are gathered for it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from trueward.batches import Rollout
from trueward.models.network import Network
from trueward.models.sharded import ShardedModel
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.engine import Plan, RolloutEngine


class ShardedEngine:
    """Wraps each process's own `engine`, which is given the whole policy wherever a loop gives its sharded one.

    With `sync_every` above 1 the engine's copy stays whole in each process, and weights are gathered when it is synced; with 1
    they are gathered once a step, and given back after the rollout.
    """

    def __init__(self, engine: RolloutEngine, policy: Network, model: ShardedModel) -> None:
        """policy: the whole one. model: the same in parts."""
        self.engine, self.policy, self.model = engine, policy, model
        self.params, self.sync_every = engine.params, engine.sync_every

    @property
    def version(self) -> int:
        """As `RolloutEngine`."""
        return self.engine.version

    def hold(self, policy: Network) -> dict[str, nn.Module]:
        """As `RolloutEngine`. Weights that the engine's copy shares with the policy stay whole."""
        held = self.engine.hold(self.policy)
        for network in held.values():
            self.model.keep(network.parameters())
        return held

    def plan(self, request: Plan, steps: int) -> None:
        """As `RolloutEngine`."""
        self.engine.plan(request, steps)

    def publish(self, policy: Network, version: int) -> None:
        """As `RolloutEngine`. All processes call it."""
        self.model.gather()
        self.engine.publish(self.policy, version)
        if self.sync_every > 1:
            self.model.release()

    def sync(self, policy: Network, step: int) -> None:
        """As `RolloutEngine`. All processes call it."""
        if step % self.sync_every == 0:
            self.publish(policy, step)
        else:
            self.engine.sync(self.policy, step)

    def sample(self, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        """As `RolloutEngine`. All processes call it."""
        if self.sync_every == 1:
            self.model.gather()
        rollout = self.engine.sample(prompts, draws)
        self.model.release()
        return rollout

    def close(self) -> None:
        """As `RolloutEngine`."""
        self.engine.close()
