"""The real runs of the lab's second and third chapter, recorded anew: `python scripts/record_lab.py nano`, then `reviews`.

    python scripts/record_lab.py nano [--runs DIR]      12 runs of nano, one a value of β; some minutes on one core
    python scripts/record_lab.py reviews [--runs DIR]   one run of reviews without an anchor; a quarter of an hour

Writes src/trueward/lab/nano.json and reviews.json. A run that is in DIR already is not made again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LAB = ROOT / "src/trueward/lab"
BETAS = (0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.25, 2.5, 5, 10, 20)  # each about twice the one before
POINTS = (0, 5, 10, 20, 40)  # steps of the run whose answers are shown
PROMPTS = 3

Row = dict[str, Any]


def made(recipe: str, changes: Mapping[str, float], out: Path) -> tuple[list[str], list[Row], list[Row]]:
    """The command of a run, its evaluations, and the answers of its evaluations."""
    sets = [part for name, value in changes.items() for part in ("--set", f"{name}={value:g}")]
    command = ["run", recipe, *sets]
    if not (out / "report.json").exists():
        subprocess.run([sys.executable, "-m", "trueward", *command, "--out", str(out)], check=True, cwd=out.parent)
    evaluations, samples = (
        [json.loads(line) for line in (out / f"policy/{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in ("evaluations", "samples")
    )
    return ["trueward", *command], evaluations, samples


def record_nano(runs: Path) -> Row:
    rows = []
    for beta in BETAS:
        _, evaluations, samples = made("nano", {"policy.kl_coef": beta}, runs / f"nano-{beta:g}")
        last = evaluations[-1]
        answer = next(s for s in samples if s["step"] == last["step"])
        curves = {key: [round(row[key], 2) + 0.0 for row in evaluations] for key in ("proxy", "truth", "kl")}
        rows.append(
            {"beta": beta, **curves, "verdict": last["verdict"], "rule": last["rule"], "answer": answer["response"]}
        )
    steps = [row["step"] for row in evaluations]
    return {"recipe": "nano", "seed": 0, "prompt": answer["prompt"], "steps": steps, "runs": rows}


def record_reviews(runs: Path) -> Row:
    changes = {"policy.kl_coef": 0, "policy.steps": 40}
    command, evaluations, samples = made("reviews", changes, runs / "reviews-hacked")
    curves = {key: [round(row[key], 2) + 0.0 for row in evaluations] for key in ("proxy", "truth", "kl")}
    means = {row["step"]: row["truth"] for row in evaluations}
    by_prompt: dict[str, dict[int, Row]] = {}
    for sample in samples:
        by_prompt.setdefault(sample["prompt"], {})[sample["step"]] = sample
    whole = [answers for answers in by_prompt.values() if set(answers) >= set(POINTS)]
    # not the most striking ones: those whose truths stay closest to the average of all
    whole.sort(key=lambda answers: sum(abs(answers[step]["truth"] - means[step]) for step in POINTS))
    prompts = [
        {
            "prompt": answers[0]["prompt"],
            "answers": [{"step": step, "text": answers[step]["response"], **numbers(answers[step])} for step in POINTS],
        }
        for answers in whole[:PROMPTS]
    ]
    steps = [row["step"] for row in evaluations]
    verdicts = [row["verdict"] for row in evaluations]
    return {
        "recipe": "reviews",
        "command": " ".join(command),
        "seed": 0,
        "steps": steps,
        **curves,
        "verdicts": verdicts,
        "points": list(POINTS),
        "prompts": prompts,
    }


def numbers(sample: Row) -> Row:
    return {key: round(sample[key], 2) + 0.0 for key in ("proxy", "truth")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=("nano", "reviews"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    record = {"nano": record_nano, "reviews": record_reviews}[arguments.recipe](arguments.runs.resolve())
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    path = LAB / f"{arguments.recipe}.json"
    path.write_text(written({"commit": commit, **record}) + "\n", encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB, commit {commit}")


def written(value: Any, depth: int = 0) -> str:
    """JSON with a line a row: lists of numbers stay on one line."""
    pad = " " * (depth + 1)
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {written(item, depth + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(pad + part for part in parts) + "\n" + " " * depth + "}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "[\n" + ",\n".join(pad + written(item, depth + 1) for item in value) + "\n" + " " * depth + "]"
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()
