"""What our programs share: the recipe, as a run has it, the loops' setups and the material as records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from speed import meter
from trueward import config
from trueward.config import Recipe
from trueward.models import loading
from trueward.models.network import Network
from trueward.pipeline.answers import sampling_params
from trueward.pipeline.value_network import value_network
from trueward.records import Comparison, Completion, Prompt, Response
from trueward.sampling.engine import LocalEngine
from trueward.scorers import reward_model
from trueward.training.setup import Algorithm, Online, Setup

CPU = torch.device("cpu")
SEED = 0


def recipe(asked: dict[str, Any], **sections: dict[str, Any]) -> Recipe:
    """`sections` are the recipe's; on top of them what the job sets itself (job["recipe"])."""
    table: dict[str, Any] = {"runtime": {"threads": asked["threads"]}, "sampler": {"max_new_tokens": asked["longest"]}}
    for more in (sections, asked.get("recipe", {})):
        for name, fields in more.items():
            table[name] = {**table.get(name, {}), **fields}
    return config.resolve(table, "the job")


def common(recipe: Recipe) -> dict[str, Any]:
    """What every setup needs."""
    return {"seed": SEED, "micro_batch_tokens": recipe.runtime.micro_batch_tokens}


def engine(recipe: Recipe) -> LocalEngine:
    own = recipe.sampler.engine
    return LocalEngine(replace(sampling_params(recipe.sampler), quantize=own.quantize), own.sync_every)


def online(asked: dict[str, Any], recipe: Recipe, prompts: list[Prompt]) -> Online:
    """For a loop that samples: the reward model, an anchor, and for PPO the value network that the recipe says."""
    learner, reference = policy(asked), policy(asked)
    reference.model.requires_grad_(False)
    scorer = reward_model.load(Path(asked["material"]) / "reward", CPU)
    scorer.freeze()
    is_ppo = recipe.policy.kind == "ppo"
    return Online(
        **common(recipe),
        policy=learner,
        reference=reference,
        sampler=engine(recipe),
        scorer=scorer,
        prompts=prompts,
        critic=value_network(recipe.policy.critic, learner, reference, scorer, None, SEED) if is_ppo else None,
    )


def timed(clock: meter.Meter, algorithm: Algorithm, config: Any, setup: Setup) -> list[dict[str, float]]:
    """A loop from its first step to its last, against the clock; the steps' figures."""
    loop = algorithm.train(config, setup, algorithm.start(config, setup))
    figures = []
    clock.start()
    for step in loop:
        clock.tick()
        figures.append(step.metrics)
    return figures


def policy(asked: dict[str, Any]) -> Network:
    return loading.causal(str(Path(asked["material"]) / "policy"), SEED, CPU)


def rows(asked: dict[str, Any], count: int) -> list[dict[str, str]]:
    return meter.read_rows(Path(asked["material"]) / "rows.jsonl")[:count]


def prompts(asked: dict[str, Any], count: int) -> list[Prompt]:
    return [Prompt(text=row["prompt"]) for row in rows(asked, count)]


def demonstrations(asked: dict[str, Any], count: int) -> list[Completion]:
    return [Completion(prompt=Prompt(text=row["prompt"]), response=row["chosen"]) for row in rows(asked, count)]


def comparisons(asked: dict[str, Any], count: int) -> list[Comparison]:
    return [
        Comparison(
            prompt=Prompt(text=row["prompt"]),
            first=Response(id=f"{i}a", text=row["chosen"]),
            second=Response(id=f"{i}b", text=row["rejected"]),
            probability=1.0,
            source="material",
        )
        for i, row in enumerate(rows(asked, count))
    ]


def total(asked: dict[str, Any]) -> int:
    """Steps, warm-up included."""
    steps: int = asked["warm_up"] + asked["steps"]
    return steps
