"""A service that fails in every way that services do. Under 10 s."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

from trueward.config import JudgeCallsConfig, JudgeConfig
from trueward.scorers.judge.budget import CapError
from trueward.scorers.judge.endpoint import ANSWER_TOKENS, Endpoint
from trueward.scorers.judge.question import JudgeQuestion
from trueward.scorers.judge.response import retry_after

A, B = math.log(0.8), math.log(0.2)


def answer(text: str = "A", tops: Any = None, **rest: Any) -> dict[str, Any]:
    return {"text": text, "tops": tops, **rest}


def question(i: int = 0) -> JudgeQuestion:
    return JudgeQuestion(f"Question {i}?", ("A", "B"))


def endpoint(service: Any, tmp_path: Path, *, judge: dict[str, Any] | None = None, **calls: Any) -> Endpoint:
    settings = JudgeConfig(model="m", endpoint=service.address, **(judge or {}))
    return Endpoint(settings, JudgeCallsConfig(cache=str(tmp_path / "cache.jsonl"), **calls), 0, first_wait=0.01)


def text(body: dict[str, Any]) -> str:
    return str(body["messages"][0]["content"])


def test_log_probs_of_the_choices(serve: Any, tmp_path: Path) -> None:
    tops = [{"A": A, " A": math.log(0.05), "B": B, "The": -9.0}]
    service = serve(lambda body, earlier: answer("A", tops))
    got = endpoint(service, tmp_path).ask([question()])[0]
    assert got.logps == pytest.approx((math.log(0.85), B))
    assert got.mass == pytest.approx(1.0)
    (body,) = service.bodies
    assert (body["model"], body["temperature"], body["logprobs"], body["top_logprobs"]) == ("m", 0.0, True, 20)
    assert body["max_tokens"] == ANSWER_TOKENS
    assert "seed" not in body


def test_text_alone(serve: Any, tmp_path: Path) -> None:
    service = serve(lambda body, earlier: answer(" **B**.\n"))
    got = endpoint(service, tmp_path, judge={"logprobs": False}).ask([question()])[0]
    assert (got.logps, got.named, got.wrong) == (None, 1, "")
    assert not {"logprobs", "top_logprobs"} & set(service.bodies[0])


@pytest.mark.parametrize(
    "failure",
    [
        answer("slow down", status=429, headers={"Retry-After": "0"}),
        answer("slow down", status=429),
        answer("oh", status=500),
        answer("oh", status=503, raw=b"<html>"),
        answer(raw=b"not JSON"),
        answer(raw=b'{"choices": []}'),
        answer(raw=b'{"choices": [{"message": {}}]}'),
        answer(raw=b"[]"),
    ],
    ids=str,
)
def test_a_failure_is_tried_again(serve: Any, tmp_path: Path, failure: dict[str, Any]) -> None:
    service = serve(lambda body, earlier: failure if earlier < 2 else answer("B"))
    judge_endpoint = endpoint(service, tmp_path)
    assert judge_endpoint.ask([question()])[0].named == 1
    assert judge_endpoint.requests == len(service.bodies) == 3


def test_it_waits_as_long_as_it_is_asked_to(serve: Any, tmp_path: Path) -> None:
    service = serve(lambda body, earlier: answer() if earlier else answer(status=429, headers={"Retry-After": "0.4"}))
    started = time.monotonic()
    endpoint(service, tmp_path).ask([question()])
    assert time.monotonic() - started >= 0.4
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after("99999999") == 60.0
    assert retry_after("soon") is None
    assert retry_after(None) is None


def test_waits_double_and_differ(serve: Any, tmp_path: Path) -> None:
    from trueward.scorers.judge.endpoint import Asking

    asking = Asking(endpoint(serve(lambda b, n: answer()), tmp_path), 0, lambda done: None)
    waits = [[asking._backoff(str(key), attempt) for key in range(20)] for attempt in range(4)]
    for attempt, row in enumerate(waits):
        top = 0.01 * 2**attempt
        assert all(top / 2 <= wait <= top for wait in row)
        assert len(set(row)) == 20
    assert asking._backoff("k", 40) <= 60.0


def test_a_slow_answer_is_asked_for_again(serve: Any, tmp_path: Path) -> None:
    service = serve(lambda body, earlier: answer(seconds=0.0 if earlier else 2.0))
    judge_endpoint = endpoint(service, tmp_path, timeout=0.3, price_input=1.0)
    assert judge_endpoint.ask([question()])[0].named == 0
    assert len(service.bodies) == 2
    sent = len(json.dumps(service.bodies[0]).encode())
    lost = sent / 1e6  # it may have been billed: taken at the most that it can have cost
    assert judge_endpoint.budget.spent == pytest.approx(lost + 100 / 1e6)


def test_a_service_that_is_not_there(serve: Any, tmp_path: Path) -> None:
    service = serve(lambda body, earlier: answer())
    judge_endpoint = endpoint(service, tmp_path, retries=1)
    judge_endpoint.address = "http://127.0.0.1:9/v1/chat/completions"
    got = judge_endpoint.ask([question()])[0]
    assert "Connect" in got.wrong
    assert "(2 tries)" in got.wrong


def test_a_mistake_is_not_tried_again(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "hush-hush")
    service = serve(lambda body, earlier: answer("bad key hush-hush\ngiven", status=401))
    with pytest.raises(ValueError, match=r"HTTP 401: bad key \[key\] given$"):
        endpoint(service, tmp_path, key="MY_KEY", concurrency=1).ask([question(i) for i in range(9)])
    assert len(service.bodies) == 1


def test_more_failures_than_are_allowed_stop_it(serve: Any, tmp_path: Path) -> None:
    service = serve(lambda body, earlier: answer("no", status=500))
    with pytest.raises(
        ValueError, match=r"gave no answer to 3 questions.*max_failed = 0.05 allows.*HTTP 500: no \(1 try\)"
    ):
        endpoint(service, tmp_path, retries=0, concurrency=1).ask([question(i) for i in range(9)], most_failed=2)
    assert len(service.bodies) == 3


def test_the_key_is_sent_and_kept_nowhere(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = serve(lambda body, earlier: answer())
    with pytest.raises(ValueError, match="no environment variable MY_KEY"):
        endpoint(service, tmp_path, key="MY_KEY")
    monkeypatch.setenv("MY_KEY", "hush-hush")
    endpoint(service, tmp_path, key="MY_KEY").ask([question()])
    assert service.headers[0]["Authorization"] == "Bearer hush-hush"
    assert "hush-hush" not in (tmp_path / "cache.jsonl").read_text()
    assert (tmp_path / "cache.jsonl").stat().st_mode & 0o077 == 0


def test_no_more_at_once_than_allowed(serve: Any, tmp_path: Path) -> None:
    service = serve(lambda body, earlier: answer(seconds=0.03))
    endpoint(service, tmp_path, concurrency=3).ask([question(i) for i in range(12)])
    assert len(service.bodies) == 12
    assert service.most_at_once == 3


def test_answers_come_back_in_order(serve: Any, tmp_path: Path) -> None:
    def says(body: dict[str, Any], earlier: int) -> dict[str, Any]:
        i = int(text(body).split()[1][:-1])
        return answer("AB"[i % 2], seconds=0.02 * (i % 3))

    reported: list[int] = []
    judge_endpoint = endpoint(serve(says), tmp_path, concurrency=4)
    got = judge_endpoint.ask([question(i) for i in range(10)], on_progress=reported.append)
    assert [r.named for r in got] == [i % 2 for i in range(10)]
    assert reported == list(range(1, 11))


def test_nothing_is_asked_twice(serve: Any, tmp_path: Path) -> None:
    service = serve(lambda body, earlier: answer("A", [{"A": A, "B": B}]))
    questions = [question(0), question(1), question(0)]
    one = endpoint(service, tmp_path, price_input=10.0).ask(questions)
    assert len(service.bodies) == 2, "the same question twice is one"
    two = endpoint(service, tmp_path, price_input=10.0).ask(questions)
    assert len(service.bodies) == 2
    assert one == two
    assert one[0].cost == pytest.approx(100 * 10 / 1e6)
    for change in ({"temperature": 0.5}, {"model": "other"}, {"logprobs": False}):
        earlier = len(service.bodies)
        settings = JudgeConfig.model_validate({"model": "m", "endpoint": service.address, **change})
        Endpoint(settings, JudgeCallsConfig(cache=str(tmp_path / "cache.jsonl")), 0).ask([question(0)])
        assert len(service.bodies) == earlier + 1, f"{change} is another request"


def test_what_a_kill_left_half_written_is_asked_again(serve: Any, tmp_path: Path) -> None:
    service = serve(lambda body, earlier: answer())
    endpoint(service, tmp_path).ask([question(i) for i in range(3)])
    path = tmp_path / "cache.jsonl"
    complete = path.read_bytes()
    path.write_bytes(complete[:-20])
    for _ in range(2):
        assert [r.named for r in endpoint(service, tmp_path).ask([question(i) for i in range(3)])] == [0, 0, 0]
        assert len(service.bodies) == 4
    assert path.read_bytes().startswith(complete[:-20] + b"\n"), "it only grows"


def test_two_that_share_a_cache_see_each_other_s_answers(serve: Any, tmp_path: Path) -> None:
    service = serve(lambda body, earlier: answer())
    one, two = (endpoint(service, tmp_path, price_input=1.0) for _ in range(2))
    one.ask([question(0)])
    two.ask([question(0), question(1)])
    one.ask([question(1)])
    assert len(service.bodies) == 2
    assert one.budget.spent == two.budget.spent == pytest.approx(2 * 100 / 1e6)


def test_without_a_cache(serve: Any, tmp_path: Path) -> None:
    service = serve(lambda body, earlier: answer())
    judge_endpoint = Endpoint(
        JudgeConfig(model="m", endpoint=service.address), JudgeCallsConfig(cache="", price_input=1.0), 0
    )
    assert judge_endpoint.ask([question()])[0].named == 0
    assert judge_endpoint.budget.spent == pytest.approx(1e-4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_cap_is_never_passed(serve: Any, tmp_path: Path, concurrency: int) -> None:
    """Each answer costs 1; a request may cost at most 1 + what is bounded; the cap is 5."""
    service = serve(lambda body, earlier: answer(usage=(0, 10), seconds=0.01))
    prices: dict[str, Any] = {"price_output": 1e5, "cap": 5.0, "concurrency": concurrency}
    with pytest.raises(
        CapError, match=r"runtime.judge.cap: .* is spent.*pass the cap of 5; all answers so far are kept"
    ):
        endpoint(service, tmp_path, **prices).ask([question(i) for i in range(20)])
    # The largest cost of a request is ANSWER_TOKENS·0.1 = 1.2, so the fourth fits at 3 + 1.2 and the fifth not at 4 + 1.2.
    assert len(service.bodies) == 4
    assert (
        Endpoint(
            JudgeConfig(model="m", endpoint=service.address), JudgeCallsConfig(cache=str(tmp_path / "cache.jsonl")), 0
        ).cache.spent
        == 4.0
    )
    with pytest.raises(CapError):
        endpoint(service, tmp_path, **prices).ask([question(i) for i in range(20)])
    assert len(service.bodies) == 4, "what was spent before counts"
    got = endpoint(service, tmp_path, **{**prices, "cap": 100.0}).ask([question(i) for i in range(20)])
    assert len(service.bodies) == 20, "nothing is paid for twice"
    assert sum(r.cost for r in got) == pytest.approx(20.0)


def test_a_service_that_does_not_count_its_tokens_is_taken_at_its_dearest(serve: Any, tmp_path: Path) -> None:
    service = serve(lambda body, earlier: answer(usage=None))
    judge_endpoint = endpoint(service, tmp_path, price_input=1.0, price_output=2.0)
    (got,) = judge_endpoint.ask([question()])
    sent = len(json.dumps(service.bodies[0]).encode())
    assert got.cost == pytest.approx((sent + 2 * ANSWER_TOKENS) / 1e6)


def test_garbage_is_an_error_that_is_paid_for_once(serve: Any, tmp_path: Path) -> None:
    service = serve(lambda body, earlier: answer("I like both."))
    for _ in range(2):
        got = endpoint(service, tmp_path).ask([question()])[0]
        assert got.wrong == "not an answer: 'I like both.'"
        assert got.logps is None
        assert got.named is None
    assert len(service.bodies) == 1


def test_reasons_come_before_the_answer(serve: Any, tmp_path: Path) -> None:
    reasoned = "A is short.\nB is long.\nAnswer: B"
    service = serve(lambda body, earlier: answer(reasoned, [{"A": -0.1, "B": -0.2}, {" B": B, " A": A}]))
    judge_endpoint = endpoint(service, tmp_path, judge={"reasons": 50, "temperature": 0.7})
    got = judge_endpoint.ask([question()])[0]
    assert got.logps == pytest.approx((A, B)), "those of the last token that is the answer"
    assert service.bodies[0]["max_tokens"] == 50 + ANSWER_TOKENS
    assert service.bodies[0]["seed"] == 0
