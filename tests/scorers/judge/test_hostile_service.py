"""A service that is broken on purpose: garbage, redirects, slow streams, huge and packed bodies, lies about tokens."""

from __future__ import annotations

import gzip
import json
import math
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trueward.config import JudgeCallsConfig, JudgeConfig
from trueward.scorers.judge import response
from trueward.scorers.judge.cache import Cache
from trueward.scorers.judge.endpoint import Endpoint
from trueward.scorers.judge.question import JudgeQuestion
from trueward.scorers.judge.reading import read
from trueward.scorers.judge.response import MOST_TOKENS, parse_completion, retry_after

QUESTION = JudgeQuestion("Which?", ("A", "B"))
DEEP = b"[" * 200_000
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    10**400,
    1.5,
    math.nan,
    math.inf,
    -math.inf,
    "",
    "A",
    "\ud800\x1b[2J\x00",
    [],
    [[]],
    {},
    {"content": []},
]


def endpoint(address: str, tmp_path: Path, **calls: Any) -> Endpoint:
    settings = JudgeCallsConfig(cache=str(tmp_path / "cache.jsonl"), **{"retries": 0, **calls})
    return Endpoint(JudgeConfig(model="m", endpoint=address), settings, 0, first_wait=0.01)


def completion(**changes: Any) -> dict[str, Any]:
    choice = {"message": {"content": "A"}, "logprobs": {"content": []}, "finish_reason": "stop"} | changes
    return {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}


@pytest.mark.parametrize(
    "raw", [b"", b"\x00", b"\xff\xfe", b"null", b"[]", b'"x"', DEEP, b'{"choices":' + DEEP, b'{"choices": [' + b"9" * 5000,
            b'{"choices": [["message"]]}', b'{"choices": {"0": 1}}', b'{"error": {"message": "\\ud800\\u001b[2J"}}']
)  # fmt: skip
def test_garbage_is_no_answer(serve: Any, tmp_path: Path, raw: bytes) -> None:
    service = serve(lambda body, earlier: {"text": "", "raw": raw})
    (reply,) = endpoint(service.address, tmp_path).ask([QUESTION])
    assert reply.wrong.startswith("not a chat completion")
    assert "\n" not in reply.wrong
    assert len(reply.wrong) < 300


def odd_completions() -> Iterator[dict[str, Any]]:
    for value in ODD:
        yield completion(message=value)
        yield completion(message={"content": value})
        yield completion(logprobs=value)
        yield completion(logprobs={"content": value})
        yield completion(logprobs={"content": [value]})
        yield completion(logprobs={"content": [{"token": "A", "top_logprobs": value}]})
        yield completion(logprobs={"content": [{"token": "A", "top_logprobs": [value]}]})
        yield completion(logprobs={"content": [{"token": value, "top_logprobs": []}]})
        yield completion(logprobs={"content": [{"token": "A", "top_logprobs": [{"token": "A", "logprob": value}]}]})
        yield completion(logprobs={"content": [{"token": "A", "top_logprobs": [{"token": value, "logprob": -1.0}]}]})
        yield completion() | {"usage": value}
        yield completion() | {"usage": {"prompt_tokens": value, "completion_tokens": value}}


def test_odd_values_are_answers_or_errors() -> None:
    for table in odd_completions():
        fields, used = parse_completion(json.dumps(table).encode())
        assert used is None or all(0 <= n <= MOST_TOKENS for n in used)
        if fields is None:
            continue
        for reasons in (False, True):
            reply = read(fields, QUESTION.choices, reasons)
            if reply.logps is not None:
                assert all(math.isfinite(p) and p <= 0.01 for p in reply.logps), table
            else:
                assert reply.wrong or reply.named == 0


@pytest.mark.parametrize("usage", [{"prompt_tokens": -(10**9), "completion_tokens": -(10**9)},
                                   {"prompt_tokens": True, "completion_tokens": False}, [], None, "free"])  # fmt: skip
def test_a_lie_about_tokens_does_not_open_the_cap(serve: Any, tmp_path: Path, usage: Any) -> None:
    raw = json.dumps(completion() | {"usage": usage}).encode()
    service = serve(lambda body, earlier: {"text": "", "raw": raw})
    judge = endpoint(service.address, tmp_path, price_input=1e6, price_output=1e6, cap=1e9)
    judge.ask([QUESTION])
    assert judge.budget.spent > 0
    assert judge.cache.spent == Cache(tmp_path / "cache.jsonl").spent


def test_a_huge_body_is_not_read_to_its_end(serve: Any, tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(400 << 20), 9)
    answers = iter([{"raw": b" " * (64 << 20)}, {"raw": bomb, "headers": {"Content-Encoding": "gzip"}}])
    service = serve(lambda body, earlier: {"text": "", **next(answers)})
    judge = endpoint(service.address, tmp_path)
    for _ in range(2):
        tracemalloc.start()
        (reply,) = judge.ask([QUESTION])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "larger than 16 MiB" in reply.wrong
        assert peak < 250 << 20


@pytest.mark.parametrize("packed", ["zstd", "br", "x\x01y"])
def test_a_body_packed_in_other_ways_is_refused(serve: Any, tmp_path: Path, packed: str) -> None:
    service = serve(lambda body, earlier: {"text": "A", "headers": {"Content-Encoding": packed}})
    (reply,) = endpoint(service.address, tmp_path).ask([QUESTION])
    assert reply.wrong
    assert service.headers[0]["Accept-Encoding"] == "identity"


def test_a_redirect_is_not_followed_and_the_key_goes_nowhere(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "secret-key")
    thief = serve(lambda body, earlier: {"text": "A"})
    for status in (301, 302, 303, 307, 308):
        service = serve(
            lambda b, e, s=status: {"text": "", "status": s, "headers": {"Location": f"{thief.address}/steal"}}
        )
        with pytest.raises(ValueError, match=f"HTTP {status}: it redirects to .*, which is not followed"):
            endpoint(service.address, tmp_path, key="JUDGE_KEY").ask([QUESTION])
    assert thief.bodies == []


def test_a_stream_that_never_ends_ends_in_time(tmp_path: Path) -> None:
    listening = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while True:
                    connection.sendall(b" ")
                    time.sleep(0.05)
            except OSError:
                pass

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    started = time.monotonic()
    (reply,) = endpoint(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", tmp_path, timeout=0.5).ask([QUESTION])
    assert reply.wrong.startswith("no answer within 0.5 s")
    assert time.monotonic() - started < 10
    thread.join(10)
    listening.close()


def test_an_answer_made_to_be_slow_to_read_is_read_at_once() -> None:
    started = time.monotonic()
    for text in ("\n" * 1_000_000, "." * 1_000_000, ".answer" * 100_000, "answer" + "." * 900_000, "x" * 50_000_000):
        assert read({"message": {"content": text}}, QUESTION.choices, False).wrong
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("header", ["nan", "inf", "-inf", "1e999", "99999999999999999999", "Wed, 21 Oct 99999 07:28:00 GMT",
                                    "Mon, 01 Jan 0001 00:00:00 +2359", "\x00", "1" * 5000])  # fmt: skip
def test_when_to_try_again_is_a_short_wait_or_none(header: str) -> None:
    wait = retry_after(header)
    assert wait is None or 0 <= wait <= response.LONGEST_WAIT


@pytest.mark.parametrize("cost", ["abc", -1e9, float("nan"), None, [], True, 10**400])
def test_a_cache_with_odd_costs_does_not_open_the_cap(tmp_path: Path, cost: Any) -> None:
    rows = [{"key": "a", "answer": {}, "cost": cost}, {"key": "b", "answer": {}, "cost": 2.0}]
    path = tmp_path / "cache.jsonl"
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows) + DEEP + b"\n")
    assert Cache(path).spent == 2.0
