"""The policy stage of a finished run once more, by trueward: its PPO as the recipe has it, the weights kept after every step.

What the looks at the policy would cost is no part of the time, nor is the keeping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from speed import meter
from trueward import artifacts, config
from trueward.artifacts import Artifact
from trueward.batches import Step
from trueward.pipeline.env import Env
from trueward.pipeline.policy_stage import POLICIES, OptimizerInputs
from trueward.progress import Progress
from trueward.training.state import State


class Timed(OptimizerInputs):
    """Runs the loop against the clock, and does nothing else."""

    keep: Path
    clock: meter.Meter
    seconds: list[float]

    def drive(
        self,
        work: Path,
        state: State,
        loop: Callable[[], Iterator[Step]],
        total: int,
        comparisons: Artifact | None = None,
    ) -> dict[str, Any]:
        self.seconds, spent, since = [], 0.0, self.clock.now()
        self.at = lambda: state.step
        for step in loop():
            spent += self.clock.now() - since
            self.seconds.append(spent)
            weights = {name: p.detach().contiguous() for name, p in self.policy.model.named_parameters()}
            save_file(weights, self.keep / f"{step.number:05d}.safetensors")
            since = self.clock.now()
        return {}


def stage(run: Path, name: str) -> Artifact:
    """A finished stage of the run. `ValueError` if it isn't there."""
    found = artifacts.load(run / name)
    if found is None:
        raise ValueError(f"{run / name}: this stage of the run isn't finished")
    return found


def main() -> None:
    asked = meter.job()
    clock = meter.Meter(asked)
    run = Path(asked["run"])
    recipe = config.read(str(run / "recipe.toml"), [f"runtime.threads={asked['threads']}", *asked["set"]])
    context = Env.make(recipe, Progress())
    given = Timed(context, stage(run, "prepare"), stage(run, "sft"), stage(run, "reward_model"))
    given.keep, given.clock = Path(asked["keep"]), clock
    POLICIES[recipe.policy.kind](given, None, given.keep)
    clock.ticks = [0.0, *given.seconds]
    clock.finish(1.0, at=given.seconds)


if __name__ == "__main__":
    main()
