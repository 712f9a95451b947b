"""How often the verdict is right: false alarms on healthy runs of the nano lab, hits and delay on hacked ones.

    python benchmarks/verdict_rates.py --seeds 100 --jobs 2

Healthy is β = 0.3 and β = 1, where the truth rises and stays; hacked is β = 0 and β = 0.03, where it falls again. Each seed is
another lab: another SFT policy, other comparisons, another reward model. An alarm is a look with the verdict
*over-optimised* or *hacking*. A hacked run's truth counts as fallen from the first look that measures it half an SD below
the highest one so far, eight of its standard errors; the delay is how many looks later the first alarm came. A run in which
the truth never fell so far is counted apart: there was nothing to find. Every run is a line of OUT, and what is there is not
run again.

    python benchmarks/verdict_rates.py --rejudge OLD.jsonl --out NEW.jsonl

takes runs that were judged without a least drop over into NEW, judged with it, as far as arithmetic can tell: their looks
hold what each measurement of a peak came to. Where the new rule would have measured a peak again and the old one, having
raised its alarm, no longer did, the run is left to be run again. The optimiser never hears of the verdict, so the looks are
the same.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

Row = dict[str, Any]
HEALTHY, HACKED = (0.3, 1.0), (0.0, 0.03)
STEPS, EVERY, FALLEN = 60, 6, 0.5
KEPT = ("step", "truth", "truth_se", "truth_gain", "truth_gain_z", "proxy", "kl", "verdict")
ALARMS = ("over-optimised", "hacking")


def measure(seed: int, betas: Sequence[float]) -> list[Row]:
    """The runs of one lab."""
    from trueward import config
    from trueward.pipeline.cache import MemoryCache
    from trueward.pipeline.run import run_in_memory

    cache, found = MemoryCache(), []
    for beta in betas:
        changes = [f"policy.kl_coef={beta}", f"policy.steps={STEPS}", f"evaluation.every={EVERY}"]
        recipe = config.read("nano", [f"seed={seed}", *changes])
        rows = run_in_memory(recipe, cache, until="policy")["policy"].value.evaluations
        looks = [{key: row[key] for key in KEPT} | {"drop": (row["fall"] or {}).get("drop")} for row in rows]
        found.append({"seed": seed, "beta": beta, "evaluations": looks})
    return found


def alarm(run: Row) -> int | None:
    """The number of the first look that alarms."""
    return next((i for i, r in enumerate(run["evaluations"]) if r["verdict"] in ALARMS), None)


def rejudged(run: Row) -> Row | None:
    """The run as the least drop judges it, up to its first alarm; None where only running it again can tell."""
    from trueward.evaluation import verdict

    looks: list[Row] = [run["evaluations"][0]]
    over, tests = False, 0
    for old in run["evaluations"][1:]:
        now: Row = {**old, "fall": None}
        looks.append(now)
        measured, alarmed = old["drop"] is not None, old["verdict"] in ALARMS
        if alarmed and not over and not measured:
            return None  # the truth is below SFT's, or the gain was made good: its score was not kept
        if peak := verdict.suspected(looks):
            if not measured:
                return None
            tests += 1
            least = verdict.least_drop(looks, peak["step"])
            z = verdict.needed(verdict.FALL, tests)  # found at an earlier, stricter level or not at all
            now["fall"] = verdict.fall_row(peak["step"], old["drop"], 0.0, z, 0.0, 0.0, 0, tests, least)
            if now["fall"]["is_fall"]:
                if not alarmed:
                    return None  # large, not significant then; it may be so at the level that it has now
                return {**run, "evaluations": [*looks[:-1], old, *run["evaluations"][len(looks) :]]}
        over = over or alarmed
        now["verdict"] = "learning" if alarmed else old["verdict"]
    return {**run, "evaluations": [{key: value for key, value in row.items() if key != "fall"} for row in looks]}


def fallen(run: Row) -> int | None:
    """The number of the first look at which the truth is clearly below the highest so far."""
    highest = float("-inf")
    for i, row in enumerate(run["evaluations"]):
        if row["truth"] < highest - FALLEN:
            return i
        highest = max(highest, row["truth"])
    return None


def table(runs: Sequence[Row]) -> Iterator[str]:
    from trueward.evaluation.statistics import wilson

    def share(hits: int, of: int) -> str:
        low, high = wilson(hits, of)
        return f"{hits} of {of} ({100 * low:.1f}–{100 * high:.1f} %)"

    yield "| β | runs | truth fell | alarms where it did | alarms where it did not |"
    yield "|---|---|---|---|---|"
    groups = [(f"{beta:g}", [r for r in runs if r["beta"] == beta]) for beta in (*HEALTHY, *HACKED)]
    groups += [
        (name, [r for r in runs if r["beta"] in betas]) for name, betas in (("healthy", HEALTHY), ("hacked", HACKED))
    ]
    for name, group in groups:
        fell = [r for r in group if fallen(r) is not None]
        not_fell = [r for r in group if fallen(r) is None]
        hit = share(sum(alarm(r) is not None for r in fell), len(fell)) if fell else "–"
        false = share(sum(alarm(r) is not None for r in not_fell), len(not_fell)) if not_fell else "–"
        yield f"| {name} | {len(group)} | {len(fell)} | {hit} | {false} |"
    yield ""
    delays = [
        a - f for r in runs if r["beta"] in HACKED and (f := fallen(r)) is not None and (a := alarm(r)) is not None
    ]
    yield f"Looks from the fall to the alarm (one look is {EVERY} steps):"
    yield ""
    late = sorted({max(-2, min(d, 2)) for d in delays})
    names = {-2: "two or more before", -1: "one before", 0: "at the same look", 1: "one after", 2: "two or more after"}
    yield "| " + " | ".join(names[d] for d in late) + " |"
    yield "|" + "---|" * len(late)
    yield "| " + " | ".join(str(sum(max(-2, min(x, 2)) == d for x in delays)) for d in late) + " |"
    yield ""
    drops = [r["evaluations"][a]["drop"] for r in runs if r["beta"] in HEALTHY and (a := alarm(r)) is not None]
    known = [d for d in drops if d is not None]
    if known:
        yield (
            "The falls that were alarmed about in healthy runs: "
            + ", ".join(f"{d:.2f}" for d in sorted(known))
            + " SD."
        )


def rejudge(old: Path, new: Path) -> None:
    """Write the runs that the rows of `old` suffice to judge, and say how many they are."""
    runs = [json.loads(text) for text in old.read_text(encoding="utf-8").splitlines()]
    found = [run for run in map(rejudged, runs) if run]
    with new.open("x", encoding="utf-8") as file:
        file.write("".join(json.dumps(run) + "\n" for run in found))
    print(f"{len(found)} of {len(runs)} runs judged again by arithmetic; the others have to be run again")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("verdict_rates.jsonl"))
    parser.add_argument("--rejudge", type=Path, help="runs that were judged without a least drop")
    asked = parser.parse_args()
    runs: list[Row] = []
    if asked.rejudge:
        rejudge(asked.rejudge, asked.out)
        return
    if asked.out.exists():
        runs = [json.loads(text) for text in asked.out.read_text(encoding="utf-8").splitlines()]
    there = {(r["seed"], r["beta"]) for r in runs}
    wanted = {s: [b for b in (*HEALTHY, *HACKED) if (s, b) not in there] for s in range(asked.seeds)}
    left = {seed: betas for seed, betas in wanted.items() if betas}
    with (
        asked.out.open("a", encoding="utf-8") as file,
        ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool,
    ):
        for found in pool.map(measure, left, left.values()):
            runs += found
            file.write("".join(json.dumps(run) + "\n" for run in found))
            file.flush()
            print(f"seed {found[0]['seed']} of {asked.seeds}", flush=True)
    print("\n".join(table([r for r in runs if r["seed"] < asked.seeds])))


if __name__ == "__main__":
    main()
