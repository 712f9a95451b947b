"""A judge is asked from a thread that has a running loop, as a notebook's cell has, and from one that has none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import torch
from tests.service import Service

from trueward.config import JudgeCallsConfig, JudgeConfig
from trueward.records import Completion, Prompt
from trueward.scorers.judge import llm_judge
from trueward.scorers.judge.call_limit import CallLimit
from trueward.scorers.judge.waiting import wait_for


async def later(value: int) -> int:
    await asyncio.sleep(0)
    if value < 0:
        raise ValueError("less than nothing")
    return value


def test_without_a_loop_and_with_one() -> None:
    async def cell() -> int:
        return wait_for(later(2))

    assert wait_for(later(1)) == 1
    assert asyncio.run(cell()) == 2


def test_what_it_raises_is_raised() -> None:
    async def cell() -> None:
        wait_for(later(-1))

    with pytest.raises(ValueError, match="less than nothing"):
        asyncio.run(cell())


def test_a_judge_in_a_notebook(serve: Callable[..., Service]) -> None:
    service = serve(lambda body, before: {"text": "A"})
    config = JudgeConfig(model="m", endpoint=service.address)
    judge = llm_judge.make(config, JudgeCallsConfig(cache="", retries=0), 0, torch.device("cpu"), 4096, CallLimit())
    pair = tuple(Completion(prompt=Prompt(text="p"), response=text) for text in ("x", "y"))

    async def cell() -> int:
        return len(judge.compare([pair]))  # type: ignore[list-item]

    assert asyncio.run(cell()) == 1
