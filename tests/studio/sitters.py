"""People of tests who ask a studio until it answers, and studios that are processes of their own and can be killed."""

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
from pathlib import Path
from typing import Any

from trueward.records import Prompt
from trueward.studio.store import accounts, projects


class Client:
    """Somebody who asks until an answer comes, under the same key, as the page does."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token
        self.put_off = 0  # how often the studio said that its database is away

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
            if reply.status == 503:
                self.put_off += 1
                time.sleep(0.1)
                continue
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


def set_up(connection: Any, items: int, overlap: int, people: int) -> list[str]:
    """A project `p` and people who may judge it: their tokens."""
    projects.create(connection, "p", overlap=overlap)
    pairs = [projects.pair(Prompt(text=f"p{i}"), (f"a{i}", f"b{i}"), ("", ""), (True, True)) for i in range(items)]
    projects.add_pairs(connection, projects.get(connection, "p"), pairs)
    numbers = [accounts.create(connection, f"person {i}", "annotator") for i in range(people)]
    return [accounts.grant(connection, number, "token") for number in numbers]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Sitting:
    """Everybody at once, until nothing is left: the answers that were confirmed, and what went wrong."""

    def __init__(self, port: int, tokens: list[str]) -> None:
        self.confirmed: list[tuple[str, str]] = []
        self.problems: list[BaseException] = []
        self.clients = [Client(port, token) for token in tokens]
        self.threads = [threading.Thread(target=self._sit, args=(client,)) for client in self.clients]
        for thread in self.threads:
            thread.start()

    def _sit(self, client: Client) -> None:
        try:
            while items := client.post("/api/projects/p/queue", {"count": 2})["items"]:
                for item in items:
                    key = uuid.uuid4().hex
                    body = {"assignment": item["assignment"], "key": key, "kind": "win", "side": "left"}
                    self.confirmed.append((key, client.post("/api/answers", body)["state"]))
                    time.sleep(0.01)
        except BaseException as problem:
            self.problems.append(problem)

    def until(self, answers: int) -> None:
        """Wait for so many answers; they are not all."""
        end = time.monotonic() + 60
        while len(self.confirmed) < answers and time.monotonic() < end:
            time.sleep(0.005)
        assert any(thread.is_alive() for thread in self.threads), "all was done before the kill"

    def join(self) -> None:
        for thread in self.threads:
            thread.join(timeout=120)
