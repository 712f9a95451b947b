"""A rollout engine of several processes of which rank 0 alone asks it, for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from trueward.batches import Rollout
from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.parallel.fabric import Fabric
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.engine import Plan, RolloutEngine
from trueward.sampling.shared import packed, unpacked


class LedEngine:
    """Wraps rank 0's `engine`, which samples elsewhere; on other ranks one that draws nothing. All get the whole rollout."""

    def __init__(self, fabric: Fabric, engine: RolloutEngine) -> None:
        self.fabric, self.engine = fabric, engine
        self.params, self.sync_every = engine.params, engine.sync_every
        self.pad = 0

    def hold(self, policy: Network) -> dict[str, nn.Module]:
        """As `RolloutEngine`."""
        self.pad = Collator(policy.tokenizer, policy.context).pad
        return self.engine.hold(policy)

    def plan(self, request: Plan, steps: int) -> None:
        """As `RolloutEngine`."""
        self.engine.plan(request, steps)

    def publish(self, policy: Network, version: int) -> None:
        """As `RolloutEngine`."""
        self.engine.publish(policy, version)

    def sync(self, policy: Network, step: int) -> None:
        """As `RolloutEngine`."""
        self.engine.sync(policy, step)

    @property
    def version(self) -> int:
        """As `RolloutEngine`."""
        return self.engine.version

    def sample(self, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        """As `RolloutEngine`: rank 0 samples, and tells the others."""
        whole = f"{draws.seed} {[prompt.as_json() for prompt in prompts]}"
        self.fabric.agree("the prompts or the seed of what is sampled", whole)
        given: Any = self.fabric.led(lambda: self.engine.sample(prompts, draws), _told)
        if isinstance(given, Rollout):
            return given
        return unpacked(given["rows"], prompts, given["version"], self.pad)

    def close(self) -> None:
        """As `RolloutEngine`."""
        self.engine.close()


def _told(rollout: Rollout) -> dict[str, Any]:
    return {"rows": [packed(rollout, row) for row in range(len(rollout.completions))], "version": rollout.version}
