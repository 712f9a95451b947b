"""The forms of data: the examples in the documentation, shared prefixes as prompts, and the turns of HH."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueward.data import comparisons, loading
from trueward.data.formats import NAMES, join_hh, shared_prompt, split_hh
from trueward.records import Message

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = [
    example
    for page in ("formats.md", "comparisons.md")
    for example in re.findall(
        r"^```(jsonl|csv) (\w+)\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
]
READERS = {
    "demonstrations": lambda path: loading.demonstrations(str(path)),
    "prompts": lambda path: loading.prompts(str(path)),
    "comparisons": comparisons.read,
}


@pytest.mark.parametrize(("ending", "noun", "example"), EXAMPLES)
def test_the_examples_in_the_documentation(ending: str, noun: str, example: str, tmp_path: Path) -> None:
    path = tmp_path / f"example.{ending}"
    path.write_text(example, encoding="utf-8")
    loaded = READERS[noun](path)
    assert len(loaded.rows) == 2
    assert not loaded.left_out
    assert not loaded.ignored


def test_the_documentation_has_an_example_of_every_form() -> None:
    assert [noun for _, noun, _ in EXAMPLES] == ["demonstrations"] * 6 + ["prompts"] * 3 + ["comparisons"] * 6
    forms = set(
        re.findall(r"^### .*\(`([\w-]+)`\)$", (DOCS / "comparisons.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert forms == NAMES.keys()


@pytest.mark.parametrize(
    ("one", "other", "prompt"),
    [
        ("The sky is blue.", "The sky is green.", "The sky is"),
        ("The sky is blue.", "The sky is black.", "The sky is"),
        ("The sky is blue", "The sky is blue and clear", "The sky is"),
        ("Say it:  x", "Say it:  y", "Say it:"),
        ("Q\nyes", "Q\nno", "Q\n"),
        ("User: Hi\nAssistant: I am well", "User: Hi\nAssistant: I am ill", "User: Hi\nAssistant:"),
        ("Assistant: Hi\nUser: Say yes", "Assistant: Hi\nUser: Say no", "Assistant: Hi\nUser: Say"),
        ("天空是蓝色", "天空是绿色", "天空是"),
        ("Yes", "No", ""),
        ("blue", "black", ""),
        ("a", "a b", ""),
    ],
)
def test_where_a_shared_prompt_ends(one: str, other: str, prompt: str) -> None:
    assert one[: shared_prompt(one, other)] == prompt
    assert other[: shared_prompt(other, one)] == prompt


@given(st.text(), st.text(), st.text())
def test_a_shared_prompt_is_shared_and_leaves_both_a_response(prefix: str, one: str, other: str) -> None:
    if prefix + one and prefix + other and one != other:
        end = shared_prompt(prefix + one, prefix + other)
        assert (prefix + one)[:end] == (prefix + other)[:end]
        assert not end or ((prefix + one)[end:].strip() and (prefix + other)[end:].strip())


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text(alphabet="ab \n:")), min_size=1))
def test_hh_turns_are_joined_and_split(turns: list[tuple[str, str]]) -> None:
    messages = tuple(Message(role=role, content=content) for role, content in turns)
    assert split_hh(join_hh(messages)) == messages
