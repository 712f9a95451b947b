"""One piece of work of a given amount, in a process of its own: what cost.py times. job["what"] is one of WORK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from speed import meter, ours
from trueward.algorithms import ppo, sft
from trueward.records import Completion, Prompt
from trueward.scorers import reward_model
from trueward.scorers.scorer import Scale
from trueward.seeds import generator

PROMPT, ANSWER = 16, 16  # tokens


def text(size: int, at: int) -> str:
    """So many characters, which are tokens; another text for every number."""
    from speed.material import FIRST

    random = torch.Generator().manual_seed(at)
    return "".join(chr(FIRST + i) for i in torch.randint(2000, (size,), generator=random).tolist())


def completions(count: int) -> list[Completion]:
    return [Completion(prompt=Prompt(text=text(PROMPT, i)), response=text(ANSWER - 1, -i - 1)) for i in range(count)]


def learning(asked: dict[str, Any]) -> Callable[[], None]:
    """SFT on so many tokens, once."""
    rows = completions(asked["amount"] // (PROMPT + ANSWER))
    context = ours.context(asked, sft={"epochs": 1.0, "batch_size": 16})
    policy = ours.policy(asked)
    config = context.recipe.sft
    loop = sft.train(
        config, policy=policy, demonstrations=rows, state=sft.start(config, policy), seed=0,
        micro_batch_tokens=context.recipe.runtime.micro_batch_tokens,
    )  # fmt: skip

    def run() -> None:
        for _ in loop:
            pass

    return run


def writing(asked: dict[str, Any]) -> Callable[[], None]:
    """So many completions sampled."""
    context, policy = ours.context(asked), ours.policy(asked)
    prompts = [Prompt(text=text(PROMPT, i)) for i in range(asked["amount"])]
    return lambda: context.sample(policy, prompts, generator(0, "cost")) and None


def judging(asked: dict[str, Any]) -> Callable[[], None]:
    """So many completions scored by the reward model."""
    ours.context(asked)
    scorer, rows = reward_model.load(Path(asked["material"]) / "reward", ours.CPU), completions(asked["amount"])
    return lambda: scorer(rows) and None


def optimising(asked: dict[str, Any]) -> Callable[[], None]:
    """Four PPO steps of 32 rollouts, with so many prompts to choose from."""
    settings = {"kind": "ppo", "steps": 4, "batch_size": 32, "epochs": 1, "learning_rate": 1e-6}
    context, policy = ours.context(asked, policy=settings), ours.policy(asked)
    scorer = reward_model.load(Path(asked["material"]) / "reward", ours.CPU)
    critic = ppo.Critic(reward_model.load(Path(asked["material"]) / "reward", ours.CPU).network, Scale(0.0, 1.0))
    config = context.recipe.policy
    loop = ppo.train(
        config, policy=policy, reference=ours.policy(asked), critic=critic, sample=context.sample_rollout, scorer=scorer,
        prompts=[Prompt(text=text(PROMPT, i)) for i in range(asked["amount"])], temperature=1.0,
        state=ppo.start(config, policy, critic), seed=0, micro_batch_tokens=context.recipe.runtime.micro_batch_tokens,
    )  # fmt: skip

    def run() -> None:
        for _ in loop:
            pass

    return run


WORK = {
    "tokens learned": learning,
    "completions sampled": writing,
    "completions scored": judging,
    "prompts": optimising,
}


def main() -> None:
    asked = {**meter.job(), "longest": ANSWER}
    clock = meter.Meter(asked)
    run = WORK[asked["what"]](asked)
    clock.start()
    run()
    clock.tick()
    clock.finish(asked["amount"])


if __name__ == "__main__":
    main()
