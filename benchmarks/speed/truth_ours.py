"""The policy stage of a finished run once more, by trueward: its PPO as the recipe has it, the weights kept after every step.

What evaluating the policy would cost is no part of the time, nor is the keeping.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from speed import meter
from speed.finished import eval_setup, stage
from trueward import config
from trueward.pipeline.optimisation import Optimisation
from trueward.pipeline.process import process_settings
from trueward.pipeline.reward_model import REWARD_MODEL
from trueward.pipeline.surroundings import run_env
from trueward.progress import Progress
from trueward.training.driver import Outcome
from trueward.training.journal import MemoryJournal
from trueward.training.setup import Algorithm, Setup


@dataclass(kw_only=True)
class Timed(Optimisation):
    """Runs the loop against the clock, and does nothing else."""

    keep: Path
    clock: meter.Meter
    seconds: list[float] = field(default_factory=list)

    def drive(self, algorithm: Algorithm, config: Any, setup: Setup) -> Outcome:
        self.state, self.changing = algorithm.start(config, setup), None
        loop = algorithm.train(config, setup, self.state)
        spent, since = 0.0, self.clock.now()
        for step in loop:
            spent += self.clock.now() - since
            self.seconds.append(spent)
            weights = {name: p.detach().contiguous() for name, p in self.policy.model.named_parameters()}
            save_file(weights, self.keep / f"{step.number:05d}.safetensors")
            since = self.clock.now()
        return Outcome(self.state)


def main() -> None:
    asked = meter.job()
    clock = meter.Meter(asked)
    run = Path(asked["run"])
    recipe = config.read(str(run / "recipe.toml"), [f"runtime.threads={asked['threads']}", *asked["set"]])
    with process_settings(recipe):
        env = run_env(recipe, Progress(), tracked=False)
        timed = Timed(
            setup=eval_setup(run, recipe, env),
            reward=stage(run, REWARD_MODEL, env),
            comparisons=None,
            config=recipe.policy,
            sampler=recipe.sampler,
            evaluation=recipe.evaluation,
            relabelling=None,
            sft=None,
            lora=recipe.lora if recipe.lora.rank else None,
            seed=recipe.seed,
            env=env,
            journal=MemoryJournal(),
            keep=Path(asked["keep"]),
            clock=clock,
        )
        timed.online()
    clock.ticks = [0.0, *timed.seconds]
    clock.finish(1.0, at=timed.seconds)


if __name__ == "__main__":
    main()
