"""How often the doctor is right: twenty healthy and twenty broken runs of `tiny` and of `nano` each.

    python benchmarks/doctor_rates.py --out doctor_rates.jsonl
    python benchmarks/doctor_rates.py --read --out doctor_rates.jsonl

The healthy ones are the recipes as they ship, seeds 0 to 19; a few of those are ill without anybody's doing, and the table says
what the truth did where something was found. The broken ones are ten faults on two seeds each, made by the settings of
docs/failures.md. *Hit*: the fault is named first. *Late*: it is named, after another one. *Missed*: it isn't named. A *false
name* is any finding of a healthy run, and in a broken one what is named before the fault, or instead of it. Every run is a line
of OUT, and what is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

Row = dict[str, Any]
HEALTHY, SEEDS = 20, 2
QUICK = ("runtime.threads=1", "reward.learning_curve=false")


@dataclass(frozen=True)
class Planted:
    """A fault made on purpose. named: the doctor's words for it, of which any is right."""

    fault: str
    changes: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What the doctor may call it."""
        return self.named or (self.fault,)


MORE = ("comparisons.count=2000",)
BIASED = ("comparisons.length_bias=5", *MORE)
FAULTS: dict[str, tuple[Planted, ...]] = {
    "tiny": (
        Planted("sft", (), ("sft",)),
        Planted("comparisons", (), ("comparisons",)),
        Planted("labels", (), ("labels",)),
        Planted("overfitting", ("comparisons.count=300", "reward.held_out=0.3", "reward.epochs=30")),
        Planted("normalisation", MORE, ("normalisation",)),
        Planted("length-reward", BIASED, (), ("length-reward", "length")),
        Planted("anchor", ("policy.learning_rate=0.01", "policy.steps=30", *MORE), ("anchor",)),
        Planted("slack", MORE, ("slack",)),
        Planted("unmoved", ("policy.learning_rate=1e-5", *MORE)),
        Planted("value", MORE, ("value",)),
    ),
    "nano": (
        Planted("comparisons", (), ("comparisons",)),
        Planted("labels", (), ("labels",)),
        Planted("overfitting", ("comparisons.count=300", "reward.held_out=0.3", "reward.epochs=100")),
        Planted("normalisation", (), ("normalisation",)),
        Planted("value", (), ("value",)),  # annotators who like length have no say: all answers are as long
        Planted("cross-check", ("comparisons.count=320", "reward.cross_check=true", "policy.steps=20")),
        Planted("anchor", (), ("anchor",), ("anchor", "stale")),
        Planted("stale", ("policy.kl_coef=0.1", "policy.steps=60")),
        Planted("slack", (), ("slack",)),
        Planted("unmoved", ("policy.learning_rate=1e-4",)),
    ),
}


@dataclass(frozen=True)
class Wanted:
    """A run: of a recipe, with a fault or healthy."""

    recipe: str
    seed: int
    planted: Planted | None = None

    @property
    def key(self) -> tuple[str, int, str]:
        """What its row is found by."""
        return self.recipe, self.seed, self.planted.fault if self.planted else ""


def wanted() -> list[Wanted]:
    """All runs, broken ones first, since they take up the seeds that the healthy ones begin with."""
    runs = []
    for recipe, faults in FAULTS.items():
        runs += [Wanted(recipe, seed, planted) for seed in range(SEEDS) for planted in faults]
        runs += [Wanted(recipe, seed) for seed in range(HEALTHY)]
    return runs


def measure(run: Wanted) -> Row:
    """One run, and what the doctor says of it."""
    from trueward import pipeline
    from trueward.config import ablations
    from trueward.pipeline.doctor_inputs import diagnose_run
    from trueward.progress import Progress

    planted = run.planted or Planted("")
    recipe = ablations.read(run.recipe, [*QUICK, f"seed={run.seed}", *planted.changes], planted.without)
    with tempfile.TemporaryDirectory() as home:
        pipeline.run_pipeline(recipe, Path(home), "run", Progress())
        found = diagnose_run(Path(home) / "run")
        report = json.loads((Path(home) / "run/report.json").read_text(encoding="utf-8"))
    return {
        "recipe": run.recipe,
        "seed": run.seed,
        "planted": planted.fault,
        "named": [finding.fault for finding in found.findings],
        "verdict": report["verdict"]["word"],
        "truth_gain": report["verdict"]["numbers"]["truth_gain"],
        "accuracy": report["reward_model"]["accuracy"],
    }


def outcome(row: Row) -> str:
    """Of a broken run: hit, late or missed."""
    (planted,) = (p for p in FAULTS[row["recipe"]] if p.fault == row["planted"])
    if not set(planted.names) & set(row["named"]):
        return "missed"
    return "hit" if row["named"][0] in planted.names else "late"


def false_names(row: Row) -> list[str]:
    """Findings that are none: all of a healthy run's; of a broken one those before its fault, or all where that isn't named."""
    if not row["planted"]:
        return list(row["named"])
    (planted,) = (p for p in FAULTS[row["recipe"]] if p.fault == row["planted"])
    before: list[str] = []
    for name in row["named"]:
        if name in planted.names:
            break
        before.append(name)
    return before


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Hits, misses and false names, by recipe and fault; then the healthy runs in which something was found."""
    yield "| | fault | runs | hit | late | missed | named falsely |"
    yield "|---|---|---|---|---|---|---|"
    for recipe, faults in FAULTS.items():
        broken = [row for row in rows if row["recipe"] == recipe and row["planted"]]
        for planted in faults:
            mine = [row for row in broken if row["planted"] == planted.fault]
            if mine:
                yield _line(f"`{recipe}`", f"`{planted.fault}`", mine)
        if broken:
            yield _line(f"**`{recipe}`**", "**all**", broken)
    yield ""
    yield "| healthy | runs | nothing found | something found |"
    yield "|---|---|---|---|"
    for recipe in FAULTS:
        mine = [row for row in rows if row["recipe"] == recipe and not row["planted"]]
        if mine:
            ill = [row for row in mine if row["named"]]
            said = "; ".join(
                f"seed {row['seed']}: {', '.join(f'`{name}`' for name in row['named'])} (accuracy "
                f"{100 * row['accuracy']:.0f} %, truth {row['truth_gain']:+.2f} SD, *{row['verdict']}*)"
                for row in ill
            )
            yield f"| `{recipe}` | {len(mine)} | {len(mine) - len(ill)} | {said or 'none'} |"


def _line(recipe: str, fault: str, rows: Sequence[Row]) -> str:
    outcomes = [outcome(row) for row in rows]
    counts = " | ".join(str(outcomes.count(word)) for word in ("hit", "late", "missed"))
    false = [f"`{name}`" for row in rows for name in false_names(row)]
    said = ", ".join(f"{name} {false.count(name)}" for name in dict.fromkeys(false))
    return f"| {recipe} | {fault} | {len(rows)} | {counts} | {said or 'none'} |"


def read(out: Path) -> list[Row]:
    """The runs so far."""
    return [json.loads(text) for text in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--read", action="store_true", help="print the table of what is there")
    parser.add_argument("--out", type=Path, default=Path("doctor_rates.jsonl"))
    asked = parser.parse_args()
    rows = read(asked.out)
    there = {(row["recipe"], row["seed"], row["planted"]) for row in rows}
    left = [] if asked.read else [run for run in wanted() if run.key not in there]
    with (
        asked.out.open("a", encoding="utf-8") as file,
        ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool,
    ):
        for row in pool.map(measure, left):
            rows.append(row)
            print(json.dumps(row), file=file, flush=True)
            print(f"{row['recipe']} {row['planted'] or 'healthy'}, seed {row['seed']}: {row['named']}", flush=True)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
