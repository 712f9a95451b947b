"""How fast each row of the table could be at most: if nothing took time but its matrix products, attention and the optimiser.

    PYTHONPATH=benchmarks python benchmarks/ceiling.py --rows ppo/S

Our program of each row of results.json runs under torch's profiler. Its products, attention and optimiser, at their own shapes
and on the data of the benchmark, are what it can't do without in float32 with these libraries; all else together is what could
be saved. The row gets `ceiling`, the ratio to the peer that would then come out, and `kinds`, seconds a step.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from speed import comparisons, processes, results
from speed.__main__ import OUT, material
from speed.results import Row
from speed.watched import KINDS

STEPS = {"S": 3, "L": 1}


def ceiling(kinds: dict[str, float], units: float, peer: float) -> float:
    """Times the peer's rate, if a step of so many units took what KINDS take."""
    return units / sum(kinds[name] for name in KINDS) / peer


def measured(row: Row, threads: int) -> Row:
    """The row, with its ceiling."""
    (comparison, size), *_ = comparisons.chosen(f"{row['name']}/{row['size']}")
    job: dict[str, Any] = {
        **comparison.job(size, threads), "material": str(material(size)), "cpu_time": False, "program": comparison.ours,
        "steps": STEPS[size.name], **comparison.ours_too,
    }  # fmt: skip
    found = processes.measure("watched", job)
    return {**row, "ceiling": ceiling(found["kinds"], found["units_each"], row["peer"]), "kinds": found["kinds"]}


def cells(row: Row) -> tuple[str, ...]:
    whole = sum(row["kinds"].values())
    shares = (f"{100 * row['kinds'][name] / whole:.0f} %" for name in (*KINDS, "the rest"))
    return row["name"], row["size"], f"{row['ratio']:.2f}", f"{row['ceiling']:.2f}", *shares


HEAD = ("what", "size", "times", "at most", *KINDS, "the rest")


def main(argv: list[str] | None = None) -> None:
    processes.end_with_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="", help="NAME or NAME/SIZE; empty: every row that there is")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--markdown", action="store_true", help="print what is in the file")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(argv)
    names = {c.name for c in comparisons.ALL}
    rows = [r for r in results.read(asked.out) if r["name"] in names and r["ratio"] is not None]
    rows = [r for r in rows if asked.rows in ("", r["name"], f"{r['name']}/{r['size']}")]
    if asked.markdown:
        lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
        print("\n".join([*lines, *("| " + " | ".join(cells(r)) + " |" for r in rows if "ceiling" in r)]))
        return
    table = Table(*HEAD, title="What could be reached at most")
    for row in rows:
        new = measured(row, asked.threads)
        results.write(asked.out, results.merged(results.read(asked.out), [new]))
        table.add_row(*cells(new))
    Console().print(table)


if __name__ == "__main__":
    main()
