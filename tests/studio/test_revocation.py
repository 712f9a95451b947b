"""Whatever stands for an account ends: with its password, with its lock, by itself, and when somebody revokes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import odd_requests as odd
import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from trueward.studio.api import watch
from trueward.studio.api.place import Studio, holder
from trueward.studio.store import accounts
from trueward.studio.store import tables as t
from trueward.studio.store.database import Database

Client = Callable[..., TestClient]
Command = Callable[..., tuple[int, str, str]]
PASSWORD = "correct horse battery"


def script(client: Client, token: str) -> TestClient:
    one = client()
    one.headers.update({"authorization": f"Bearer {token}"})
    return one


def token(person: TestClient, label: str = "export", **more: Any) -> str:
    return str(person.post("/api/tokens", json={"label": label, **more}).json()["token"])


def status(one: TestClient) -> int:
    return int(one.get("/api/projects").status_code)


def test_a_new_password_ends_what_came_with_the_old_one(client: Client, studio: Studio) -> None:
    admin, anna = client("boss", "admin"), client("anna")
    number = next(row["id"] for row in admin.get("/api/accounts").json() if row["name"] == "anna")
    invite = admin.post(f"/api/accounts/{number}/invite", json={}).json()["token"]
    bot, other = script(client, token(anna)), script(client, token(admin))
    elsewhere = client()
    elsewhere.cookies.update(anna.cookies)
    assert [status(one) for one in (anna, bot, elsewhere, other)] == [200] * 4
    assert anna.post("/api/password", json={"password": PASSWORD}).status_code == 200
    assert [status(one) for one in (anna, bot, elsewhere, other)] == [200, 401, 401, 200]
    assert client().post("/api/enter", json={"token": invite}).status_code == 401
    again = script(client, token(anna))
    studio.database.write(lambda c: accounts.set_password(c, number, "another horse battery"))  # as the command does
    assert [status(one) for one in (anna, again)] == [401, 401]


def test_a_lock_ends_everything_for_good(client: Client) -> None:
    admin, anna = client("boss", "admin"), client("anna")
    number = next(row["id"] for row in admin.get("/api/accounts").json() if row["name"] == "anna")
    bot = script(client, token(anna))
    for active in (False, True):
        assert admin.post(f"/api/accounts/{number}/active", json={"active": active}).status_code == 200
        assert [status(one) for one in (anna, bot)] == [401, 401]


def test_tokens_are_listed_and_revoked_by_who_may(client: Client) -> None:
    admin, anna, ben = client("boss", "admin"), client("anna"), client("ben")
    secret = token(anna, "Anna's export", days=3)
    bot = script(client, secret)
    mine = anna.get("/api/tokens").json()
    assert [(row["kind"], row["label"], row["account"], row["this"]) for row in mine] == [
        ("session", "", "anna", True),
        ("token", "Anna's export", "anna", False),
    ]
    assert mine[1]["expires"] - mine[1]["created"] == pytest.approx(3 * 86400)
    assert secret not in str(mine)
    assert {row["account"] for row in admin.get("/api/tokens").json()} == {"boss", "anna", "ben"}
    address = f"/api/tokens/{mine[1]['id']}/revoke"
    assert ben.post(address, json={}).status_code == 404  # somebody else's
    assert status(bot) == 200
    assert anna.post(address, json={}).status_code == 200
    assert status(bot) == 401
    assert anna.post(address, json={}).status_code == 404
    second = script(client, token(anna))
    row = next(row for row in admin.get("/api/tokens").json() if row["kind"] == "token")
    assert admin.post(f"/api/tokens/{row['id']}/revoke", json={}).status_code == 200
    assert status(second) == 401
    assert anna.post(f"/api/tokens/{mine[0]['id']}/revoke", json={}).status_code == 200  # one's own session
    assert status(anna) == 401


def test_a_token_makes_no_token_and_sets_no_password(client: Client) -> None:
    bot = script(client, token(client("boss", "admin")))
    assert bot.post("/api/tokens", json={"label": "another"}).status_code == 403
    assert bot.post("/api/password", json={"password": PASSWORD}).status_code == 403


def test_tokens_end_by_themselves(client: Client, studio: Studio) -> None:
    anna = client("anna")
    assert anna.post("/api/tokens", json={"label": "x", "days": 400}).status_code == 422
    bot = script(client, token(anna))
    studio.database.write(
        lambda c: c.execute(update(t.credential).where(t.credential.c.kind == "token").values(expires=1.0))
    )
    assert status(bot) == 401
    assert [row["kind"] for row in anna.get("/api/tokens").json()] == ["session"]
    token(anna)  # whoever makes one takes the ended ones away
    with studio.database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM credential WHERE expires < 2")).scalar() == 0


def test_tokens_of_before_end_within_a_year(tmp_path: Path) -> None:
    from trueward.studio.store import database

    engine = database._engine(f"sqlite:///{tmp_path / database.FILE}")
    database.upgrade(engine, "0002")
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO account (id, name, role, active, created) VALUES (1, 'anna', 'admin', 1, 0)")
        )
        connection.execute(
            text("INSERT INTO credential (hash, account_id, kind, label, created, expires) VALUES "
                 "('a', 1, 'token', '', 0, 9e9), ('b', 1, 'token', '', 0, 1), ('c', 1, 'session', '', 0, 8e9)")
        )  # fmt: skip
    engine.dispose()
    opened = Database(tmp_path)
    with opened.reading() as connection:
        rows = {row.hash: row.expires for row in connection.execute(text("SELECT hash, expires FROM credential"))}
    opened.close()
    assert 2e9 > rows["a"] > 1.7e9
    assert (rows["b"], rows["c"]) == (1, 8e9)


END: dict[str, Callable[[Any, int], None]] = {
    "revoked": accounts.revoke_all,
    "locked": lambda c, number: accounts.set_active(c, number, False),
    "a new password": lambda c, number: accounts.set_password(c, number, PASSWORD),
    "may no longer watch": lambda c, number: accounts.set_role(c, number, "annotator"),
    "expired": lambda c, number: c.execute(update(t.credential).values(expires=1.0)),
}


@pytest.mark.parametrize("why", END)
def test_an_event_stream_ends_with_its_viewer(
    studio: Studio, tmp_path: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "EVERY", 0.01)
    number = studio.database.write(lambda c: accounts.create(c, "eve", "viewer"))
    session = studio.database.write(lambda c: accounts.grant(c, number, "session"))
    eve = holder(studio, accounts.digest(session), "session")
    assert eve is not None
    log = tmp_path / "runs" / "r" / "policy" / "metrics.jsonl"
    log.parent.mkdir(parents=True)

    async def watching() -> list[Any]:
        sent = []
        async for event in watch.events(studio, eve, tmp_path / "runs" / "r"):
            sent.append(event)
            if len(sent) == 1:  # its first state: from here on it may see nothing
                studio.database.write(lambda c: END[why](c, number))
                log.write_text('{"step": 1, "kl": 0.5}\n')
        return sent

    assert len(odd.finished(watching())) == 1


def test_a_stream_shows_nothing_while_the_database_is_away(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = studio.database.write(lambda c: accounts.create(c, "eve", "viewer"))
    session = studio.database.write(lambda c: accounts.grant(c, number, "session"))
    eve = holder(studio, accounts.digest(session), "session")
    assert eve is not None
    assert watch.may_watch(studio, eve) is True

    def away() -> Any:
        raise OperationalError("SELECT", {}, Exception("server closed the connection"))

    monkeypatch.setattr(studio.database, "reading", away)
    assert watch.may_watch(studio, eve) is None


def test_one_account_holds_few_streams(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    number = studio.database.write(lambda c: accounts.create(c, "eve", "viewer"))
    session = studio.database.write(lambda c: accounts.grant(c, number, "session"))
    eve = holder(studio, accounts.digest(session), "session")
    assert eve is not None

    async def opened() -> tuple[int, int]:
        streams = [watch.one_stream(studio, eve) for _ in range(watch.MOST_STREAMS + 1)]
        for one in streams[:-1]:
            await anext(one)
        with pytest.raises(watch.HTTPException) as refused:
            await anext(streams[-1])
        for one in streams:
            await one.aclose()
        return refused.value.status_code, studio.streams[eve.id]

    assert odd.finished(opened()) == (429, 0)


def test_the_commands(command: Command, tmp_path: Path) -> None:
    assert command("studio", "account", "anna")[0] == 0
    code, out, _ = command("studio", "token", "anna", "--label", "a\x1b[2Jb", "--days", "2")
    assert code == 0
    secret = out.strip()
    code, out, _ = command("studio", "tokens")
    assert code == 0
    assert "anna  token  until 2" in out
    assert "a\\x1b[2Jb" in out
    assert secret not in out
    which = out.split()[0]
    code, out, err = command("studio", "revoke", "anna")
    assert (code, out) == (2, "")
    assert err.strip() == "trueward: there is no token or session 'anna': see trueward studio tokens"
    assert command("studio", "revoke", which)[:2] == (0, f"{which} has ended\n")
    assert command("studio", "tokens", "anna")[:2] == (0, "no tokens and no sessions\n")
    secret = command("studio", "token", "anna")[1].strip()
    assert command("studio", "account", "anna", "--role", "viewer")[0] == 0
    assert command("studio", "account", "anna", "--role", "king")[0] == 2
    database = Database(tmp_path / "studio")
    with database.reading() as connection:
        assert accounts.who(connection, secret, "token").role == "viewer"  # type: ignore[union-attr]  # it is there
    assert command("studio", "revoke", "--all", "anna")[0] == 0
    with database.reading() as connection:
        assert accounts.who(connection, secret, "token") is None
    database.close()
    assert command("studio", "revoke", "--all", "nobody")[0] == 2
    assert command("studio", "token", "anna", "--label", "x" * 81)[0] == 2
