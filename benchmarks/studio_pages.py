"""How quick the studio's pages are with 10,000 items that three people judged each, and 200 finished runs.

    python benchmarks/studio_pages.py
    python benchmarks/studio_pages.py --database postgresql://me@server/empty

The studio runs as users start it, in a process of its own. Requests come one after the other, 20 each; pages are opened in
Chromium five times each. First paint is what Chromium says of it; a page is all there when its first item, run or figure is.
At last the first pair to judge over a slow line: 400 ms to and fro, 400 kbit/s, nothing kept. Prints its tables.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from trueward.records import Prompt
from trueward.studio.store import accounts, projects, tallies
from trueward.studio.store import tables as t
from trueward.studio.store.database import Database

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "studio"))
import fake_runs

ITEMS, VOTES, RUNS, ASKED, OPENED = 10_000, 3, 200, 20, 5
WORDS = ("bread", "engine", "garden", "river", "window", "letter", "planet", "harbour")
TWELVE = "&".join(f"run=b{i % 4:02}-s{i:02}" for i in range(12))
# name, path behind /api/
REQUESTS = (
    ("home: projects", "projects"),
    ("a project's figures", "projects/p"),
    ("the desk", "projects/p/desk"),
    ("most disagreement first", "projects/p/desk?sort=disagreement&status=split"),
    ("a search", "projects/p/desk?find=harbour%20window"),
    ("one annotator's quickest", "projects/p/desk?annotator=person%201&under=4&sort=quickest"),
    ("the last page", f"projects/p/desk?page={ITEMS // 20}"),
    ("the last answers", "projects/p/answers"),
    ("200 runs", "runs"),
    ("one run", "runs/b01-s05"),
    ("a run's doctor", "runs/b01-s05/doctor"),
    ("12 runs beside each other", f"comparison?{TWELVE}"),
    ("their truth by step", f"comparison/curves?metric=evaluations/truth&{TWELVE}"),
)  # fmt: skip
# name, path, what is there when all is
PAGES = (
    ("home", "", "text=Latest runs"),
    ("a project", "projects/p", "text=Do people agree?"),
    ("the desk", "desk/p", ".item"),
    ("the desk, a search", "desk/p?find=harbour%20window", ".item"),
    ("200 runs", "runs", "text=b01-s05"),
    ("200 runs in groups over seeds", "runs?seeds=1", ".runs tbody tr"),
    ("12 runs on one plot", f"runs?{TWELVE}", ".chart svg, .chart canvas"),
    ("one run", "runs/b01-s05", "text=Proxy and truth by step"),
)  # fmt: skip


def furnish(database: Database) -> str:
    """10,000 items with three votes each, written straight into the tables; an admin's token."""

    def work(connection: Any) -> str:
        projects.create(connection, "p", overlap=VOTES)
        project = projects.get(connection, "p")
        pairs = []
        for i in range(ITEMS):
            words = " ".join(WORDS[(i * (k + 3) + k) % len(WORDS)] for k in range(40))
            sides = (f"one {i} {words}", f"two {i} {words[::-1]}")
            pairs.append(projects.pair(Prompt(text=f"prompt {i}: {words[:80]}"), sides, ("", ""), (True, True)))
        projects.add_pairs(connection, project, pairs)
        projects.create(connection, "q")
        few = [projects.pair(Prompt(text=f"q{i}"), (f"a{i}", f"b{i}"), ("", ""), (True, True)) for i in range(20)]
        people = [accounts.create(connection, f"person {i}", "annotator") for i in range(VOTES)]
        items = connection.execute(select(t.item.c.id, t.item.c.first_id, t.item.c.second_id)).all()
        turns, events = [], []
        for item in items:
            for number, account in enumerate(people):
                name = f"{item.id:x}-{account}"
                turns.append({"id": name, "item_id": item.id, "account_id": account, "left_id": item.first_id,
                              "state": "answered", "leased_until": 0.0, "position": item.id})  # fmt: skip
                chosen = item.first_id if (item.id * 7 + number * 3) % 10 < 6 else item.second_id
                events.append({"key": name, "at": 1e9 + item.id, "account_id": account, "item_id": item.id,
                               "assignment_id": name, "kind": "win", "chosen_id": chosen, "strength": 1 + item.id % 3,
                               "seconds": 2.0 + item.id % 11, "read": True})  # fmt: skip
        for start in range(0, len(turns), 2000):
            connection.execute(insert(t.assignment), turns[start : start + 2000])
            connection.execute(insert(t.event), events[start : start + 2000])
        ids = {row.key: row.id for row in connection.execute(select(t.event.c.id, t.event.c.key))}
        own = update(t.assignment).where(t.assignment.c.id == bindparam("turn")).values(answer_id=bindparam("event"))
        connection.execute(own, [{"turn": turn["id"], "event": ids[turn["id"]]} for turn in turns])
        connection.execute(update(t.item).values(spare=0))
        for item in items:
            tallies.refresh(connection, item.id)
        projects.add_pairs(connection, projects.get(connection, "q"), few)
        return accounts.grant(connection, accounts.create(connection, "boss", "admin"), "token")

    return database.write(work)


def spent(process: int) -> float:
    """Milliseconds of the processor that a process has had, its own and the kernel's for it."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def asked(port: int, token: str, process: int) -> dict[str, list[float]]:
    """Milliseconds of each request, in order, and at last the processor's for one of them on average, but for the first: that
    one meets no figures that are kept.
    """
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    took: dict[str, list[float]] = {}
    for name, path in REQUESTS:
        for turn in range(ASKED):
            if turn == 1:
                before = spent(process)
            started = time.perf_counter()
            line.request("GET", f"/api/{path}", headers={"authorization": f"Bearer {token}"})
            reply = line.getresponse()
            body = reply.read()
            assert reply.status == 200, (path, body)
            took.setdefault(name, []).append(1000 * (time.perf_counter() - started))
        took[name].append((spent(process) - before) / (ASKED - 1))
    return took


def opened(address: str) -> dict[str, tuple[float, float]]:
    """By page the milliseconds to its first paint, and until all is there: medians."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    made: dict[str, tuple[float, float]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.goto(address)
        page.get_by_role("banner").wait_for()
        for name, path, ready in PAGES:
            paints, whole = [], []
            for _ in range(OPENED):
                page.goto("about:blank")
                started = time.perf_counter()
                page.goto(address.split("#")[0] + path)
                page.locator(ready).first.wait_for()
                whole.append(1000 * (time.perf_counter() - started))
                paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
            made[name] = (sorted(paints)[OPENED // 2], sorted(whole)[OPENED // 2])
        made["the first pair, over a slow line"] = slowly(page, address.split("#")[0] + "compare/q")
        browser.close()
    return made


def slowly(page: Any, address: str) -> tuple[float, float]:
    """The same of a page of pairs over a slow line, and nothing kept from before."""
    paints, whole = [], []
    for _ in range(OPENED):
        shown = page.context.new_page()
        line = page.context.new_cdp_session(shown)
        line.send("Network.enable")
        line.send("Network.clearBrowserCache")
        slow = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 50_000}
        line.send("Network.emulateNetworkConditions", slow)
        started = time.perf_counter()
        shown.goto(address, wait_until="commit")
        shown.locator(".answer").first.wait_for()
        whole.append(1000 * (time.perf_counter() - started))
        paints.append(shown.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        shown.close()
    return sorted(paints)[OPENED // 2], sorted(whole)[OPENED // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", default="")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        database = Database(home / "studio", given.database)
        token = furnish(database)
        database.close()
        for i in range(RUNS):
            fake_runs.make(
                home / "runs", f"b{i % 4:02}-s{i:02}", f"policy.kl_coef={0.1 * (i % 4)}", f"seed={i}", steps=200
            )
        command = [sys.executable, "-m", "trueward", "studio", "--port", "0"]
        running = subprocess.Popen(  # noqa: S603
            [*command, *(["--database", given.database] if given.database else [])],
            cwd=home, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        try:
            assert running.stdout
            address = running.stdout.readline().split(": ", 1)[1].strip()
            port = int(re.search(r":(\d+)/", address)[1])  # type: ignore[index]
            took = asked(port, token, running.pid)
            pages = opened(address)
        finally:
            running.kill()
            running.wait()
    print(f"{'a request':34}{'first':>9}{'median':>9}{'processor':>11}   ms")
    for name, (*times, busy) in took.items():
        print(f"{name:34}{times[0]:9.0f}{sorted(times)[ASKED // 2]:9.0f}{busy:11.0f}")
    print(f"\n{'a page':34}{'first paint':>12}{'all there':>12}   ms")
    for name, (paint, whole) in pages.items():
        print(f"{name:34}{paint:12.0f}{whole:12.0f}")


if __name__ == "__main__":
    main()
