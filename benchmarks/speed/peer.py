"""What the programs of TRL share: its models, its data sets, its clock. Runs in TRL's environment, where trueward isn't."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerCallback,
)

from speed import meter


class Clock(TrainerCallback):  # type: ignore[misc]
    """A step begins when the trainer begins and when the one before has ended."""

    def __init__(self, clock: meter.Meter) -> None:
        self.clock = clock

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.clock.start()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.clock.tick()


def policy(asked: dict[str, Any]) -> Any:
    return AutoModelForCausalLM.from_pretrained(Path(asked["material"]) / "policy", dtype=torch.float32)


def reward(asked: dict[str, Any]) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(
        Path(asked["material"]) / "reward", dtype=torch.float32, num_labels=1
    )


def tokenizer(asked: dict[str, Any], **settings: Any) -> Any:
    return AutoTokenizer.from_pretrained(Path(asked["material"]) / "policy", **settings)


def rows(asked: dict[str, Any], count: int) -> list[dict[str, str]]:
    return meter.read_rows(Path(asked["material"]) / "rows.jsonl")[:count]


def data_set(rows: list[dict[str, Any]]) -> Dataset:
    return Dataset.from_list(rows)


def total(asked: dict[str, Any]) -> int:
    steps: int = asked["warm_up"] + asked["steps"]
    return steps


def arguments(asked: dict[str, Any]) -> dict[str, Any]:
    """What every trainer is told: float32 on the CPU, no checkpoints, no reports, activations kept (the faster way)."""
    torch.set_num_threads(asked["threads"])
    return {
        "output_dir": asked["scratch"],
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "seed": 0,
    }
