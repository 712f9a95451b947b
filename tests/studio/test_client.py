"""`tw.studio.Client` against a studio that is really served, and the examples of docs/studio-api.md as they stand there."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import uvicorn

import trueward as tw
from trueward.studio import Client, app, serve
from trueward.studio.api.gate import Names
from trueward.studio.api.place import Studio
from trueward.studio.runs.library import Library
from trueward.studio.store import accounts
from trueward.studio.store.database import Database

PAGE = Path(__file__).parents[2] / "docs" / "studio-api.md"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A studio's address, and the token of an admin."""
    folder = tmp_path_factory.mktemp("studio")
    database = Database(folder / "studio")
    (folder / "runs").mkdir()
    token = database.write(lambda c: accounts.grant(c, accounts.create(c, "pipeline", "admin"), "token"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        studio = Studio(folder / "studio", database, Library(folder / "runs"))
        server = uvicorn.Server(serve.settings(app.make(studio, Names.of(port))))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}", token
        server.should_exit = True
        thread.join(10)


def examples(language: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_examples_of_the_page_run(place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, token = place
    monkeypatch.setenv("STUDIO", url)
    monkeypatch.setenv("TRUEWARD_TOKEN", token)
    script = tmp_path / "example.py"
    script.write_text(examples("py"), encoding="utf-8")
    out = StringIO()
    with redirect_stdout(out):
        runpy.run_path(str(script))
    lines = out.getvalue().splitlines()
    assert lines[0] == "{'read': 1, 'left_out': {}, 'added': 1}"
    assert lines[-3].startswith("1 ")
    assert lines[-2].startswith("pipeline ")
    assert re.fullmatch("[0-9a-f]{64}", lines[-1])
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    environment = {**os.environ, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        ["sh", "-e", "-c", examples("sh")], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"Ask three people about this one."' in done.stdout
    assert '"kind": "comment"' in done.stdout


def test_the_page_names_every_route_and_field(place: Any) -> None:
    page = PAGE.read_text(encoding="utf-8")
    application: Any = app.make(Studio(Path("x"), None, None), Names.of(1))  # type: ignore[arg-type]  # only its schema is read
    schema = application.app.openapi()
    for path in ("preview", "import", "adjudicate", "comment", "exclude", "include", "queue", "undo"):
        body = schema["paths"][f"/api/projects/{{name}}/{path}"]["post"]["requestBody"]["content"]["application/json"][
            "schema"
        ]
        for field in schema["components"]["schemas"][body["$ref"].rsplit("/", 1)[1]]["properties"]:
            assert f"`{field}`" in page, (path, field)
    for given in schema["paths"]["/api/projects/{name}/desk"]["get"]["parameters"]:
        assert f"`{given['name']}`" in page


def test_a_whole_project_from_a_script(place: Any, tmp_path: Path) -> None:
    url, token = place
    with Client(f"{url}/#key=tw_old", token) as studio:
        studio.create_project("own", overlap=1)
        studio.change_project("own", skip_reasons=["no idea"])
        file = tmp_path / "pairs.csv"
        file.write_text("frage,a,b\nq1,one,two\nq2,one,two\nq3,one,two\n", encoding="utf-8")
        mapping = {"prompt": "frage", "response_a": "a", "response_b": "b"}
        assert studio.import_file("own", file, columns=mapping)["added"] == 3
        assert studio.add("own", [{"prompt": "c", "chosen": "x", "rejected": "y"}], checks=True)["added"] == 1
        items = studio.take("own", 4)
        studio.skip(items[0]["assignment"], "no idea")
        assert [studio.answer(item["assignment"], "tie", note="alike") for item in items[1:]] == ["answered"] * 3
        (item,) = studio.items("own", find="q1")
        decided = studio.adjudicate("own", item["item"], "first", 2, "clear")
        assert decided["decision"]["choice"] == "first"
        assert studio.comment("own", item["item"], "hm")["comments"][0]["text"] == "hm"
        assert {c.probability for c in studio.comparisons("own") if c.prompt.text == "q1"} == {1.0}
        lost = studio.export("own", tmp_path / "out.jsonl", "trl")
        assert lost.get("check pairs", 0) + lost.get("ties", 0) >= 1  # the one that was skipped may be the check pair
        assert studio.exclude("own", "a test", annotator="pipeline") == 3
        assert studio.close_round("own")["adjudicated"] == 1
        assert [row["name"] for row in studio.projects()][-1] == "own"
        studio.create_project("several", "rank")
        assert studio.add("several", [{"prompt": "p", "responses": ["a", "b", "c"]}])["added"] == 1
        (item,) = studio.take("several")
        worse = [ord(answer["text"]) for answer in item["answers"]]
        assert studio.rank(item["assignment"], [1 + sum(other < one for other in worse) for one in worse]) == "answered"
        (item,) = studio.items("several")
        decided = studio.adjudicate("several", item["item"], ranks=[1, 1, 1])
        assert decided["decision"]["ranks"] == [1, 1, 1]
        assert {c.probability for c in studio.comparisons("several")} == {0.5}
        studio.create_project("texts", "write")
        studio.add("texts", [{"prompt": "say"}])
        assert studio.write(studio.take("texts")[0]["assignment"], "so") == "answered"


def test_what_is_refused_is_one_line(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url, token = place
    monkeypatch.delenv("TRUEWARD_TOKEN", raising=False)
    with pytest.raises(ValueError, match="TRUEWARD_TOKEN"):
        Client(url)
    with Client(url, token) as studio:
        with pytest.raises(ValueError, match=rf"^{re.escape(url)}: there is no project 'nothing'$"):
            studio.project("nothing")
        with pytest.raises(ValueError, match="kind: Input should be"):
            studio.create_project("x", "dance")  # type: ignore[arg-type]  # that is the mistake
    with Client(url, "tw_wrong") as stranger, pytest.raises(ValueError, match="sign in first"):
        stranger.projects()


def test_what_got_no_answer_is_sent_again_under_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2

    from trueward.studio import client

    monkeypatch.setattr(client, "FIRST_WAIT", 0.0)
    seen: list[Any] = []

    def handle(request: Any) -> Any:
        seen.append(json.loads(request.content or b"{}"))
        if len(seen) == 1:
            raise httpx2.ConnectError("away")
        return httpx2.Response(503 if len(seen) == 2 else 200, json={"state": "answered"})

    studio = Client("http://studio", "tw_x")
    studio.close()
    studio._http = httpx2.Client(base_url="http://studio", transport=httpx2.MockTransport(handle))
    assert studio.answer("0" * 32, "left", 1) == "answered"
    assert len(seen) == 3
    assert len({body["key"] for body in seen}) == 1
    seen.clear()
    with pytest.raises(ValueError, match="http://studio: away"):
        studio.close_round("p")  # has no key: whether it was closed, nobody knows
    assert len(seen) == 1
    studio.close()


def test_the_client_is_there_without_the_extra() -> None:
    assert tw.studio.Client is Client
    code = "import sys, trueward as tw; tw.studio.Client; assert not {'fastapi', 'sqlalchemy', 'torch'} & sys.modules.keys()"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
