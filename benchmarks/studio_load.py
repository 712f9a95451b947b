"""How many annotators a studio takes: more and more of them click at once, until clicks wait.

    python benchmarks/studio_load.py
    TRUEWARD_DATABASE=postgresql://me@server/empty python benchmarks/studio_load.py

The studio runs as users start it, in a process of its own, over a project of 50,000 pairs. Each annotator stores an answer and
asks for the next pairs, and clicks again two seconds after the last click; a person who reads takes ten times that. The callers
are threads of one process on the same machine. Printed: clicks a second that were stored, of those that were due; how long an
answer takes to be stored and the next pairs to come, median, 95 % and worst; seconds of processor that the studio took for a
click; and what the database held at the end, counted. On SQLite, and on the database that $TRUEWARD_DATABASE names.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

import studio
from trueward.studio.store import accounts
from trueward.studio.store import tables as t
from trueward.studio.store.database import Database

HEAD = (
    "",
    "annotators", "clicks due a second", "stored a second", "stored: median, 95 %, worst, ms",
    "next pairs: median, 95 %, worst, ms", "processor a click, ms",
)  # fmt: skip


def processor(process: int) -> float:
    """Seconds of processor that a process and its threads have taken."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def more(database: Database, people: int) -> list[str]:
    """Tokens of so many new annotators."""

    def work(connection: Any) -> list[str]:
        there = connection.execute(select(func.count()).select_from(t.account)).scalar_one()
        numbers = [accounts.create(connection, f"caller {there + i}", "annotator") for i in range(people)]
        return [accounts.grant(connection, number, "token") for number in numbers]

    return database.write(work)


def shown(times: list[float]) -> str:
    """Median, 95 % and worst."""
    ordered = sorted(times)
    return ", ".join(f"{v:.0f}" for v in (ordered[len(ordered) // 2], ordered[int(0.95 * len(ordered))], ordered[-1]))


def crowd(name: str, port: int, server: int, tokens: list[str], seconds: float) -> tuple[str, int]:
    """A row of the table, and how many answers were stored."""
    took: dict[str, list[float]] = {"click": [], "next": []}
    studio.PEOPLE = len(tokens)  # over whom the first clicks are spread
    callers = [
        threading.Thread(target=studio.sit, args=(port, token, seconds, i, took)) for i, token in enumerate(tokens)
    ]
    before, started = processor(server), time.perf_counter()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    wall, used, clicks = time.perf_counter() - started, processor(server) - before, len(took["click"])
    cells = [
        name,
        str(len(tokens)), f"{len(tokens) / studio.EVERY:.0f}", f"{clicks / wall:.1f}",
        shown(took["click"]), shown(took["next"]), f"{1000 * used / clicks:.1f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |", clicks


def measure(address: str, crowds: list[int], seconds: float) -> None:
    """The rows of one database, and what was in it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        database = Database(home / "studio", address)
        studio.furnish(database)
        (home / "runs").mkdir()
        command = [sys.executable, "-m", "trueward", "studio", "--port", "0"]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        env.pop("TRUEWARD_DATABASE", None)
        running = subprocess.Popen(  # noqa: S603
            [*command, *(["--database", address] if address else [])],
            cwd=home, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env,
        )  # fmt: skip
        name, total = "PostgreSQL" if address else "SQLite", 0
        try:
            assert running.stdout
            port = int(re.search(r":(\d+)/", running.stdout.readline())[1])  # type: ignore[index]
            for people in crowds:
                row, clicks = crowd(name, port, running.pid, more(database, people), seconds)
                total += clicks
                print(row, flush=True)
        finally:
            running.kill()
            running.wait()
        with database.reading() as connection:
            wins = select(func.count()).select_from(t.event).where(t.event.c.kind == "win")
            stored = connection.execute(wins).scalar_one()
        database.close()
    print(f"{name}: {total:,} answers were said to be stored, {stored:,} are there", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", default="8,32,64,128,256", help="how many at once, one crowd after the other")
    parser.add_argument("--seconds", type=float, default=15.0)
    asked = parser.parse_args()
    print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|")
    for address in filter(None, ("sqlite", os.environ.get("TRUEWARD_DATABASE", ""))):
        measure("" if address == "sqlite" else address, [int(n) for n in asked.people.split(",")], asked.seconds)


if __name__ == "__main__":
    main()
