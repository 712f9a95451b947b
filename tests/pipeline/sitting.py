"""People at work, through the studio's API: they take pairs, compare them by a rule, and an admin closes the round."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from trueward.studio import app
from trueward.studio.api.gate import Names
from trueward.studio.api.place import Studio
from trueward.studio.runs.library import Library
from trueward.studio.store import accounts
from trueward.studio.store.database import Database

ADDRESS = "http://127.0.0.1:8600"
Rule = Callable[[dict[str, Any]], str]  # of an item as a page shows it: left, right or tie


def longer(item: dict[str, Any]) -> str:
    """The longer answer is better."""
    left, right = (len(item[side]["text"]) for side in ("left", "right"))
    return "tie" if left == right else "left" if left > right else "right"


class People:
    """Who works in the studio of a directory."""

    def __init__(self, data: Path) -> None:
        self.studio = Studio(data, Database(data), Library(data / "no runs"))
        self.application = app.make(self.studio, Names.of(8600))
        self.clients: dict[str, TestClient] = {}

    def client(self, name: str, role: str = "annotator") -> TestClient:
        if name not in self.clients:
            one = TestClient(self.application, base_url=ADDRESS, headers={"origin": ADDRESS})

            def invite(c: Any) -> str:
                known = accounts.by_name(c, name)
                return accounts.grant(c, known.id if known else accounts.create(c, name, role), "invite")

            token = self.studio.database.write(invite)
            assert one.post("/api/enter", json={"token": token}).status_code == 200
            self.clients[name] = one
        return self.clients[name]

    def judge(self, project: str, rule: Rule = longer, most: int = 10**6, who: str = "anna") -> list[dict[str, Any]]:
        """Up to so many pairs of the open round; the items as they were shown."""
        shown: list[dict[str, Any]] = []
        person = self.client(who)
        while len(shown) < most:
            found = person.post(f"/api/projects/{project}/queue", json={"count": 1})
            assert found.status_code == 200, found.text
            if not found.json()["items"]:
                break
            item = found.json()["items"][0]
            said = rule(item)
            given = {"kind": "tie"} if said == "tie" else {"kind": "win", "side": said}
            body = {"assignment": item["assignment"], "key": secrets.token_hex(8), **given}
            assert person.post("/api/answers", json=body).status_code == 200
            shown.append(item)
        return shown

    def close_round(self, project: str) -> int:
        closed = self.client("boss", "admin").post(f"/api/projects/{project}/close", json={})
        assert closed.status_code == 200, closed.text
        return int(closed.json()["rows"])

    def end(self) -> None:
        for one in self.clients.values():
            one.close()
        self.studio.database.close()


@contextmanager
def people(data: Path) -> Iterator[People]:
    found = People(data)
    try:
        yield found
    finally:
        found.end()
