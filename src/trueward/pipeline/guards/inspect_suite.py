"""A task of Inspect as a guard: one number an item, of the task's first scorer, or of the one named."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trueward.pipeline.guards.guard_job import GuardJob, Scores


def run(job: GuardJob, checkpoint: Path, device: str, folder: Path) -> Scores:
    """Scores by sample, epochs averaged. `RuntimeError` with Inspect's own words if it did not end well."""
    options = job.options
    epochs = {"epochs": options["epochs"]} if "epochs" in options else {}
    logs = importlib.import_module("inspect_ai").eval(
        job.task,
        model="hf/checkpoint",
        model_args={"model_path": str(checkpoint), "tokenizer_path": str(checkpoint), "device": device},
        task_args=options.get("args", {}),
        limit=job.limit,
        log_dir=str(folder / "inspect"),
        log_samples=True,
        display="none",
        seed=job.seed,
        max_tokens=options.get("max_tokens", job.sampler["max_new_tokens"]),
        **epochs,
    )
    scores: Scores = {}
    to_float = importlib.import_module("inspect_ai.scorer").value_to_float()
    for log in logs:
        if log.status != "success":
            raise RuntimeError(log.error.message if log.error else f"Inspect ended as {log.status!r}")
        scores |= of_samples(log.samples or [], to_float, options)
    return scores


def of_samples(samples: Sequence[Any], to_float: Callable[[Any], float], options: Mapping[str, Any]) -> Scores:
    """Scores by sample. to_float: Inspect's reading of values such as "C" for correct. `ValueError` if no scorer suits."""
    seen: dict[str, list[float]] = {}
    for sample in samples:
        given = sample.scores or {}
        if not given:  # the sample failed: it is missing
            continue
        scorer = options.get("scorer", next(iter(given)))
        if scorer not in given:
            raise ValueError(f"there is no scorer {scorer!r}; there are {', '.join(given)}")
        value = given[scorer].value
        if isinstance(value, dict):
            metric = options.get("metric", "")
            if metric not in value:
                there = ", ".join(map(str, value))
                raise ValueError(f"the scorer {scorer} gives several values ({there}); name one of them, metric=…")
            value = value[metric]
        seen.setdefault(str(sample.id), []).append(float(to_float(value)))
    return {item: sum(values) / len(values) for item, values in seen.items()}
