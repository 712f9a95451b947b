"""What our programs share: the recipe's surroundings, as a run makes them, and the material as records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from speed import meter
from trueward import config
from trueward.models import loading
from trueward.models.network import Network
from trueward.pipeline.env import Env
from trueward.progress import Progress
from trueward.records import Comparison, Completion, Prompt, Response

CPU = torch.device("cpu")
SEED = 0


def context(asked: dict[str, Any], **sections: dict[str, Any]) -> Env:
    """`sections` are the recipe's; on top of them what the job sets itself (job["recipe"])."""
    table: dict[str, Any] = {"runtime": {"threads": asked["threads"]}, "sampler": {"max_new_tokens": asked["longest"]}}
    for more in (sections, asked.get("recipe", {})):
        for name, fields in more.items():
            table[name] = {**table.get(name, {}), **fields}
    return Env.make(config.resolve(table, "the job"), Progress())


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
