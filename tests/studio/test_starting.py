"""A recipe started from a page: by whom, on what, one at a time, as a list of arguments; found again, ended, and told of."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from trueward import artifacts
from trueward.studio.api.place import Studio
from trueward.studio.runs import starting
from trueward.studio.runs.starting import NotStartedError, RunStarter
from trueward.studio.store import accounts

Client = Callable[..., TestClient]
PATH = "/api/projects/my%20pairs/start"
# what stands in for the command: it tells how it was called, and goes on until it is ended
PROGRAM = """
import json, os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
own = os.getsid(0) == os.getpid()
print(json.dumps({"arguments": sys.argv[1:], "data": os.environ["TRUEWARD_STUDIO"], "session": own}), flush=True)
time.sleep(600)
"""


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each start runs a small program in the place of trueward, with the same arguments."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    spawn = RunStarter._spawn

    def put(self: RunStarter, command: list[str], about: dict[str, Any]) -> None:
        assert command[:3] == [sys.executable, "-m", "trueward"]
        spawn(self, [sys.executable, str(program), *command[3:]], about)

    monkeypatch.setattr(RunStarter, "_spawn", put)


@pytest.fixture
def admin(client: Client, studio: Studio) -> Any:
    """An admin of a studio that starts runs, and a project with a closed round."""
    studio.starter = RunStarter(studio.runs.home, studio.data)
    boss = client("boss", "admin")
    boss.post("/api/projects", json={"name": "my pairs"})
    row = {"prompt": "q", "first": "one", "second": "two"}
    boss.post("/api/projects/my%20pairs/import", json={"text": json.dumps(row)})
    item = boss.post("/api/projects/my%20pairs/queue", json={}).json()["items"][0]
    given = {"assignment": item["assignment"], "key": secrets.token_hex(8), "kind": "win", "side": "left"}
    boss.post("/api/answers", json=given)
    yield boss
    studio.starter.stop()
    if studio.starter.process is not None:
        studio.starter.process.wait(timeout=30)


def close(admin: TestClient) -> None:
    assert admin.post("/api/projects/my%20pairs/close", json={}).status_code == 200


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def start(admin: TestClient, recipe: str = "tiny", run: str = "mine-1") -> Any:
    return admin.post(PATH, json={"recipe": recipe, "run": run})


def test_nothing_is_started_unless_the_owner_allows_it(admin: TestClient, client: Client, studio: Studio) -> None:
    close(admin)
    starter, studio.starter = studio.starter, None
    assert admin.get(PATH).json() == {"allowed": False, "recipes": [], "last": None}
    for path, body in ((PATH, {"recipe": "tiny", "run": "mine"}), ("/api/started/stop", {})):
        reply = admin.post(path, json=body)
        assert (reply.status_code, "--allow-runs" in reply.json()["detail"]) == (403, True)
    studio.starter = starter
    for role in ("viewer", "annotator"):
        other = client(role, role)
        assert {other.get(PATH).status_code, start(other).status_code} == {403}
        assert other.post("/api/started/stop", json={}).status_code == 403
    assert start(client()).status_code == 401
    token = studio.database.write(lambda c: accounts.grant(c, accounts.by_name(c, "boss").id, "token"))
    script = client()
    script.headers.update({"authorization": f"Bearer {token}"})
    assert script.get(PATH).json()["allowed"] is True
    assert (start(script).status_code, start(script).json()["detail"]) == (
        403,
        "a token starts and ends no run: sign in",
    )
    assert not (studio.data / starting.STATE).exists()


@pytest.mark.usefixtures("pretend")
def test_a_run_is_a_process_of_its_own_with_a_list_of_arguments(admin: TestClient, studio: Studio) -> None:
    assert "no closed round" in start(admin).json()["detail"]
    close(admin)
    offered = admin.get(PATH).json()
    assert {"tiny", "reviews", "direct"} <= set(offered["recipes"])
    assert "constraints" not in offered["recipes"]  # whose reward is a program's
    for recipe, run in (("constraints", "mine"), ("./own.toml", "mine"), ("tiny; ls", "mine"), ("tiny", "../mine"),
                        ("tiny", "-rf"), ("tiny", "a b"), ("tiny", ""), ("tiny", "a/b"), ("tiny", ".")):  # fmt: skip
        reply = start(admin, recipe, run)
        assert reply.status_code == 409, (recipe, run)
        assert "\n" not in reply.json()["detail"]
    (studio.runs.home / "there").mkdir()
    assert "already" in start(admin, run="there").json()["detail"]
    assert start(admin).json()["lives"] is True
    until(lambda: admin.get(PATH).json()["last"]["log"])
    last = admin.get(PATH).json()["last"]
    assert json.loads(last["log"]) == {
        "arguments": [
            "run",
            "tiny",
            "--out",
            str(studio.runs.home / "mine-1"),
            "--set",
            "comparisons.source=studio:my pairs",
        ],
        "data": str(studio.data.resolve()),
        "session": True,
    }
    assert (last["run"], last["recipe"], last["project"], last["by"], last["code"]) == (
        "mine-1",
        "tiny",
        "my pairs",
        "boss",
        None,
    )
    assert start(admin, run="mine-2").json()["detail"] == "mine-1 is running: one at a time"

    # a studio that is started again finds it, and ends it
    again = RunStarter(studio.runs.home, studio.data)
    assert again.process is None
    assert (again.now() or {})["lives"] is True
    with pytest.raises(NotStartedError, match="one at a time"):
        again.start("my pairs", "compare", "tiny", "mine-3", "boss")
    assert again.stop() is True
    assert studio.starter is not None
    assert studio.starter.process is not None
    studio.starter.process.wait(timeout=60)
    last = admin.get(PATH).json()["last"]
    assert (last["lives"], last["code"]) == (False, 143)
    assert admin.post("/api/started/stop", json={}).json() == {"stopped": False}
    assert (RunStarter(studio.runs.home, studio.data).now() or {})[
        "code"
    ] is None  # nobody was there to see how it ended
    assert start(admin, run="mine-2").json()["lives"] is True


@pytest.mark.usefixtures("pretend")
def test_another_process_of_the_same_number_is_left_alone(admin: TestClient, studio: Studio) -> None:
    close(admin)
    start(admin)
    path = studio.data / starting.STATE
    known = artifacts.read_json(path)
    artifacts.write_json(path, {**known, "pid": os.getpid()})  # this very process, which was not started then
    again = RunStarter(studio.runs.home, studio.data)
    assert (again.now() or {})["lives"] is False
    assert again.stop() is False
    for damaged in ("{", "[]", json.dumps({**known, "run": "../x"}), json.dumps({**known, "pid": "1"}), "{}"):
        path.write_text(damaged, encoding="utf-8")
        assert RunStarter(studio.runs.home, studio.data).now() is None
    artifacts.write_json(path, known)
    assert admin.post("/api/started/stop", json={}).json() == {"stopped": True}


def test_a_recipe_that_fails_says_so_in_its_log(admin: TestClient, studio: Studio) -> None:
    """The real command: `instruct` names no model that is there."""
    close(admin)
    assert start(admin, "instruct", "no-model").status_code == 200
    assert studio.starter is not None
    assert studio.starter.process is not None
    assert studio.starter.process.wait(timeout=240) == 2
    last = admin.get(PATH).json()["last"]
    assert (last["lives"], last["code"]) == (False, 2)
    assert last["log"].splitlines()[-1] == "trueward: prompts.jsonl: no such file"
