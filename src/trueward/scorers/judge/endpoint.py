"""A judge behind any service with OpenAI's chat interface: bounded concurrency, retries, a cache, a spending cap."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trueward.config import JudgeCallsConfig, JudgeConfig
from trueward.scorers.judge import cache
from trueward.scorers.judge.budget import Budget
from trueward.scorers.judge.cache import Cache
from trueward.scorers.judge.question import JudgeQuestion, Reply
from trueward.scorers.judge.reading import read, read_ranking, shortened
from trueward.scorers.judge.response import LONGEST_WAIT, TooLargeError, parse_completion, post, retry_after
from trueward.scorers.judge.waiting import wait_for
from trueward.seeds import seed_for

ANSWER_TOKENS = 12  # for the choice itself, after any reasons
RANK_TOKENS = 4  # more for each choice that is put in its place
LISTED = 20  # log-probs of the most probable tokens; services give no more
AGAIN = (408, 409, 425, 429)  # and 5xx: worth another try
ENOUGH = 1 << 62


class Endpoint:
    """A judge at a service. `ValueError` at once without its key, and at the first request for a wrong address or model."""

    def __init__(self, judge: JudgeConfig, calls: JudgeCallsConfig, seed: int, first_wait: float = 1.0) -> None:
        """seed: sent with requests at a temperature above 0. first_wait: seconds before the first retry, about."""
        self.judge, self.calls, self.seed, self.first_wait = judge, calls, seed, first_wait
        self.address = judge.endpoint.rstrip("/") + "/chat/completions"
        self.headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        self.secret = os.environ.get(calls.key, "").strip() if calls.key else ""
        if calls.key and not self.secret:
            raise ValueError(f"runtime.judge.key: there is no environment variable {calls.key}, or it is empty")
        if self.secret:
            self.headers["Authorization"] = f"Bearer {self.secret}"
        self.cache = Cache(Path(calls.cache) if calls.cache else None)
        self.budget = Budget(calls.price_input, calls.price_output, calls.cap, self.cache.spent)
        self.requests = 0  # made by this process, retries included

    def body(self, question: JudgeQuestion) -> dict[str, Any]:
        """The request's body; all of it goes into the cache's key."""
        judge = self.judge
        body: dict[str, Any] = {
            "model": judge.model,
            "messages": [{"role": "user", "content": question.text}],
            "temperature": judge.temperature,
            "max_tokens": judge.reasons + ANSWER_TOKENS + RANK_TOKENS * len(question.choices) * question.ranks,
        }
        if judge.temperature:
            body["seed"] = self.seed
        if judge.logprobs and not question.ranks:
            body |= {"logprobs": True, "top_logprobs": LISTED}
        return body

    def ask(
        self,
        questions: Sequence[JudgeQuestion],
        most_failed: int = ENOUGH,
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> list[Reply]:
        """As `Backend`. Questions in the cache cost nothing; the others are requested concurrently."""
        self.cache.refresh()  # another judge of this run, or another run, may have made the same request
        self.budget.spent = self.cache.spent
        bodies = [self.body(q) for q in questions]
        keys = [cache.key(self.address, b) for b in bodies]
        missing = {k: b for k, b in zip(keys, bodies, strict=True) if k not in self.cache.answers}
        known = len(questions) - len(missing)
        asking = Asking(self, most_failed, lambda done: on_progress(known + done))
        failed = wait_for(asking.all(missing)) if missing else {}
        return [failed.get(k) or self._reply(k, q) for k, q in zip(keys, questions, strict=True)]

    def in_cache(self, question: JudgeQuestion) -> bool:
        """Whether a question needs no call."""
        return cache.key(self.address, self.body(question)) in self.cache.answers

    def cached(self, questions: Sequence[JudgeQuestion], wrong: str) -> list[Reply]:
        """What the cache has, after a round that ended early; `wrong` for the others."""
        keys = [cache.key(self.address, self.body(q)) for q in questions]
        return [
            self._reply(key, q) if key in self.cache.answers else Reply(wrong=wrong)
            for key, q in zip(keys, questions, strict=True)
        ]

    def _reply(self, key: str, question: JudgeQuestion) -> Reply:
        row = self.cache.answers[key]
        reader = read_ranking if question.ranks else read
        return replace(reader(row["answer"], question.choices, self.judge.reasons > 0), cost=row["cost"])


class Asking:
    """One round of concurrent requests. Every answer that came goes into the cache, even after an error ended the round."""

    def __init__(self, endpoint: Endpoint, most_failed: int, on_progress: Callable[[int], None]) -> None:
        """most_failed: more questions than this without an answer end the round with an error."""
        self.endpoint, self.most_failed, self.on_progress = endpoint, most_failed, on_progress
        self.done = 0
        self.failed: dict[str, Reply] = {}
        self.stop: ValueError | None = None

    async def all(self, missing: dict[str, dict[str, Any]]) -> dict[str, Reply]:
        """Request all of these, by key, and fill the cache; returns a reply with `wrong` set for each without an answer.

        `ValueError` if too many have none, for a cost above the cap, or for a request that the service refuses.
        """
        import httpx2

        calls = self.endpoint.calls
        self.settled = asyncio.Condition()
        left = iter(missing.items())
        limits = httpx2.Limits(max_connections=calls.concurrency, max_keepalive_connections=calls.concurrency)
        async with httpx2.AsyncClient(timeout=None, headers=self.endpoint.headers, limits=limits) as client:
            workers = min(calls.concurrency, len(missing))
            await asyncio.gather(*(self._work(client, left) for _ in range(workers)))
        if self.stop is not None:
            raise self.stop
        return self.failed

    async def _work(self, client: Any, left: Iterator[tuple[str, dict[str, Any]]]) -> None:
        for key, body in left:
            sent = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
            wrong = await self._one(client, key, sent, body["max_tokens"])
            if self.stop is None and wrong:
                self.failed[key] = Reply(wrong=wrong)
                if len(self.failed) > self.most_failed:
                    self.stop = ValueError(
                        f"the judge at {self.endpoint.address} gave no answer to {len(self.failed)} questions, more than "
                        f"judge.max_failed = {self.endpoint.judge.max_failed:g} allows; the last time: {wrong}"
                    )
            if self.stop is not None:
                return
            self.done += 1
            self.on_progress(self.done)

    async def _one(self, client: Any, key: str, sent: bytes, most: int) -> str:
        """Request until there is an answer, and put it into the cache; returns what was wrong, "" if nothing was.

        most: tokens that the service may write.
        """
        tries = self.endpoint.calls.retries + 1
        wrong = ""
        for attempt in range(tries):
            bound = self.endpoint.budget.bound(sent, most)
            if not await self._may_spend(bound):
                return ""
            wrong, wait = await self._try(client, key, sent, bound)
            async with self.settled:
                self.settled.notify_all()
            if not wrong or self.stop is not None:
                return ""
            if attempt + 1 < tries:
                await asyncio.sleep(self._backoff(key, attempt) if wait is None else wait)
        return f"{wrong} ({tries} {'try' if tries == 1 else 'tries'})"

    async def _may_spend(self, bound: float) -> bool:
        """Hold the largest cost of a request; where that does not fit, first wait for requests under way to settle."""
        budget = self.endpoint.budget
        async with self.settled:
            await self.settled.wait_for(lambda: self.stop is not None or budget.fits(bound) or not budget.held > 1e-12)
            if self.stop is None and not budget.fits(bound):
                self.stop = budget.refuse(bound)
                self.settled.notify_all()
            if self.stop is not None:
                return False
            budget.hold(bound)
            return True

    async def _try(self, client: Any, key: str, sent: bytes, bound: float) -> tuple[str, float | None]:
        """One request; returns what was wrong with it, and the seconds to wait if the service names them."""
        import httpx2

        budget, cost = self.endpoint.budget, 0.0
        self.endpoint.requests += 1
        try:
            async with asyncio.timeout(self.endpoint.calls.timeout):
                response = await post(client, self.endpoint.address, sent)
            status, words = response.status, response.error_text(self.endpoint.secret)
            if status in AGAIN or status >= 500:
                return f"HTTP {status}: {words}", retry_after(response.headers.get("Retry-After"))
            if status != 200:
                self.stop = ValueError(f"the judge at {self.endpoint.address}: HTTP {status}: {words}")
                return "refused", None
            cost = bound  # until the response says what it was
            answer, used = parse_completion(response.content)
            if answer is None:
                return f"not a chat completion: {words!r}", None
            if used is not None:
                cost = budget.cost(*used)
            self.endpoint.cache.add(key, answer, cost)
            return "", None
        except TimeoutError:
            cost = bound
            return f"no answer within {self.endpoint.calls.timeout:g} s", None
        except TooLargeError as error:
            cost = bound
            return str(error), None
        except httpx2.HTTPError as error:
            return f"{type(error).__name__}: {shortened(str(error))}".rstrip(": "), None
        finally:
            if cost and key not in self.endpoint.cache.answers:
                self.endpoint.cache.add(key, None, cost)  # no answer, but it may have been billed
            budget.settle(bound, self.endpoint.cache.spent)

    def _backoff(self, key: str, attempt: int) -> float:
        """Seconds to wait: doubled after each try, times a random factor from ½ to 1, so that retries are spread out."""
        chance: float = seed_for(os.getpid(), "backoff", key, attempt) / 2**63
        longest: float = min(LONGEST_WAIT, self.endpoint.first_wait * 2.0**attempt)
        return longest * (0.5 + 0.5 * chance)
