"""Files that come in: previews, columns mapped, every layout that the command line reads; and out again in all its forms."""

from __future__ import annotations

import base64
import gzip
import json
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from trueward.data import comparisons, tables
from trueward.studio import reading

Client = Callable[..., TestClient]
OUTCOMES = [
    {"prompt": "q1", "first": "a", "second": "b", "probability": 1.0, "strength": 2, "source": "s", "annotator": "ann"},
    {"prompt": "q2", "first": "c", "second": "d", "probability": 0.0, "strength": 1, "source": "s", "annotator": "ben"},
]


@pytest.fixture
def admin(client: Client) -> TestClient:
    boss = client("boss", "admin")
    assert boss.post("/api/projects", json={"name": "p"}).status_code == 200
    return boss


def send(admin: TestClient, what: str, content: str | bytes, name: str = "", **more: Any) -> Any:
    body = {"text": content} if isinstance(content, str) else {"base64": base64.b64encode(content).decode()}
    return admin.post(f"/api/projects/p/{what}", json={**body, **({"name": name} if name else {}), **more})


def test_a_preview_shows_what_an_import_would_do(admin: TestClient) -> None:
    assert send(admin, "preview", "a,b\n", "a.csv").json()["problem"] == "a.csv: expected at least one row, got none"
    table = 'frage,links,rechts,note\nWas?,ja,"nein,\nnein",1\nWer?,ich,du,\nWo?,hier,hier,\n'
    seen = send(admin, "preview", table, "people.csv").json()
    assert seen["columns"] == ["frage", "links", "rechts", "note"]
    assert seen["rows"][0]["rechts"] == "nein,\nnein"
    assert seen["rows"][1]["note"] is None
    assert seen["problem"].startswith("people.csv, line 2: expected a comparison")
    columns = "prompt=frage,response_a=links,response_b=rechts"
    seen = send(admin, "preview", table, "people.csv", columns=columns).json()
    assert (seen["problem"], seen["read"], seen["new"]) == (None, 2, 2)
    assert seen["left_out"] == {"identical responses": 1}
    assert list(seen["ignored"]) == ["note"]
    first = seen["examples"][0]
    assert (first["prompt"]["text"], first["first"], first["second"], first["better"]) == (
        "Was?",
        "ja",
        "nein,\nnein",
        None,
    )
    assert admin.get("/api/projects/p").json()["rounds"][0]["items"] == 0  # nothing has come in
    made = send(admin, "import", table, "people.csv", columns=columns).json()
    assert (made["read"], made["added"]) == (2, 2)
    assert send(admin, "preview", table, "people.csv", columns=columns).json()["new"] == 0


def test_cells_of_a_spreadsheet_can_be_pasted(admin: TestClient) -> None:
    pasted = "prompt\tresponse_a\tresponse_b\twinner\nq\tone\ttwo\t\nq2\tone\ttwo\ta\n"
    assert send(admin, "import", pasted).json()["added"] == 2
    refused = send(admin, "import", pasted, checks=True)  # a check pair has an outcome
    assert refused.status_code == 422
    assert refused.json()["detail"] == "pasted, line 2: a check pair, or a model's label, needs an outcome"
    known = "prompt\tresponse_a\tresponse_b\twinner\nq7\tone\ttwo\tb\n"
    assert send(admin, "preview", known, checks=True).json()["examples"][0]["better"] == 1


@pytest.mark.parametrize(
    "name", ["pairs.csv", "pairs.tsv", "pairs.parquet", "pairs.jsonl", "pairs.jsonl.gz", "PAIRS.CSV"]
)
def test_files_of_all_kinds_come_in(admin: TestClient, tmp_path: Path, name: str) -> None:
    plain = tmp_path / name.lower().removesuffix(".gz")
    tables.write(plain, OUTCOMES)
    content = gzip.compress(plain.read_bytes()) if name.endswith(".gz") else plain.read_bytes()
    assert send(admin, "preview", content, name).json()["read"] == 2
    assert send(admin, "import", content, name, judge="a-model").json() == {
        "read": 2,
        "left_out": {},
        "added": 2,
        "labels": 2,
    }


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
        {"chosen": "\n\nHuman: q\n\nAssistant: good", "rejected": "\n\nHuman: q\n\nAssistant: bad"},
        {"prompt": "q", "responses": ["good", "bad"], "ranks": [1, 2]},
        {"instruction": "q", "output_a": "good", "output_b": "bad"},
        {"prompt": [{"role": "user", "content": "q"}], "first": "good", "second": "bad"},
        {"conversations": [{"from": "human", "value": "q"}], "chosen": {"from": "gpt", "value": "good"},
         "rejected": {"from": "gpt", "value": "bad"}},
    ],
)  # fmt: skip
def test_every_layout_of_the_command_line_comes_in(admin: TestClient, row: dict[str, Any]) -> None:
    seen = send(admin, "preview", json.dumps([row])).json()
    assert seen["problem"] is None
    (example,) = seen["examples"]
    assert {example["first"], example["second"]} == {"good", "bad"}
    assert send(admin, "import", json.dumps([row])).json()["added"] == 1


def test_what_is_wrong_is_one_line_in_the_words_of_the_page(admin: TestClient) -> None:
    for content, name, more, words in (
        (b"\xff\xfe", "a.csv", {}, "a.csv, line 1: expected UTF-8"),
        (b"no archive", "a.jsonl.gz", {}, "a.jsonl.gz: can't be unpacked"),
        (b"{}", "../../etc/passwd.jsonl", {}, "../../etc/passwd.jsonl, line 1: expected a comparison"),
        ("{}", "", {"columns": "prompt"}, "columns: expected NAME=VALUE"),
        ("{}", "", {"format": "nonsense"}, "format: expected"),
        ('{"chosen": [{"role": "teacher", "content": "a"}], "rejected": [{"role": "teacher", "content": "b"}]}', "", {},
         "the role teacher as assistant reads it as that"),
    ):  # fmt: skip
        reply = send(admin, "import", content, name, **more)
        assert reply.status_code == 422
        assert words in reply.json()["detail"]
        assert tempfile.gettempdir() not in reply.text
        assert "--" not in reply.text
    both = {"text": "{}", "base64": "e30="}
    assert admin.post("/api/projects/p/import", json=both).status_code == 422
    assert admin.post("/api/projects/p/import", json={"base64": "*"}).status_code == 422


def test_a_name_leaves_nothing_but_its_ending(tmp_path: Path) -> None:
    for name, content, ending in (
        ("../../x.csv", b"a", ".csv"), ("x.exe", b"{}", ".jsonl"), ("x.exe", b" [", ".json"), ("", b"", ".jsonl"),
        ("x.CSV.GZ", b"", ".csv.gz"), ("x.gz", b"", ".jsonl.gz"), ("pasted", b"a\tb\n", ".tsv"), ("pasted", b"a,b", ".csv"),
        ("a.b/c.jsonl/..", b"{", ".jsonl"),
    ):  # fmt: skip
        assert reading.save(tmp_path, name, content) == tmp_path / f"import{ending}", name


def test_what_comes_in_goes_out_in_every_form(admin: TestClient, client: Client, tmp_path: Path) -> None:
    rows = [
        {"prompt": [{"role": "user", "content": f"q{i}?"}], "first": f"one {i}", "second": f"two {i}"} for i in range(3)
    ]
    send(admin, "import", "\n".join(json.dumps(row) for row in rows))
    anna = client("anna")
    for item in anna.post("/api/projects/p/queue", json={"count": 9}).json()["items"]:
        key = secrets.token_hex(8)
        side = "left" if item["left"]["text"].startswith("one") else "right"
        anna.post(
            "/api/answers",
            json={"assignment": item["assignment"], "key": key, "kind": "win", "side": side, "strength": 3},
        )
    own = comparisons.read(_kept(admin, tmp_path, "own", "own.jsonl")).rows
    forms = {"trl-conversational": "jsonl", "hh": "jsonl", "rankings": "jsonl", "table": "csv", "parquet": "parquet"}
    for form, ending in forms.items():
        back = comparisons.read(_kept(admin, tmp_path, form, f"{form}.{ending}")).rows
        assert {(c.prompt, c.first.text, c.probability) for c in back} == {
            (c.prompt, c.first.text, c.probability) for c in own
        }, form
        if form in ("table", "parquet"):
            assert back == own
    assert send(admin, "preview", (tmp_path / "parquet.parquet").read_bytes(), "again.parquet").json()["new"] == 0


def _kept(admin: TestClient, folder: Path, form: str, name: str) -> Path:
    reply = admin.get(f"/api/projects/p/export?form={form}")
    assert reply.status_code == 200, reply.text
    path = folder / name
    path.write_bytes(reply.content)
    return path


def test_prompts_of_any_table_can_be_written_to(client: Client) -> None:
    boss = client("boss", "admin")
    boss.post("/api/projects", json={"name": "p", "kind": "write"})
    table = "frage,id\nWas?,1\nWer?,2\n"
    seen = send(boss, "preview", table, "a.csv", columns="prompt=frage").json()
    assert (seen["read"], seen["examples"][0]) == (2, {"prompt": {"text": "Was?"}})
    assert send(boss, "import", table, "a.csv", columns="prompt=frage").json()["added"] == 2
