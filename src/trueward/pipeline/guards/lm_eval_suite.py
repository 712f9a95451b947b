"""A task of EleutherAI's lm-eval as a guard: one number an item, of the first metric that has one, or of the one named."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trueward.pipeline.guards.guard_job import GuardJob, Scores

PASSED_ON = ("num_fewshot", "apply_chat_template")


def run(job: GuardJob, checkpoint: Path, device: str, folder: Path) -> Scores:
    """Scores by task and document, of all tasks if the name is a group's."""
    options = job.options
    more: dict[str, Any] = {key: options[key] for key in PASSED_ON if key in options}
    if "include_path" in options:
        tasks = importlib.import_module("lm_eval.tasks")
        more["task_manager"] = tasks.TaskManager(include_path=options["include_path"])
    result = importlib.import_module("lm_eval").simple_evaluate(
        model="hf",
        model_args={"pretrained": str(checkpoint), "tokenizer": str(checkpoint)},
        tasks=[job.task],
        device=device,
        batch_size=options.get("batch_size", 8),
        limit=job.limit,
        bootstrap_iters=0,  # its own intervals are not used
        log_samples=True,
        random_seed=job.seed,
        numpy_random_seed=job.seed,
        torch_random_seed=job.seed,
        fewshot_random_seed=job.seed,
        **more,
    )
    better = result.get("higher_is_better") or {}
    scores: Scores = {}
    for task, samples in result["samples"].items():
        scores |= of_task(task, samples, better.get(task) or {}, options)
    return scores


def of_task(
    task: str, samples: Sequence[Mapping[str, Any]], better: Mapping[str, Any], options: Mapping[str, Any]
) -> Scores:
    """Scores by document of one task. better: whether a metric's higher values are. `ValueError` if no metric suits."""
    filters = list(dict.fromkeys(str(sample.get("filter", "none")) for sample in samples))
    wanted = options.get("filter", filters[0] if filters else "")
    if samples and wanted not in filters:
        raise ValueError(f"{task}: there is no filter {wanted!r}; there are {', '.join(filters)}")
    rows = [sample for sample in samples if str(sample.get("filter", "none")) == wanted]
    if not rows:
        return {}
    named = list(rows[0].get("metrics") or [])
    single = [name for name in named if _is_number(rows[0].get(name))]
    metric = options.get("metric", single[0] if single else "")
    if metric not in single:
        there = ", ".join(single) or "none"
        raise ValueError(
            f"{task}: expected a metric with one number an item, metric={metric or '?'}; there are: {there}"
        )
    sign = -1.0 if better.get(metric) is False else 1.0
    return {f"{task}/{row['doc_id']}": sign * float(row[metric]) for row in rows}


def _is_number(value: Any) -> bool:
    """Whether it is one number, of Python or of NumPy."""
    return isinstance(value, int | float) or (hasattr(value, "item") and getattr(value, "ndim", 1) == 0)
