"""Requests that nobody thought of, generated from the studio's own schema: whatever they hold, no answer is a 500."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import httpx2
import odd_requests as odd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from starlette.testclient import TestClient

from trueward.studio import app
from trueward.studio.api.gate import Names
from trueward.studio.api.place import COOKIE, Studio
from trueward.studio.runs.library import Library
from trueward.studio.store import accounts, projects
from trueward.studio.store.database import Database

ADDRESS = "http://127.0.0.1:8600"
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))  # a route, and as many that its schema forbids
ENDLESS = "/events"
SIGNS_OUT = ("/api/logout", "/api/tokens/{name}/revoke")
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install -e '.[dev]'")


@pytest.fixture(scope="module")
def studio_and_cookie(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    folder = tmp_path_factory.mktemp("studio")
    database = Database(folder / "studio")
    (folder / "runs").mkdir()

    def work(connection: Any) -> str:
        projects.create(connection, "p")
        return accounts.grant(connection, accounts.owner(connection), "session")

    cookie = database.write(work)
    yield app.make(Studio(folder / "studio", database, Library(folder / "runs")), Names.of(8600)), cookie
    database.close()


def absent(body: Any) -> bool:
    return type(body).__name__ == "NotSet"  # schemathesis's own, which it doesn't export


def test_generated_requests(studio_and_cookie: tuple[Any, str]) -> None:
    application, cookie = studio_and_cookie
    schema = schemathesis.openapi.from_dict(odd.schema(application))
    headers = {"origin": ADDRESS, "cookie": f"{COOKIE}={cookie}", "content-type": "application/json"}
    one = TestClient(application, base_url=ADDRESS)
    statuses: dict[int, int] = {}

    def ask(case: Any) -> None:
        path = case.formatted_path
        if path.endswith(ENDLESS):
            return
        raw = case.body if isinstance(case.body, bytes) else None if absent(case.body) else json.dumps(case.body)
        try:
            reply = one.request(case.method, path, params=case.query or None, headers=headers, content=raw)
        except httpx2.InvalidURL:  # too long: the client sends no such address, so there is nothing to answer
            return
        assert reply.status_code < 500, (case.method, path, case.query, case.body, reply.text[:500])
        statuses[reply.status_code] = statuses.get(reply.status_code, 0) + 1

    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in SIGNS_OUT:
            continue
        tried += 1
        for mode in schemathesis.GenerationMode:
            few = settings(
                max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            with contextlib.suppress(Unsatisfiable):  # a route without parameters forbids nothing
                few(given(case=operation.as_strategy(generation_mode=mode))(ask))()
    assert tried >= 25
    assert statuses.get(200, 0) > 8
    assert statuses.get(422, 0) > 50
    assert one.get("/api/me", headers=headers).json()["account"]["name"] == "owner"
