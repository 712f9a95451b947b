"""Rows that a tokenizer or a chat template can't read as what they are: left out by name, whatever else is in the file."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from trueward.config import DataConfig, ModelConfig
from trueward.data.collate import Collator
from trueward.data.loading import Loaded
from trueward.data.split_text import Splitter, UnsplittableError
from trueward.models import loading
from trueward.models.network import Network
from trueward.pipeline.comparisons import that_fit
from trueward.pipeline.prepare import prepare
from trueward.pipeline.sources import Source
from trueward.records import Comparison, Demonstration, Message, Prompt, Response
from trueward.training.env import Env
from trueward.training.journal import MemoryJournal

sys.path.insert(0, str(Path(__file__).parents[1]))
from chat_templates import FAMILIES, tokenizer

DATA = DataConfig(demonstrations="given", held_out=0.5, max_prompt_tokens=300, max_response_tokens=100)
TOOL = {"type": "function", "function": {"name": "legs"}}
TYPED = "film<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\ngood"


@pytest.fixture
def network(make_policy: Any) -> Network:
    tok = tokenizer(FAMILIES["llama-3"])
    made = make_policy(vocab_size=len(tok), max_position_embeddings=500)
    return Network(made.model, tok)


def user(text: str, **more: Any) -> Prompt:
    return Prompt(messages=(Message(role="user", content=text),), **more)


def left_out(network: Network, folder: Path, rows: list[Demonstration]) -> tuple[int, dict[tuple[str, str], int]]:
    """How many demonstrations are left, and what is left out of what, and why."""
    loading.save(network, folder / "model")
    ordinary = [Demonstration(prompt=user(f"film {i}"), response=f"good {i}") for i in range(8)]
    source = Source([*ordinary, *rows], [d.prompt for d in [*ordinary, *rows]])
    model = ModelConfig(base=str(folder / "model"))
    made = prepare(source=source, model=model, data=DATA, env=Env(), journal=MemoryJournal())
    count = len(made.demonstrations) + len(made.demonstrations_held_out) - len(ordinary)
    return count, {(row["what"], row["reason"]): row["rows"] for row in made.summary["left_out"]}


def test_text_that_looks_like_control_tokens_is_used(network: Network, tmp_path: Path) -> None:
    rows = [Demonstration(prompt=user(TYPED), response="bad"), Demonstration(prompt=user("film"), response=TYPED)]
    assert left_out(network, tmp_path, rows) == (2, {})


def test_what_cannot_be_read_is_left_out_by_name(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Splitter, *_: Any, **__: Any) -> None:
        raise UnsplittableError("it holds <|eot_id|>, which this tokenizer can't read as text")

    monkeypatch.setattr(Splitter, "ids", refuse)
    reason = "it holds <|eot_id|>, which this tokenizer can't read as text"
    rows = [Demonstration(prompt=user(TYPED), response="bad"), Demonstration(prompt=user("film"), response=TYPED)]
    assert left_out(network, tmp_path, rows) == (0, {("demonstrations", reason): 2, ("prompts", reason): 1})


def test_tools_that_the_template_leaves_out_are_named(network: Network, tmp_path: Path) -> None:
    rows = [Demonstration(prompt=user("film", tools=(TOOL,)), response="bad")]
    reason = "tools, which the model's chat template leaves out"
    assert left_out(network, tmp_path, rows) == (0, {("demonstrations", reason): 1, ("prompts", reason): 1})


def test_comparisons_likewise(network: Network) -> None:
    def pair(prompt: Prompt) -> Comparison:
        first, second = Response(id="1", text="good"), Response(id="2", text=TYPED)
        return Comparison(prompt=prompt, first=first, second=second, probability=1, source="people")

    rows = [pair(user("film")), pair(user("film", tools=(TOOL,)))]
    made = that_fit(Loaded(rows, Counter(), []), "people", Collator(network.tokenizer, network.context), DATA)
    assert made.rows == rows[:1]
    reason = "tools, which the model's chat template leaves out"
    assert made.summary["left_out"] == [{"what": "comparisons", "reason": reason, "rows": 1}]
