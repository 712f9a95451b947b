"""The runs of docs/failures.md, each as its command makes it: what came of them, and what the doctor says.

    python benchmarks/failures.py --out failures.jsonl
    python benchmarks/failures.py --read --out failures.jsonl

One run each, so the table shows that something happens, and measures nothing. A line of OUT for each run, with its evaluations,
and what is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
RUNS: tuple[tuple[str, str, str], ...] = (  # recipe, ablation, settings; as the page's commands have them
    ("tiny", "", ""),
    ("nano", "", ""),
    ("tiny", "sft", ""),
    ("tiny", "comparisons", ""),
    ("nano", "comparisons", ""),
    ("tiny", "labels", ""),
    ("tiny", "", "comparisons.count=300 reward.held_out=0.3 reward.epochs=30"),
    ("nano", "normalisation", ""),
    ("nano", "", "seed=1"),
    ("nano", "normalisation", "seed=1"),
    ("tiny", "normalisation", ""),
    ("tiny", "", "sampler.max_new_tokens=8 comparisons.count=2000 policy.steps=2"),
    ("tiny", "", "sampler.max_new_tokens=8 comparisons.count=2000"),
    ("tiny", "", "reward.learning_rate=5e-5 comparisons.count=4000 reward.probe=4000"),
    ("tiny", "", "comparisons.length_bias=5 comparisons.count=2000 policy.steps=8"),
    ("nano", "", "comparisons.count=320 reward.cross_check=true policy.steps=20"),
    ("nano", "anchor", ""),
    ("tiny", "anchor", ""),
    ("tiny", "slack", ""),
    ("nano", "slack", ""),
    ("tiny", "", "policy.learning_rate=1e-5 comparisons.count=2000"),
    ("tiny", "eos-penalty", "seed=3 policy.kl_coef=0.03"),
    ("tiny", "", "seed=3 policy.kl_coef=0.03"),
    ("nano", "", "policy.kl_coef=0.1 policy.steps=60"),
    ("tiny", "value", ""),
    ("nano", "value", ""),
    ("tiny", "", "policy.critic.start=zero"),
    ("tiny", "length", ""),
)
LOOK = ("step", "proxy", "truth", "kl", "outlier_share", "length", "eos_rate", "second_gain")


def name(run: tuple[str, str, str]) -> str:
    """The run's command after `trueward run`."""
    recipe, ablation, settings = run
    return " ".join(
        [recipe, *([f"--without {ablation}"] if ablation else []), *(f"--set {s}" for s in settings.split())]
    )


def measure(run: tuple[str, str, str]) -> Row:
    """Make one run, and keep what the page speaks of."""
    from trueward import pipeline
    from trueward.config import ablations
    from trueward.pipeline.doctor_inputs import diagnose_run
    from trueward.progress import Progress

    recipe, ablation, settings = run
    resolved = ablations.read(recipe, ["runtime.threads=1", *settings.split()], [ablation] if ablation else [])
    with tempfile.TemporaryDirectory() as home:
        pipeline.run_pipeline(resolved, Path(home), "run", Progress())
        folder = Path(home) / "run"
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        looks = (folder / "policy/evaluations.jsonl").read_text(encoding="utf-8").splitlines()
        found = diagnose_run(folder)
    return {
        "run": name(run),
        "verdict": report["verdict"]["word"],
        "policies": report["policies"],
        "reward_model": report["reward_model"],
        "findings": [{"fault": f.fault, "evidence": f.evidence} for f in found.findings],
        "evaluations": [{key: look.get(key) for key in LOOK} for look in map(json.loads, looks)],
    }


def cells(row: Row) -> list[str]:
    """A run in the table."""
    sft, policy, model = row["policies"]["sft"], row["policies"]["policy"], row["reward_model"]
    named = ", ".join(f"`{finding['fault']}`" for finding in row["findings"])
    return [
        f"`{row['run']}`",
        f"{policy['proxy']:.2f}",
        f"{sft['truth']:.2f} → {policy['truth']:.2f}",
        f"{100 * policy['win_rate']:.0f} %",
        f"{policy['kl']:.1f}",
        f"{100 * policy['eos_rate']:.0f} %",
        f"{policy['length']:.1f}",
        f"{100 * model['accuracy']:.0f} % ({100 * model['accuracy_low']:.0f}–{100 * model['accuracy_high']:.0f})",
        named or "nothing found",
    ]


def table(rows: Sequence[Row]) -> Iterator[str]:
    """A row a run, in the page's order."""
    found = {row["run"]: row for row in rows}
    yield "| run | proxy | truth, SFT → policy | win rate | KL | ended | tokens | accuracy of the reward model | doctor |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for run in RUNS:
        if row := found.get(name(run)):
            yield ("| " + " | ".join(cells(row)) + " |").replace("| -", "| −").replace("→ -", "→ −")


def read(out: Path) -> list[Row]:
    """The runs so far."""
    return [json.loads(text) for text in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--read", action="store_true", help="print the table of what is there")
    parser.add_argument("--out", type=Path, default=Path("failures.jsonl"))
    asked = parser.parse_args()
    rows = read(asked.out)
    there = {row["run"] for row in rows}
    with asked.out.open("a", encoding="utf-8") as file:
        for run in RUNS:
            if not asked.read and name(run) not in there:
                rows.append(measure(run))
                print(json.dumps(rows[-1]), file=file, flush=True)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
