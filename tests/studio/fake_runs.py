"""Runs that nobody trained: a recipe as it is resolved, logs and a report of figures that a test can tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trueward import config

STAGES = ("prepare", "sft", "comparisons", "reward_model", "policy", "evaluation", "report")


def look(step: int, truth: float, proxy: float, kl: float, **more: Any) -> dict[str, Any]:
    """One evaluation in training."""
    row = {
        "step": step, "truth": truth, "truth_se": 0.1, "proxy": proxy, "proxy_se": 0.05, "kl": kl, "kl_se": 0.2,
        "win_rate": 0.6, "win_rate_low": 0.5, "win_rate_high": 0.7, "length": 9.0, "eos_rate": 1.0, "prompts": 16,
        "verdict": "learning", "rule": "as it is", "early_warnings": [], "seconds": step / 10,
    }  # fmt: skip
    return {**row, **more}


def make(
    home: Path,
    name: str,
    *changes: str,
    truth: float = 1.0,
    finished: bool = True,
    steps: int = 20,
    recipe: str = "tiny",
) -> Path:
    """A run of a shipped recipe with changes; its truth rises to twice `truth` at a look and ends at `truth`."""
    run = home / name
    resolved = config.read(recipe, [f"policy.steps={steps}", *changes])
    for stage in STAGES[:-1] if finished else STAGES[:5]:
        (run / stage).mkdir(parents=True)
    (run / "recipe.toml").write_text(resolved.toml())
    (run / ".lock").touch()
    made = STAGES if finished else STAGES[:5]
    rows = [
        {
            "name": s,
            "digest": f"{s} {resolved.seed if s != 'prepare' else ''}",
            "parents": [],
            "state": "done",
            "seconds": 2.0,
        }
        for s in made
    ]
    if not finished:
        rows[-1] |= {"state": "running", "seconds": 0.0}
    (run / "pipeline.json").write_text(json.dumps(rows))
    looks = [
        look(0, 0.0, 0.0, 0.0, truth_se=None, proxy_se=None),
        look(steps // 2, 2 * truth, 1.0, 4.0),
        look(steps, truth + 0.25, 1.5, 9.0, early_warnings=["answers are 1.5 times as long as SFT’s"]),
    ][: 3 if finished else 2]
    lines(run / "policy/evaluations.jsonl", looks)
    done = steps if finished else steps // 2 + 2
    lines(
        run / "policy/metrics.jsonl",
        [{"step": i, "objective/scores": i / 10, "objective/kl": i / 2} for i in range(1, done + 1)],
    )
    lines(run / "sft/metrics.jsonl", [{"step": i, "nll": 5.0 - i} for i in range(1, 4)])
    if finished:
        policies = {
            "sft": look(0, 0.0, 0.0, 0.0, truth_se=None, proxy_se=None), "policy": look(steps, truth, 1.4, 8.0),
            "best": look(steps // 2, 2 * truth - 0.25, 0.9, 4.1),
        }  # fmt: skip
        table = {
            "format": 2, "recipe": resolved.table(), "seed": resolved.seed, "policies": policies, "best_step": steps // 2,
            "verdict": {"word": "over-optimised", "rule": "past the peak", "numbers": {}, "best_step": steps // 2},
            "evaluated_on": {"prompts": 64, "used_before": 0, "missing": 0}, "early_warnings": ["KL is far"], "history": looks,
            "notes": ["a note of the report"], "optimiser": {"kind": "ppo", "steps": steps},
            "doctor": {
                "findings": [{"fault": "anchor", "what": "Nothing holds it.", "evidence": {"kl": 8.0}, "because": "β is 0",
                              "advice": {"policy.kl_coef": 0.3}}],
                "checked": ["sft", "anchor"], "not_checked": {"value": "no value network"},
            },
        }  # fmt: skip
        (run / "report.json").write_text(json.dumps(table))
        (run / "report.html").write_text(
            "<!doctype html><title>r</title><h1>The report</h1><script>document.title='owned'</script>"
        )
    return run


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
