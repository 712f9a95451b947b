"""Guesses are counted before they are tried, per name and per address, and nobody's word for an address is believed unasked."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from trueward.studio import app, serve
from trueward.studio.api import limits
from trueward.studio.api.gate import Names
from trueward.studio.api.limits import Hashing, Limiter
from trueward.studio.api.place import Studio
from trueward.studio.store import accounts

Client = Callable[..., TestClient]
ADDRESS = "http://127.0.0.1:8600"
PASSWORD = "correct horse battery"
Served = Callable[..., TestClient]


@pytest.fixture
def served(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A stranger before all that the server puts before the application: `served("10.1.1.1", proxies=...)`."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(accounts, "_hasher", quick)
    monkeypatch.setattr(accounts, "_NOBODY", quick.hash("nobody"))
    application = app.make(studio, Names.of(8600))
    TestClient(application, base_url=ADDRESS).get("/api/me")  # FastAPI prepares its routes at the first request

    def come(address: str = "10.1.1.1", proxies: tuple[str, ...] = ()) -> TestClient:
        config = serve.settings(application, proxies)
        config.load()
        return TestClient(config.loaded_app, base_url=ADDRESS, headers={"origin": ADDRESS}, client=(address, 1234))

    return come


def guess(one: TestClient, name: str, password: str = "no", **headers: str) -> int:  # noqa: S107
    return int(one.post("/api/login", json={"name": name, "password": password}, headers=headers).status_code)


@pytest.fixture
def anna(studio: Studio, served: Served) -> str:
    studio.database.write(lambda c: accounts.create(c, "anna", "annotator", PASSWORD))
    return "anna"


def test_parallel_guesses_count_too(served: Served, anna: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 at once, while every password takes its time: five are tried."""
    tried = []
    slow = threading.Event()

    def check(account: Any, password: str) -> bool:
        tried.append(password)
        slow.wait(1.0)
        return False

    monkeypatch.setattr(accounts, "check_password", check)
    statuses: list[int] = []

    def one(i: int) -> None:
        statuses.append(guess(served(), anna, f"guess {i}"))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Counter(statuses) == {401: limits.PAIR, 429: 40 - limits.PAIR}
    assert len(tried) == limits.PAIR


def test_one_password_over_many_names(served: Served, anna: str) -> None:
    stranger = served()
    statuses = [guess(stranger, f"name {i}") for i in range(30)]
    assert statuses == [401] * limits.ADDRESS + [429] * (30 - limits.ADDRESS)
    assert guess(stranger, anna, PASSWORD) == 429
    assert guess(served("10.1.1.2"), anna, PASSWORD) == 200  # others come in meanwhile


def test_one_name_from_many_addresses(served: Served, anna: str) -> None:
    statuses = [guess(served(f"10.2.0.{i}"), anna) for i in range(30)]
    assert statuses == [401] * limits.NAME + [429] * (30 - limits.NAME)


def test_a_right_password_is_no_attempt_and_forgives_none(served: Served, anna: str) -> None:
    one = served()
    for _ in range(limits.ADDRESS + 5):
        assert guess(one, anna, PASSWORD) == 200
    assert [guess(one, anna) for _ in range(4)] == [401] * 4
    assert guess(one, anna, PASSWORD) == 200
    assert [guess(one, "Anna"), guess(one, anna)] == [401, 429]  # one name, however it is written


def test_a_rotated_header_is_not_believed(served: Served, anna: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    for address in ("10.1.1.1", "127.0.0.1"):
        one = served(address)
        statuses = [guess(one, f"x{address}", **{"x-forwarded-for": f"10.9.9.{i}"}) for i in range(6)]
        assert statuses == [401] * 5 + [429], address


def test_a_proxy_that_is_named_is_believed(served: Served, anna: str) -> None:
    one = served("10.0.0.7", ("10.0.0.0/24", "::1"))
    for i in range(7):
        assert guess(one, f"name {i}", **{"x-forwarded-for": f"10.9.9.{i}"}) == 401
    # what the client itself put before the proxy's entry counts for nothing
    statuses = [guess(one, anna, **{"x-forwarded-for": f"1.1.1.{i}, 10.8.8.8"}) for i in range(6)]
    assert statuses == [401] * 5 + [429]
    other = served("10.0.1.7", ("10.0.0.0/24",))
    assert [guess(other, "x", **{"x-forwarded-for": f"10.9.9.{i}"}) for i in range(6)] == [401] * 5 + [429]


@pytest.mark.parametrize("wrong", ["*", "proxy", "10.0.0.0/99", "10.0.0", "", "1.2.3.4,5.6.7.8"])
def test_a_proxy_is_an_address_or_a_network(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"--trusted-proxy .*: expected an IP address or a network"):
        serve.network(wrong)


def test_what_is_one_address() -> None:
    assert limits.network("2001:db8:1:2:3:4:5:6") == limits.network("2001:db8:1:2:ffff::") == "2001:db8:1:2::/64"
    assert limits.network("::ffff:10.0.0.1") == limits.network("10.0.0.1") == "10.0.0.1"
    assert limits.network("testclient") == "testclient"


def test_the_present_password_is_not_guessed_either(client: Client, served: Served) -> None:
    anna = client("anna")
    assert anna.post("/api/password", json={"password": PASSWORD}).status_code == 200
    body = {"password": "another horse battery", "current": "wrong"}
    assert [anna.post("/api/password", json=body).status_code for _ in range(6)] == [403] * 5 + [429]


def test_attempts_wear_off_and_the_memory_of_them_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(limits, "KEYS", 50)
    limiter = Limiter(window=10.0)
    assert [limiter.attempt({"a": 2, "b": 3}) for _ in range(3)] == [0, 0, 11]
    assert limiter.attempt({"b": 3}) == 0  # the refused one was not counted under b
    limiter.succeeded({"b": 3})
    assert limiter.attempt({"b": 3}) == 0
    now[0] += 10.5
    assert limiter.attempt({"a": 2, "b": 3}) == 0
    for i in range(1000):
        limiter.attempt({f"k{i}": 1})
    assert len(limiter.seen) == 50


def test_few_passwords_are_hashed_at_a_time() -> None:
    hashing, entered, go = Hashing(at_once=1, waiting=1), threading.Semaphore(0), threading.Event()
    outcome: list[bool] = []

    def one() -> None:
        with hashing.place() as ours:
            outcome.append(ours)
            entered.release()
            if ours:
                go.wait(20)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):  # one hashes, one waits, two are sent away
        assert entered.acquire(timeout=20)
    assert sorted(outcome) == [False, False, True]
    go.set()
    for thread in threads:
        thread.join(20)
    assert sorted(outcome) == [False, False, True, True]
