"""A rollout engine of several processes of which rank 0 alone asks it, for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trueward.batches import Rollout
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.engine import Plan
from trueward.sampling.shared import SharedEngine, packed, unpacked


class LedEngine(SharedEngine):
    """Wraps rank 0's `engine`, which samples elsewhere; on other ranks one that draws nothing. All get the whole rollout."""

    def plan(self, request: Plan, steps: int) -> None:
        """As `RolloutEngine`."""
        self.engine.plan(request, steps)

    def sample(self, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        """As `RolloutEngine`: rank 0 samples, and tells the others."""
        whole = f"{draws.seed} {[prompt.as_json() for prompt in prompts]}"
        self.fabric.agree("the prompts or the seed of what is sampled", whole)
        given: Any = self.fabric.led(lambda: self.engine.sample(prompts, draws), _told)
        if isinstance(given, Rollout):
            return given
        return unpacked(given["rows"], prompts, given["version"], self.pad)


def _told(rollout: Rollout) -> dict[str, Any]:
    return {"rows": [packed(rollout, row) for row in range(len(rollout.completions))], "version": rollout.version}
