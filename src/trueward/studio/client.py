"""A studio from a script: `Client` makes projects, fills them, answers, reviews, closes rounds and fetches what people said."""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import quote

from trueward.records import Comparison

if TYPE_CHECKING:
    import httpx2

Row = dict[str, Any]
TRIES, FIRST_WAIT = 5, 0.3  # of a request that may be sent again; seconds, twice as many each time
AWAY = (502, 503, 504)


class Client:
    """A studio over HTTP, with the rights of the account whose token it has.

    A request that got no answer is sent again, under the same key, so that no answer and no decision is stored twice. What the
    studio refuses is a `ValueError` of one line.

        import trueward as tw

        studio = tw.studio.Client("http://127.0.0.1:8600", "tw_...")
        studio.create_project("helpful", overlap=2)
        studio.add("helpful", [{"prompt": "The sky is", "first": " blue.", "second": " green."}])
    """

    def __init__(self, url: str = "http://127.0.0.1:8600", token: str = "", *, timeout: float = 60.0) -> None:
        """A client of the studio at this address.

        Args:
            url: The studio's address, as `trueward studio` prints it, without what follows the `#`.
            token: A token of `trueward studio token` or of the page *People*; $TRUEWARD_TOKEN without one.
            timeout: Seconds to wait for an answer.

        Raises:
            ValueError: There is no token.
        """
        import httpx2

        token = token or os.environ.get("TRUEWARD_TOKEN", "")
        if not token:
            raise ValueError("token: expected one of `trueward studio token NAME`, here or in $TRUEWARD_TOKEN")
        self.url = url.split("#")[0].rstrip("/")
        headers = {"authorization": f"Bearer {token}"}
        self._http: httpx2.Client = httpx2.Client(base_url=self.url, headers=headers, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def projects(self) -> list[Row]:
        """All projects that the account may see, oldest first."""
        return list(self._get("/api/projects"))

    def create_project(
        self, name: str, kind: Literal["compare", "rank", "write"] = "compare", *, instructions: str = "", overlap: int = 1,
        check_rate: float | None = None,
    ) -> None:  # fmt: skip
        """Make a project. overlap: people an item. check_rate: of each person's items, how many are check pairs."""
        body = {"name": name, "kind": kind, "instructions": instructions, "overlap": overlap, "check_rate": check_rate}
        self._post("/api/projects", body)

    def project(self, name: str) -> Row:
        """A project's settings and figures: progress, agreement, annotators, judges, rounds."""
        return dict(self._get(_path(name)))

    def change_project(self, name: str, **settings: Any) -> None:
        """Change `instructions`, `overlap`, `check_rate`, `skip_reasons`, `assigned` (names of accounts) or `archived`."""
        self._post(_path(name, "settings"), settings)

    def add(self, name: str, rows: Iterable[Mapping[str, Any]], *, checks: bool = False, judge: str = "") -> Row:
        """Add pairs, or prompts, given as rows in any layout that is imported; how many were new, and what was left out.

        checks: their outcome is known, and annotators are examined by it. judge: their outcomes are a model's of this name.
        """
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return self._post(_path(name, "import"), {"text": text, "name": "rows.jsonl", "checks": checks, "judge": judge})

    def import_file(
        self, name: str, path: Path | str, *, columns: Mapping[str, str] | None = None, format: str = "",
        checks: bool = False, judge: str = "",
    ) -> Row:  # fmt: skip
        """Import a file. columns: our name of a column to the file's. format: as `trueward comparisons import` takes it."""
        content = base64.b64encode(Path(path).read_bytes()).decode()
        body = {"base64": content, "name": Path(path).name, "format": format, "checks": checks, "judge": judge}
        mapping = ",".join(f"{ours}={theirs}" for ours, theirs in (columns or {}).items())
        return self._post(_path(name, "import"), {**body, "columns": mapping})

    def take(self, name: str, count: int = 3) -> list[Row]:
        """The items that the account holds for the next ten minutes, filled up to `count`: what an annotator sees of them."""
        return list(self._post(_path(name, "queue"), {"count": count})["items"])

    def answer(
        self,
        assignment: str,
        side: Literal["left", "right", "tie"],
        strength: Literal[1, 2, 3] | None = None,
        note: str = "",
    ) -> str:
        """Say which answer of an item is better; the state of the answer. assignment: the item's, of `take`."""
        given: Row = {"kind": "tie"} if side == "tie" else {"kind": "win", "side": side, "strength": strength}
        return str(self._event("/api/answers", {"assignment": assignment, **given, "text": note or None})["state"])

    def rank(self, assignment: str, ranks: Iterable[int], note: str = "") -> str:
        """Rank an item's `answers`, each from 1, the best; equal ranks are ties. The state of the answer."""
        given: Row = {"kind": "rank", "ranks": list(ranks), "text": note or None}
        return str(self._event("/api/answers", {"assignment": assignment, **given})["state"])

    def write(self, assignment: str, text: str) -> str:
        """Write the answer to an item of a project to write in; the state of the answer."""
        return str(self._event("/api/answers", {"assignment": assignment, "kind": "write", "text": text})["state"])

    def skip(self, assignment: str, reason: str) -> None:
        """Leave an item to others."""
        self._event("/api/answers", {"assignment": assignment, "kind": "skip", "reason": reason})

    def items(self, name: str, **wish: Any) -> Iterator[Row]:
        """Items with all that was said of them, page by page.

        wish: `find`, `status` (`split`, `failed`, `skipped`, `waiting`, `complete`, `unanswered`, `adjudicated`, `commented`,
        `excluded`), `annotator`, `round`, `since`, `until`, `under`, `sort`, `item`.
        """
        page, pages = 1, 1
        while page <= pages:
            reply = self._get(_path(name, "desk"), {**wish, "page": page})
            yield from reply["items"]
            page, pages = page + 1, int(reply["pages"])

    def adjudicate(
        self, name: str, item: int, choice: Literal["first", "second", "tie", "withdraw"] | None = None,
        strength: Literal[1, 2, 3] | None = None, reason: str = "", *, ranks: Iterable[int] | None = None,
    ) -> Row:  # fmt: skip
        """Decide an item over its votes, or withdraw the decision; the item as it is then.

        ranks: of an item that is ranked, one for each of the `answers` that `items` gives.
        """
        places = None if ranks is None else list(ranks)
        body = {"item": item, "choice": choice, "strength": strength, "reason": reason, "ranks": places}
        return self._event(_path(name, "adjudicate"), body)

    def comment(self, name: str, item: int, text: str) -> Row:
        """Comment on an item; the item as it is then."""
        return self._event(_path(name, "comment"), {"item": item, "text": text})

    def exclude(self, name: str, reason: str, *, assignments: Iterable[str] = (), annotator: str = "") -> int:
        """Stop counting answers, by their ids or all of an annotator's; how many that were."""
        body = {"reason": reason, "assignments": list(assignments), "annotator": annotator}
        return int(self._event(_path(name, "exclude"), body)["excluded"])

    def close_round(self, name: str) -> Row:
        """Close the open round; the manifest of its file, for recipes to train on."""
        return self._post(_path(name, "close"), {})

    def comparisons(self, name: str) -> list[Comparison]:
        """What people said, a comparison an answer; a reviewer's decision stands in the place of its item's votes."""
        lines = self._send("GET", _path(name, "export"), params={"form": "own"}).text.splitlines()
        return [Comparison.model_validate_json(line) for line in lines]

    def export(self, name: str, path: Path | str, form: str = "own") -> dict[str, int]:
        """Write what people said to a file, in a form of the page's export; what that form can't hold is counted."""
        reply = self._send("GET", _path(name, "export"), params={"form": form})
        Path(path).write_bytes(reply.content)
        return dict(json.loads(reply.headers.get("x-left-out", "{}")))

    def _get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return self._send("GET", path, params=params).json()

    def _post(self, path: str, body: Mapping[str, Any]) -> Row:
        return dict(self._send("POST", path, json=body).json())

    def _event(self, path: str, body: Row) -> Row:
        """What is stored once however often it is sent, by its key."""
        return dict(self._send("POST", path, again=True, json={**body, "key": secrets.token_hex(16)}).json())

    def _send(self, method: str, path: str, again: bool = False, **more: Any) -> httpx2.Response:
        import httpx2

        for turn in range(TRIES if again or method == "GET" else 1):
            if turn:
                time.sleep(FIRST_WAIT * 2 ** (turn - 1))
            try:
                reply = self._http.request(method, path, **more)
            except httpx2.TransportError as error:
                problem = str(error) or type(error).__name__
                continue
            if reply.status_code < 400:
                return reply
            problem = _detail(reply)
            if reply.status_code not in AWAY:
                break
        raise ValueError(f"{self.url}: {problem}")


def _path(name: str, what: str = "") -> str:
    return f"/api/projects/{quote(name, safe='')}" + (f"/{what}" if what else "")


def _detail(reply: httpx2.Response) -> str:
    """What the studio says of a request that it refuses, in one line."""
    try:
        detail = reply.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"status {reply.status_code}: is this a studio's address?"
    if isinstance(detail, list):
        detail = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in detail)
    return str(detail)
