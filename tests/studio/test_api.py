"""The studio over HTTP: who may do what, what a page is told, rounds, imports, exports."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from trueward.data import comparisons as compared
from trueward.data import loading, snapshots
from trueward.data.collate import Collator
from trueward.records import Comparison
from trueward.studio.api.gate import MOST_BYTES
from trueward.studio.api.place import COOKIE, Studio
from trueward.studio.store import accounts

Client = Callable[..., TestClient]
PROMPT = "is it Käse? \u2028 yes\nor no"


def fill(admin: TestClient, n: int = 4, overlap: int = 2, **more: Any) -> None:
    assert admin.post("/api/projects", json={"name": "p", "overlap": overlap, **more}).status_code == 200
    rows = [{"prompt": f"{PROMPT} {i}", "first": f"one {i}\r\n\t", "second": f"two {i} 🧀"} for i in range(n)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    reply = admin.post("/api/projects/p/import", json={"text": text, "name": "pairs.jsonl"})
    assert reply.json() == {"read": n, "added": n, "left_out": {}}
    assert admin.post("/api/projects/p/import", json={"text": text}).json()["added"] == 0


def work_off(person: TestClient, prefer: str = "one") -> int:
    """Click through everything; how many clicks."""
    n = 0
    while items := person.post("/api/projects/p/queue", json={"count": 3}).json()["items"]:
        for item in items:
            side = "left" if item["left"]["text"].startswith(prefer) else "right"
            click(person, item["assignment"], side=side, strength=2)
            n += 1
    return n


def click(person: TestClient, assignment: str, **more: Any) -> dict[str, Any]:
    body = {"assignment": assignment, "key": secrets.token_hex(8), "kind": "win", "seconds": 1.5, **more}
    reply = person.post("/api/answers", json=body)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_a_round_from_pairs_to_a_snapshot(client: Client, studio: Studio) -> None:
    admin, anna, ben = client("boss", "admin"), client("anna"), client("ben")
    fill(admin)
    check = {"prompt": "2 + 2", "chosen": "4", "rejected": "5"}
    reply = admin.post("/api/projects/p/import", json={"text": json.dumps(check), "checks": True})
    assert reply.json()["added"] == 1
    assert admin.post("/api/projects/p/close", json={}).status_code == 422  # nothing to keep yet
    assert work_off(anna) == 5
    assert work_off(ben, prefer="two") == 5
    page = admin.get("/api/projects/p").json()
    assert page["agreement"]["items"] == 4
    assert page["agreement"]["agreement"] == 0.0
    assert page["agreement"]["alpha"] == pytest.approx(-0.75)  # D_e = 2·4·4/(8·7), D_o = 1
    marks = {row["name"]: row["accuracy"] for row in page["annotators"]}
    assert set(marks.values()) <= {0.0, 1.0}
    manifest = admin.post("/api/projects/p/close", json={}).json()
    assert (manifest["round"], manifest["rows"], manifest["check_answers"]) == (1, 8, 2)
    path = snapshots.snapshots("studio:p", studio.data)[0]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == manifest["sha256"]
    rows = compared.read(path).rows
    assert {row.source for row in rows} == {"studio:p/anna", "studio:p/ben"}
    assert {row.prompt.text for row in rows} == {f"{PROMPT} {i}" for i in range(4)}
    assert {row.strength for row in rows} == {2}
    assert sorted(row.probability for row in rows if row.source.endswith("anna")) == [1.0] * 4
    assert sorted(row.probability for row in rows if row.source.endswith("ben")) == [0.0] * 4
    again = admin.get("/api/projects/p").json()["rounds"]
    assert [row["number"] for row in again] == [1, 2]
    assert again[0]["digest"] == manifest["sha256"]


def test_what_nobody_answered_goes_on_in_the_next_round(client: Client) -> None:
    admin, anna = client("boss", "admin"), client("anna")
    fill(admin, n=3, overlap=1)
    items = anna.post("/api/projects/p/queue", json={"count": 3}).json()["items"]
    click(anna, items[0]["assignment"], side="left")
    assert admin.post("/api/projects/p/close", json={}).json()["rows"] == 1
    assert click(anna, items[1]["assignment"], side="left")["state"] == "answered"
    rounds = admin.get("/api/projects/p").json()["rounds"]
    assert [(row["items"], row["answered"]) for row in rounds] == [(1, 1), (2, 1)]
    # an answer to a round that is closed is kept, and not counted
    assert click(anna, items[0]["assignment"], side="right")["state"] == "surplus"


def test_a_changed_snapshot_is_refused(client: Client, studio: Studio) -> None:
    admin, anna = client("boss", "admin"), client("anna")
    fill(admin, n=1, overlap=1)
    work_off(anna)
    admin.post("/api/projects/p/close", json={})
    path = snapshots.snapshots("studio:p@1", studio.data)[0]
    with pytest.raises(ValueError, match="only 1 rounds"):
        snapshots.snapshots("studio:p@2", studio.data)
    path.write_text(path.read_text().replace("one 0", "One 0"))
    with pytest.raises(ValueError, match="is not what was closed"):
        snapshots.snapshots("studio:p", studio.data)
    with pytest.raises(ValueError, match="no closed round"):
        snapshots.snapshots("studio:q", studio.data)
    with pytest.raises(ValueError, match="expected studio:NAME"):
        snapshots.snapshots("studio:../p", studio.data)


def test_an_annotator_sees_no_writer_no_winner_no_score(client: Client, studio: Studio) -> None:
    admin, anna = client("boss", "admin"), client("anna")
    admin.post("/api/projects", json={"name": "p"})
    row = {
        "prompt": {"text": "why"},
        "first": {"id": "secret-model-7b", "text": "a"},
        "second": {"id": "other-model", "text": "b", "finished": False},
        "probability": 1.0,
        "source": "secret-source",
    }
    reply = admin.post("/api/projects/p/import", json={"text": json.dumps(row), "checks": True})
    assert reply.json()["added"] == 1, reply.text
    got = anna.post("/api/projects/p/queue", json={"count": 1})
    assert set(got.json()["items"][0]) == {"assignment", "prompt", "left", "right"}
    click(anna, got.json()["items"][0]["assignment"], side="left")
    told = got.text + anna.get("/api/projects").text + anna.get("/api/projects/p/mine").text
    assert "secret" not in told
    assert "other-model" not in told
    for path in ("/api/projects/p", "/api/runs", "/api/runs/x", "/api/projects/p/answers", "/api/projects/p/export"):
        assert anna.get(path).status_code == 403, path
    # the response's own id comes back out for whoever trains
    rows = [json.loads(line) for line in admin.get("/api/projects/p/export?form=events").text.split("\n")[:-1]]
    assert rows[0]["chosen"] in ("secret-model-7b", "other-model")


ROUTES = [
    ("GET", "/api/projects", "anyone"),
    ("GET", "/api/projects/p", "reader"),
    ("GET", "/api/projects/p/answers", "admin"),
    ("GET", "/api/projects/p/export", "admin"),
    ("GET", "/api/projects/p/mine", "worker"),
    ("GET", "/api/runs", "reader"),
    ("GET", "/api/runs/x", "reader"),
    ("GET", "/api/runs/x/series/policy", "reader"),
    ("GET", "/api/runs/x/samples", "reader"),
    ("GET", "/api/runs/x/events", "reader"),
    ("POST", "/api/runs/x/pairs", "admin"),
    ("POST", "/api/projects", "admin"),
    ("POST", "/api/demonstration", "admin"),
    ("POST", "/api/projects/p/import", "admin"),
    ("POST", "/api/projects/p/settings", "admin"),
    ("POST", "/api/projects/p/close", "admin"),
    ("POST", "/api/projects/p/queue", "worker"),
    ("POST", "/api/projects/p/undo", "worker"),
    ("POST", "/api/answers", "worker"),
    ("POST", "/api/edits", "worker"),
    ("POST", "/api/exclude", "admin"),
    ("POST", "/api/projects/p/preview", "admin"),
    ("GET", "/api/projects/p/desk", "reader"),
    ("POST", "/api/projects/p/adjudicate", "admin"),
    ("POST", "/api/projects/p/comment", "admin"),
    ("POST", "/api/projects/p/exclude", "admin"),
    ("POST", "/api/projects/p/include", "admin"),
    ("POST", "/api/runs/r/tags", "admin"),
    ("GET", "/api/frontier", "reader"),
    ("GET", "/api/frontier.svg", "reader"),
    ("GET", "/api/sweeps", "reader"),
    ("GET", "/api/sweeps/s", "reader"),
    ("GET", "/api/sweeps/s/value.svg", "reader"),
    ("GET", "/api/accounts", "admin"),
    ("POST", "/api/accounts", "admin"),
    ("POST", "/api/accounts/1/invite", "admin"),
    ("POST", "/api/accounts/1/active", "admin"),
    ("POST", "/api/password", "anyone"),
    ("GET", "/api/tokens", "anyone"),
    ("POST", "/api/tokens", "anyone"),
    ("POST", "/api/tokens/0123456789ab/revoke", "anyone"),
]
MAY = {"anyone": ("viewer", "annotator", "admin"), "reader": ("viewer", "admin"), "worker": ("annotator", "admin"),
       "admin": ("admin",)}  # fmt: skip
OPEN = {"/api/me", "/api/enter", "/api/enter/again", "/api/login", "/api/logout"}


def test_who_may_do_what(client: Client) -> None:
    people = {role: client(role, role) for role in ("viewer", "annotator", "admin")}
    people["stranger"] = client()
    for method, path, who in ROUTES:
        for role, person in people.items():
            status = person.request(method, path, **({"json": {}} if method == "POST" else {})).status_code
            if role == "stranger":
                assert status == 401, (path, role, status)
            elif role in MAY[who]:
                assert status not in (401, 403), (path, role, status)
            else:
                assert status == 403, (path, role, status)


def test_no_route_is_forgotten() -> None:
    from trueward.studio.api import desk, exports, imports, manage, people, tokens, watch, work

    there = {
        (method, route.path)
        for module in (manage, imports, exports, desk, people, tokens, watch, work)
        for route in module.router.routes
        for method in route.methods  # type: ignore[attr-defined]  # all are APIRoutes
        if route.path not in OPEN  # type: ignore[attr-defined]  # all are APIRoutes
    }
    assert len(there) == len(ROUTES)


def test_a_printed_link_works_once_and_the_cookie_is_strict(client: Client, studio: Studio) -> None:
    invite = studio.database.write(lambda c: accounts.grant(c, accounts.owner(c), "invite"))
    one, other = client(), client()
    reply = one.post("/api/enter", json={"token": invite})
    cookie = reply.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert invite not in cookie
    assert one.get("/api/me").json()["account"] == {"name": "owner", "role": "admin", "password": False}
    assert other.post("/api/enter", json={"token": invite}).status_code == 401
    assert one.post("/api/logout", json={}).status_code == 200
    assert one.get("/api/me").json()["account"] is None
    raw = b"".join(p.read_bytes() for p in studio.data.iterdir() if p.is_file())
    assert invite.encode() not in raw
    assert one.cookies.get(COOKIE) is None


def test_passwords_are_hashed_and_logins_are_limited(client: Client, studio: Studio) -> None:
    anna, stranger = client("anna"), client()
    assert anna.post("/api/password", json={"password": "short"}).status_code == 422
    assert anna.post("/api/password", json={"password": "correct horse"}).status_code == 200
    assert anna.get("/api/me").json()["account"]["name"] == "anna"
    assert anna.post("/api/password", json={"password": "another horse"}).status_code == 403  # without the present one
    assert stranger.post("/api/login", json={"name": "anna", "password": "correct horse"}).status_code == 200
    with studio.database.reading() as connection:
        row = accounts.by_name(connection, "anna")
    assert row is not None
    assert row.password.startswith("$argon2id$")
    for name in ("anna", "nobody"):
        guesses = [stranger.post("/api/login", json={"name": name, "password": f"{i}"}).status_code for i in range(6)]
        assert guesses == [401] * 5 + [429]
    reply = stranger.post("/api/login", json={"name": "anna", "password": "correct horse"})
    assert reply.status_code == 429  # the right one has to wait as well
    assert 0 < int(reply.headers["retry-after"]) <= 301


def test_a_token_works_for_scripts_and_only_its_hash_is_kept(client: Client, studio: Studio) -> None:
    admin, script = client("boss", "admin"), client()
    token = admin.post("/api/tokens", json={"label": "export"}).json()["token"]
    script.headers.update({"authorization": f"Bearer {token}"})
    del script.headers["origin"]
    assert script.post("/api/projects", json={"name": "q"}).status_code == 200
    assert script.get("/api/projects").json()[0]["name"] == "q"
    script.headers.update({"authorization": f"Bearer {token}x"})
    assert script.get("/api/projects").status_code == 401


def test_a_locked_account_is_out_at_once(client: Client) -> None:
    admin, anna = client("boss", "admin"), client("anna")
    rows = {row["name"]: row["id"] for row in admin.get("/api/accounts").json()}
    assert admin.post(f"/api/accounts/{rows['anna']}/active", json={"active": False}).status_code == 200
    assert anna.get("/api/projects").status_code == 401
    assert admin.post(f"/api/accounts/{rows['boss']}/active", json={"active": False}).status_code == 422


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example:8600"}, 421),
        ({"host": "127.0.0.1:9999"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_the_gate(client: Client, headers: dict[str, str], status: int) -> None:
    admin = client("boss", "admin")
    body = json.dumps({"name": "q"})
    usual = {"content-type": "application/json"}
    assert admin.post("/api/projects", content=body, headers={**usual, **headers}).status_code == status
    assert admin.get("/api/projects").json() == []


def test_too_much_is_refused(client: Client) -> None:
    admin = client("boss", "admin")
    long = json.dumps({"name": "q", "instructions": "x" * MOST_BYTES})
    usual = {"content-type": "application/json"}
    assert admin.post("/api/projects", content=long, headers=usual).status_code == 413
    unannounced = iter([long.encode()])
    assert admin.post("/api/projects", content=unannounced, headers=usual).status_code == 413
    assert admin.get("/api/projects").json() == []


def test_headers_of_every_answer(client: Client) -> None:
    stranger = client()
    for path in ("/", "/runs/some/run", "/page/style.css", "/api/me", "/api/projects", "/nothing"):
        reply = stranger.get(path)
        policy = reply.headers["content-security-policy"]
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
    nowhere = stranger.get("/nothing")
    assert (nowhere.status_code, nowhere.text) == (404, stranger.get("/").text)  # a page that says so
    assert stranger.get("/api/nothing").headers["content-type"] == stranger.get("/favicon.ico").headers["content-type"]


@pytest.mark.parametrize("path", ["/page/../app.py", "/page/%2e%2e/app.py", "/../etc/passwd", "/runs/../../etc/passwd"])
def test_no_path_of_a_request_reaches_the_disk(client: Client, path: str) -> None:
    reply = client("boss", "admin").get(path)
    assert reply.status_code == 404 or "<!doctype html>" in reply.text.lower()
    assert "root:" not in reply.text
    assert "FastAPI" not in reply.text


def test_runs_are_known_by_name_alone(client: Client, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "recipe.toml").write_text("name = 'x'")
    admin = client("boss", "admin")
    for name in ("../outside", "%2e%2e/outside", str(tmp_path / "outside")):
        assert admin.get(f"/api/runs/{name}").status_code in (404, 200)
        assert "evaluations" not in admin.get(f"/api/runs/{name}").text


def test_our_own_form_round_trips_exactly(client: Client, tmp_path: Path) -> None:
    admin, anna = client("boss", "admin"), client("anna")
    fill(admin, n=3, overlap=1)
    items = anna.post("/api/projects/p/queue", json={"count": 3}).json()["items"]
    click(anna, items[0]["assignment"], side="right", strength=3, both="good", text="because")
    click(anna, items[1]["assignment"], kind="tie")
    click(anna, items[2]["assignment"], kind="skip", reason="no idea")
    reply = admin.get("/api/projects/p/export?form=own")
    assert json.loads(reply.headers["x-left-out"]) == {"both good or both bad": 1, "rationales": 1}
    path = tmp_path / "out.jsonl"
    path.write_bytes(reply.content)
    rows = compared.read(path).rows
    assert len(rows) == 2
    assert {r.probability for r in rows} <= {0.0, 0.5, 1.0}
    compared.write(tmp_path / "again.jsonl", rows, "own")
    assert compared.read(tmp_path / "again.jsonl").rows == rows
    assert all(isinstance(r, Comparison) and r.first.text.endswith("\r\n\t") for r in rows)
    reply = admin.get("/api/projects/p/export?form=trl")
    assert json.loads(reply.headers["x-left-out"])["ties"] == 1
    table = list(csv.DictReader(io.StringIO(admin.get("/api/projects/p/export?form=csv").text, newline="")))
    assert len(table) == 2
    assert {row["margin"] for row in table} <= {"3.0", "-3.0", "0.0"}
    events = [json.loads(line) for line in admin.get("/api/projects/p/export?form=events").text.split("\n")[:-1]]
    assert [e["kind"] for e in events] == ["win", "tie", "skip"]
    assert events[0]["text"] == "because"


def test_no_cell_of_a_csv_is_a_formula(client: Client) -> None:
    admin, anna = client("boss", "admin"), client("anna")
    admin.post("/api/projects", json={"name": "p"})
    text = json.dumps({"prompt": "=1+1", "first": "@SUM(A1)", "second": "-2"})
    admin.post("/api/projects/p/import", json={"text": text})
    work_off(anna)
    row = next(csv.DictReader(io.StringIO(admin.get("/api/projects/p/export?form=csv").text)))
    assert (row["prompt"], row["first"], row["second"]) == ("'=1+1", "'@SUM(A1)", "'-2")


def test_the_numbers_of_a_project_follow_what_happens(client: Client) -> None:
    """They are kept while nothing happens; a click, an undo, an import, an exclusion and a closed round all show."""
    admin, anna = client("boss", "admin"), client("anna")
    fill(admin, n=3, overlap=1)

    def numbers() -> tuple[int, ...]:
        page = admin.get("/api/projects/p").json()
        return page["answers"], page["excluded"], page["rounds"][-1]["items"], len(page["rounds"])

    assert numbers() == numbers() == (0, 0, 3, 1)
    items = anna.post("/api/projects/p/queue", json={"count": 2}).json()["items"]
    click(anna, items[0]["assignment"], side="left")
    assert numbers() == (1, 0, 3, 1)
    anna.post("/api/projects/p/undo", json={"key": "an undo's key"})
    assert numbers() == (0, 0, 3, 1)
    click(anna, items[0]["assignment"], side="left")
    click(anna, items[1]["assignment"], side="left")
    admin.post("/api/exclude", json={"assignment": items[1]["assignment"], "reason": "a trial"})
    assert numbers() == (1, 1, 3, 1)
    text = json.dumps({"prompt": "new", "first": "a", "second": "b"})
    admin.post("/api/projects/p/import", json={"text": text})
    assert numbers() == (1, 1, 4, 1)
    admin.post("/api/projects/p/close", json={})
    assert numbers() == (1, 1, 3, 2)  # the item whose answer was excluded goes on too


def test_demonstrations_are_written_and_read_by_a_recipe(client: Client, studio: Studio) -> None:
    admin, anna = client("boss", "admin"), client("anna")
    assert admin.post("/api/projects", json={"name": "p", "kind": "write"}).status_code == 200
    text = '{"prompt": "say hello"}\n{"messages": [{"role": "user", "content": "and\\nbye"}]}\n'
    assert admin.post("/api/projects/p/import", json={"text": text}).json()["added"] == 2
    items = anna.post("/api/projects/p/queue", json={"count": 3}).json()["items"]
    assert [set(item) for item in items] == [{"assignment", "prompt"}] * 2
    refused = {"assignment": items[0]["assignment"], "key": "long enough", "kind": "write", "text": "  "}
    assert anna.post("/api/answers", json=refused).status_code == 409
    for item in items:
        click(anna, item["assignment"], kind="write", text="hello\n\nyou")
    assert [row["text"] for row in anna.get("/api/projects/p/mine").json()] == ["hello\n\nyou"] * 2
    admin.post("/api/projects/p/close", json={})
    found = loading.demonstrations(str(snapshots.snapshots("studio:p", studio.data)[0])).rows
    assert [d.response for d in found] == ["hello\n\nyou"] * 2
    assert admin.get("/api/projects/p/export?form=trl").status_code == 422


def test_what_is_typed_never_becomes_a_control_token(
    client: Client, studio: Studio, make_policy: Callable[..., Any]
) -> None:
    admin, anna = client("boss", "admin"), client("anna")
    admin.post("/api/projects", json={"name": "p", "kind": "write"})
    tools = [{"type": "function", "function": {"name": "f"}}]
    asked = {"messages": [{"role": "user", "content": "film<|end|><|begin|>good"}], "tools": tools}
    admin.post("/api/projects/p/import", json={"text": f'{{"prompt": "film<|end|>"}}\n{json.dumps(asked)}\n'})
    for item in anna.post("/api/projects/p/queue", json={"count": 3}).json()["items"]:
        click(anna, item["assignment"], kind="write", text="good <|end|><|begin|> film<|end|>")
    admin.post("/api/projects/p/close", json={})
    rows = loading.demonstrations(str(snapshots.snapshots("studio:p", studio.data)[0])).rows
    plain, talk = sorted(rows, key=lambda row: len(row.prompt.tools))  # annotators have an order of their own
    assert talk.prompt.tools == tuple(tools)
    tokenizer = make_policy(words=["film", "good"]).tokenizer
    tokenizer.chat_template = "{% for m in messages %}{{ '<|begin|>' + m.content }}{% endfor %}{{ tools | tojson }}"
    door = Collator(tokenizer, 64)
    assert [door.prompt_ids(plain.prompt).count(i) for i in (1, 2)] == [1, 0]
    assert [door.prompt_ids(talk.prompt).count(i) for i in (1, 2)] == [1, 0]
    ids = door.response_ids(talk.response, finished=True)
    assert [ids.count(i) for i in (1, 2)] == [0, 1]
    assert ids[-1] == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected at least one row"),
        ("nonsense", "mine.jsonl, line 1"),
        ('{"prompt": "a", "first": "b"}', "line 1"),
        ('{"prompt": "a", "first": "b", "second": "b"}', "identical"),
        ('{"prompt": "", "first": "b", "second": "c"}', "prompt"),
        ('{"prompt": "a", "first": "b", "second": "c"}\n{"prompt": "a", "chosen": "b", "rejected": "c"}', "line 2"),
    ],
)
def test_a_wrong_import_names_file_and_line_and_leaves_nothing(client: Client, text: str, said: str) -> None:
    admin = client("boss", "admin")
    admin.post("/api/projects", json={"name": "p"})
    reply = admin.post("/api/projects/p/import", json={"text": text, "name": "mine.jsonl"})
    assert reply.status_code == 422
    assert said in reply.json()["detail"]
    assert "import.jsonl" not in reply.json()["detail"]  # the temporary file's name means nothing to anyone
    assert admin.get("/api/projects/p").json()["rounds"][0]["items"] == 0


def test_the_demonstration_is_made_once(client: Client) -> None:
    admin = client("boss", "admin")
    for _ in range(2):
        assert admin.post("/api/demonstration", json={}).json() == {"name": "demonstration"}
    assert admin.get("/api/projects/demonstration").json()["rounds"][0]["items"] == 12


def test_a_json_array_is_imported_as_its_rows(client: Client) -> None:
    boss = client("boss", "admin")
    boss.post("/api/projects", json={"name": "p"})
    rows = [{"prompt": f"q {i}", "first": "a", "second": "b"} for i in range(3)]
    found = boss.post("/api/projects/p/import", json={"text": json.dumps(rows, indent=1), "name": "pairs.json"})
    assert found.json() == {"read": 3, "added": 3, "left_out": {}}
    wrong = boss.post(
        "/api/projects/p/import", json={"text": json.dumps([*rows, {"prompt": "q"}]), "name": "pairs.json"}
    )
    assert wrong.status_code == 422
    assert "pairs.json, row 4" in wrong.json()["detail"]
