"""Runs the comparisons: `make bench`, or with PYTHONPATH=benchmarks: python -m speed [--only ppo/S].

Ours and the peer's run in turn, each in a process of its own. What was measured goes into benchmarks/results.json after every
comparison; with --only the other rows stay.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from speed import meter, peers, processes, results, rows
from speed.comparisons import Comparison, chosen
from speed.sizes import Size

OUT = peers.ROOT / "benchmarks" / "results.json"
MATERIAL = peers.HOME / "material"
ELSEWHERE = ("time-to-truth", "cost", "ceiling")  # measured by programs of their own


def material(size: Size) -> Path:
    """Made on first use."""
    folder = MATERIAL / size.name
    if not folder.is_dir():
        from speed import material as made

        MATERIAL.mkdir(parents=True, exist_ok=True)
        made.make(size, folder)
    return folder


def lengths(folder: Path, count: int) -> dict[str, float]:
    """Mean lengths of the first `count` rows, in tokens; an answer's end is one."""
    read = meter.read_rows(folder / "rows.jsonl")[:count]
    return {
        "prompt": meter.mean([len(r["prompt"]) for r in read]),
        "chosen": meter.mean([len(r["chosen"]) + 1 for r in read]),
        "rejected": meter.mean([len(r["rejected"]) + 1 for r in read]),
    }


def pairs(
    comparison: Comparison, size: Size, job: dict[str, Any], count: int, tell: Callable[[str], None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """Ours and theirs in turn, each first in every other pair; what failed once isn't tried again."""
    sides = {"ours": (comparison.ours, "", comparison.ours_too), comparison.peer_name: ()}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    notes: dict[str, str] = {}
    sides[comparison.peer_name] = (comparison.peer, comparison.environment, comparison.peer_too)
    for turn in range(count):
        for name in list(sides) if turn % 2 == 0 else list(sides)[::-1]:
            if name in notes or "ours" in notes:
                continue
            module, where, too = sides[name]
            try:
                if where and (why := peers.install(where)):
                    raise processes.FailedError(f"could not be installed: {why}")
                one = processes.measure(module, {**job, **too}, where)
            except processes.FailedError as why:
                notes[name] = f"{name}: {why}"
                tell(notes[name])
                continue
            found[name].append(one)
            tell(f"{name}: {rows.number(one['rate'])} {comparison.unit}, {rows.gigabytes(one['memory'])}")
    ours, theirs = found["ours"], found[comparison.peer_name]
    if notes:  # what failed half-way is no pair
        both = min(len(ours), len(theirs))
        ours, theirs = ours[: both or None], theirs[: both or None]
    return ours, theirs, "; ".join(notes.values())


def main() -> None:
    processes.end_with_children()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="NAME or NAME/SIZE; empty: all")
    parser.add_argument("--pairs", type=int, default=0, help="runs of each side; 0: 3 on S, 2 on L")
    parser.add_argument("--steps", type=int, default=0, help="timed steps; 0: the comparison's own")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count the processor's time, not the clock's: for a busy machine, with --threads 1",
    )
    parser.add_argument("--markdown", action="store_true", help="print what results.json holds as a Markdown table")
    parser.add_argument("--out", type=Path, default=OUT)
    asked, more = parser.parse_known_args()
    if asked.markdown:
        print(rows.markdown(results.read(asked.out)))
        return
    if asked.only.split("/")[0] in ELSEWHERE:
        importlib.import_module(asked.only.split("/")[0].replace("-", "_")).main(more)
        return
    if more:
        parser.error(f"unknown: {' '.join(more)}")
    try:
        work = chosen(asked.only)
    except ValueError as error:
        sys.exit(str(error))
    said = Console(stderr=True)
    load = os.getloadavg()[0]
    machine = {
        **processes.measure("machine", {"threads": asked.threads, "cpu_time": asked.cpu_time}),
        "load": load,
        "cpu_time": asked.cpu_time,
    }
    said.print(
        f"{asked.threads} threads, products {machine['products'] / 1e9:.0f} GFLOP/s, memory {machine['reads'] / 1e9:.0f} GB/s, "
        f"load {load:.1f} before"
    )
    new = []
    for comparison, size in work:
        job = {**comparison.job(size, asked.threads), "material": str(material(size)), "cpu_time": asked.cpu_time}
        job["steps"] = asked.steps or job["steps"]
        said.print(f"{comparison.name}/{size.name}")
        ours, theirs, note = pairs(
            comparison, size, job, asked.pairs or size.pairs, lambda text: said.print(f"  {text}", markup=False)
        )
        used = lengths(material(size), (job["warm_up"] + job["steps"]) * size.batch)
        new.append(rows.row(comparison, size, ours, theirs, used, machine, note))
        results.write(asked.out, results.merged(results.read(asked.out), new[-1:]))
    Console().print(rows.table(new))


if __name__ == "__main__":
    main()
