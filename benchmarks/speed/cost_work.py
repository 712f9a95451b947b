"""One piece of work of a given amount, in a process of its own: what cost.py times. job["what"] is one of WORK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from speed import meter, ours
from trueward.algorithms import ppo, sft
from trueward.pipeline.answers import exact_sampler
from trueward.pipeline.process import process_settings
from trueward.records import Completion, Prompt
from trueward.sampling.draws import Draws
from trueward.scorers import reward_model
from trueward.training.env import Env
from trueward.training.setup import Supervised

Work = Callable[[], object]
PROMPT, ANSWER = 16, 16  # tokens


def text(size: int, at: int) -> str:
    """So many characters, which are tokens; another text for every number."""
    from speed.material import FIRST

    random = torch.Generator().manual_seed(at)
    return "".join(chr(FIRST + i) for i in torch.randint(2000, (size,), generator=random).tolist())


def completions(count: int) -> list[Completion]:
    return [Completion(prompt=Prompt(text=text(PROMPT, i)), response=text(ANSWER - 1, -i - 1)) for i in range(count)]


def learning(asked: dict[str, Any]) -> Work:
    """SFT on so many tokens, once."""
    recipe = ours.recipe(asked, sft={"epochs": 1.0, "batch_size": 16})
    rows = completions(asked["amount"] // (PROMPT + ANSWER))
    setup = Supervised(**ours.common(recipe), policy=ours.policy(asked), demonstrations=rows)
    loop = sft.train(recipe.sft, setup, sft.start(recipe.sft, setup))
    return lambda: [step.number for step in loop]


def writing(asked: dict[str, Any]) -> Work:
    """So many completions sampled."""
    policy, sample = ours.policy(asked), exact_sampler(ours.recipe(asked).sampler, Env())
    prompts = [Prompt(text=text(PROMPT, i)) for i in range(asked["amount"])]
    return lambda: sample(policy, prompts, Draws.purpose(0, "cost"))


def judging(asked: dict[str, Any]) -> Work:
    """So many completions scored by the reward model."""
    scorer, rows = reward_model.load(Path(asked["material"]) / "reward", ours.CPU), completions(asked["amount"])
    return lambda: scorer(rows)


def optimising(asked: dict[str, Any]) -> Work:
    """Four PPO steps of 32 rollouts, with so many prompts to choose from."""
    settings = {"kind": "ppo", "steps": 4, "batch_size": 32, "epochs": 1, "learning_rate": 1e-6}
    recipe = ours.recipe(asked, policy=settings)
    setup = ours.online(asked, recipe, [Prompt(text=text(PROMPT, i)) for i in range(asked["amount"])])
    loop = ppo.train(recipe.policy, setup, ppo.start(recipe.policy, setup))
    return lambda: [step.number for step in loop]


WORK = {
    "tokens learned": learning,
    "completions sampled": writing,
    "completions scored": judging,
    "prompts": optimising,
}


def main() -> None:
    asked = {**meter.job(), "longest": ANSWER}
    clock = meter.Meter(asked)
    with process_settings(ours.recipe(asked)):
        run = WORK[asked["what"]](asked)
        clock.start()
        run()
        clock.tick()
    clock.finish(asked["amount"])


if __name__ == "__main__":
    main()
