"""A studio that is killed in the middle of its work loses no click and gives no item away too often."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import select

from trueward.records import Prompt
from trueward.studio.store import accounts, counts, projects
from trueward.studio.store import tables as t
from trueward.studio.store.database import Database

ITEMS, OVERLAP, PEOPLE, KILLS = 60, 2, 16, 3


class Client:
    """Somebody who asks until an answer comes, under the same key, as the page does."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.token}"}
        for _ in range(400):
            line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                line.request("POST", path, json.dumps(body), headers)
                reply = line.getresponse()
                found = json.loads(reply.read())
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(0.1)
                continue
            finally:
                line.close()
            assert reply.status == 200, f"{path}: {reply.status} {found}"
            return dict(found)
        raise AssertionError("the studio did not come back")


def start(folder: Path, port: int, url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "trueward", "studio", "--port", str(port), "--data", str(folder / "studio")]
    running = subprocess.Popen(
        [*command, *(["--database", url] if url else [])], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=folder,
    )  # fmt: skip
    assert running.stdout
    assert re.match(rf"The studio: http://127\.0\.0\.1:{port}/#key=tw_\S+\n", running.stdout.readline())
    return running


def end_of(running: subprocess.Popen[str]) -> None:
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert running.stdout
    running.stdout.close()


def test_a_kill_in_the_middle(tmp_path: Path, url: str) -> None:
    database = Database(tmp_path / "studio", url)

    def set_up(connection: Any) -> list[str]:
        projects.create(connection, "p", overlap=OVERLAP)
        pairs = [projects.pair(Prompt(text=f"p{i}"), (f"a{i}", f"b{i}"), ("", ""), (True, True)) for i in range(ITEMS)]
        projects.add_pairs(connection, projects.get(connection, "p"), pairs)
        people = [accounts.create(connection, f"person {i}", "annotator") for i in range(PEOPLE)]
        return [accounts.grant(connection, number, "token") for number in people]

    tokens = database.write(set_up)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = start(tmp_path, port, url)
    heard: list[tuple[str, str]] = []
    problems: list[BaseException] = []

    def sit(token: str) -> None:
        client = Client(port, token)
        try:
            while items := client.post("/api/projects/p/queue", {"count": 2})["items"]:
                for item in items:
                    key = uuid.uuid4().hex
                    body = {"assignment": item["assignment"], "key": key, "kind": "win", "side": "left"}
                    heard.append((key, client.post("/api/answers", body)["state"]))
                    time.sleep(0.01)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=sit, args=(token,)) for token in tokens]
    for thread in threads:
        thread.start()
    try:
        for kill in range(KILLS):
            end = time.monotonic() + 60
            while len(heard) < (kill + 1) * ITEMS * OVERLAP // (KILLS + 2) and time.monotonic() < end:
                time.sleep(0.005)
            assert any(thread.is_alive() for thread in threads), "all was done before the kill"
            end_of(running)
            running = start(tmp_path, port, url)
        for thread in threads:
            thread.join(timeout=120)
    finally:
        end_of(running)
    assert problems == []
    with database.reading() as connection:
        votes = counts.votes(connection, projects.get(connection, "p").id)
        stored = {row.key for row in connection.execute(select(t.event.c.key)).all()}
        spare = sum(connection.scalars(select(t.item.c.spare)))
    assert {key for key, _ in heard} == stored
    assert Counter(state for _, state in heard) == {"answered": ITEMS * OVERLAP}
    assert Counter(Counter(v.item_id for v in votes).values()) == {OVERLAP: ITEMS}
    assert spare == 0
    database.close()
