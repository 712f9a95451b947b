"""How quick the studio is when it is full: 50,000 pairs, 50,000 comparisons, 16 annotators at once, a run of 100,000 steps.

    python benchmarks/studio.py
    python benchmarks/studio.py --database postgresql://me@server/empty

The studio runs as users start it, in a process of its own. Each annotator clicks every two seconds (nobody reads two
answers in less), and asks for the next pairs after each click, as the page does. Another project holds 50,000 comparisons,
two to a pair, whose page is opened. The run has 100,000 rows of 12 figures.
First paint is what Chromium says of it, in a fresh profile. Prints its table.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from trueward.records import Prompt
from trueward.studio.store import accounts, projects
from trueward.studio.store import tables as t
from trueward.studio.store.database import Database

PAIRS, PEOPLE, EVERY, STEPS = 50_000, 16, 2.0, 100_000


def furnish(database: Database) -> list[str]:
    """The project and the annotators' tokens."""

    def work(connection: Any) -> list[str]:
        projects.create(connection, "p", overlap=2)
        pairs = [
            projects.pair(Prompt(text=f"prompt {i}"), (f"one {i} " * 30, f"two {i} " * 30), ("", ""), (True, True))
            for i in range(PAIRS)
        ]
        projects.add_pairs(connection, projects.get(connection, "p"), pairs)
        people = [accounts.create(connection, f"person {i}", "annotator") for i in range(PEOPLE)]
        return [accounts.grant(connection, number, "token") for number in people]

    return database.write(work)


def judged(database: Database) -> None:
    """A project in which 25,000 pairs have two comparisons each, written straight into the tables."""

    def work(connection: Any) -> None:
        projects.create(connection, "judged", overlap=2)
        project = projects.get(connection, "judged")
        pairs = [
            projects.pair(Prompt(text=f"asked {i}"), (f"one {i} " * 30, f"two {i} " * 30), ("", ""), (True, True))
            for i in range(PAIRS // 2)
        ]
        projects.add_pairs(connection, project, pairs)
        mine = t.item.c.project_id == project.id
        items = connection.execute(select(t.item.c.id, t.item.c.first_id, t.item.c.second_id).where(mine)).all()
        turns, said = [], []
        for item in items:
            for account in (1 + item.id % PEOPLE, 1 + (item.id + 1) % PEOPLE):
                name = f"{item.id:x}-{account}"
                turns.append({"id": name, "item_id": item.id, "account_id": account, "left_id": item.first_id,
                              "state": "answered", "leased_until": 0.0})  # fmt: skip
                chosen = item.first_id if (item.id * 7 + account * 3) % 10 < 6 else item.second_id
                said.append({"key": name, "at": 0.0, "account_id": account, "item_id": item.id, "assignment_id": name,
                             "kind": "win", "chosen_id": chosen, "strength": 2, "seconds": 5.0})  # fmt: skip
        for start in range(0, len(turns), 2000):
            connection.execute(insert(t.assignment), turns[start : start + 2000])
            connection.execute(insert(t.event), said[start : start + 2000])
        ids = {row.key: row.id for row in connection.execute(select(t.event.c.id, t.event.c.key))}
        own = update(t.assignment).where(t.assignment.c.id == bindparam("turn")).values(answer_id=bindparam("said"))
        connection.execute(own, [{"turn": turn["id"], "said": ids[turn["id"]]} for turn in turns])
        connection.execute(update(t.item).where(mine).values(spare=0))

    database.write(work)


def long_run(home: Path) -> None:
    (home / "long" / "policy").mkdir(parents=True)
    (home / "long" / "recipe.toml").write_text('name = "long"\n')
    (home / "long" / "pipeline.json").write_text(json.dumps([{"name": "policy", "state": "done", "seconds": 1.0}]))
    with (home / "long" / "policy" / "metrics.jsonl").open("w") as file:
        for step in range(1, STEPS + 1):
            row = {f"figure/{k}": math.sin(step / (50 + k)) for k in range(12)}
            file.write(json.dumps({"step": step, **row}) + "\n")
    with (home / "long" / "policy" / "evaluations.jsonl").open("w") as file:
        for step in range(0, STEPS + 1, 500):
            file.write(
                json.dumps({"step": step, "proxy": step / 1e5, "truth": math.sin(step / 4e4), "kl": step / 1e4}) + "\n"
            )


class Caller:
    """One person's connection."""

    def __init__(self, port: int, token: str) -> None:
        self.line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}

    def post(self, path: str, body: Any) -> tuple[float, Any]:
        """Milliseconds and the answer."""
        started = time.perf_counter()
        self.line.request("POST", path, json.dumps(body), self.headers)
        reply = self.line.getresponse()
        found = json.loads(reply.read())
        assert reply.status == 200, found
        return 1000 * (time.perf_counter() - started), found


def sit(port: int, token: str, seconds: float, number: int, took: dict[str, list[float]]) -> None:
    caller = Caller(port, token)
    time.sleep(EVERY * number / PEOPLE)
    items = caller.post("/api/projects/p/queue", {"count": 4})[1]["items"]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        click = {"assignment": items[0]["assignment"], "key": uuid.uuid4().hex, "kind": "win", "side": "left"}
        stored, _ = caller.post("/api/answers", click)
        fetched, reply = caller.post("/api/projects/p/queue", {"count": 4})
        items = reply["items"]
        took["click"].append(stored)
        took["next"].append(fetched)
        time.sleep(max(0.0, EVERY - (stored + fetched) / 1000))


def painted(address: str) -> dict[str, float]:
    """Milliseconds to the first paint of each page, and until a run's curves are there."""
    from playwright.sync_api import sync_playwright

    found: dict[str, float] = {}
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(address)
        page.get_by_role("banner").wait_for()
        base = address.split("#")[0]
        for name, path, ready in (
            ("compare", "compare/p", ".answer"),
            ("project", "projects/p", "text=Drop a file here"),
            ("50,000 comparisons", "projects/judged", "text=Drop a file here"),
            ("runs", "runs", "text=long"),
            ("run of 100,000 steps", "runs/long", "text=100,000 rows"),
        ):
            started = time.perf_counter()
            page.goto(base + path)
            page.locator(ready).first.wait_for()
            found[f"{name}: all there"] = 1000 * (time.perf_counter() - started)
            paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            found[f"{name}: first paint"] = page.evaluate(paint)
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", default="")
    parser.add_argument("--seconds", type=float, default=30.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        database = Database(home / "studio", asked.database)
        started = time.perf_counter()
        tokens = furnish(database)
        filling = time.perf_counter() - started
        judged(database)
        database.close()
        long_run(home / "runs")
        command = [sys.executable, "-m", "trueward", "studio", "--port", "0"]
        running = subprocess.Popen(  # noqa: S603
            [*command, *(["--database", asked.database] if asked.database else [])],
            cwd=home, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        try:
            assert running.stdout
            address = running.stdout.readline().split(": ", 1)[1].strip()
            port = int(re.search(r":(\d+)/", address)[1])  # type: ignore[index]
            took: dict[str, list[float]] = {"click": [], "next": []}
            people = [
                threading.Thread(target=sit, args=(port, token, asked.seconds, i, took))
                for i, token in enumerate(tokens)
            ]
            for person in people:
                person.start()
            for person in people:
                person.join()
            pages = painted(address)
        finally:
            running.kill()
            running.wait()
    print(f"{PAIRS:,} pairs put in: {filling:.1f} s")
    print(f"{len(took['click']):,} clicks of {PEOPLE} annotators in {asked.seconds:.0f} s")
    print(f"{'':34}{'median':>9}{'95 %':>9}{'worst':>9}   ms")
    for name, label in (("click", "a click is stored"), ("next", "the next pairs are there")):
        times = sorted(took[name])
        shown = [times[len(times) // 2], times[int(0.95 * len(times))], times[-1]]
        print(f"{label:34}" + "".join(f"{v:9.1f}" for v in shown))
    for label, value in pages.items():
        print(f"{label:34}{value:9.0f}")


if __name__ == "__main__":
    main()
