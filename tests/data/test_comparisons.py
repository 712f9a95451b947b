"""Comparisons in every form: read, written, and refused with one clear line."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueward.data import comparisons
from trueward.data.formats import JUDGED_ALONE, UNDERSTOOD
from trueward.records import Comparison, Message, Prompt, Response, response_id

OWN = {
    "prompt": {"text": "The sky is"},
    "first": {"id": "a", "text": " blue."},
    "second": {"id": "b", "text": " green."},
    "probability": 1.0,
    "source": "ann",
}
TRL = {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}
USER = {"role": "user", "content": "What colour is the sky?"}
BLUE, GREEN = {"role": "assistant", "content": "Blue."}, {"role": "assistant", "content": "Green."}
HH_CHOSEN = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: What colour is the sky?\n\nAssistant: Blue."
HH_REJECTED = HH_CHOSEN.replace("Blue", "Green")


def save(folder: Path, *rows: Any) -> Path:
    path = folder / "people.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def imported(prompt: Prompt, chosen: str, rejected: str, file: str = "people.jsonl") -> Comparison:
    first, second = (Response(id=response_id(prompt, text), text=text) for text in (chosen, rejected))
    return Comparison(prompt=prompt, first=first, second=second, probability=1, source=f"file:{file}")


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


SKY = Prompt(text="The sky is")
ASKED = Prompt(messages=(Message(**USER),))

READABLE = {
    "own": (OWN, Comparison.model_validate(OWN)),
    "trl": (TRL, imported(SKY, " blue.", " green.")),
    "trl conversational": (
        {"prompt": [USER], "chosen": [BLUE], "rejected": [GREEN]},
        imported(ASKED, "Blue.", "Green."),
    ),
    "trl implicit": (
        {"chosen": "The sky is blue.", "rejected": "The sky is black."},
        imported(SKY, " blue.", " black."),
    ),
    "trl implicit conversational": (
        {"chosen": [USER, BLUE], "rejected": [USER, GREEN]},
        imported(ASKED, "Blue.", "Green."),
    ),
    "a text prompt with conversations": (
        {"prompt": USER["content"], "chosen": [USER, BLUE], "rejected": [USER, GREEN]},
        imported(ASKED, "Blue.", "Green."),
    ),
    "a prompt of messages with answers as text": (
        {"prompt": [USER], "chosen": "Blue.", "rejected": "Green."},
        imported(ASKED, "Blue.", "Green."),
    ),
    "a text prompt with answers as messages": (
        {"prompt": USER["content"], "chosen": [BLUE], "rejected": [GREEN]},
        imported(ASKED, "Blue.", "Green."),
    ),
    "hh": (
        {"chosen": HH_CHOSEN, "rejected": HH_REJECTED},
        imported(
            Prompt(
                messages=(
                    Message(role="user", content="Hi"),
                    Message(role="assistant", content="Hello."),
                    Message(**USER),
                )
            ),
            "Blue.",
            "Green.",
        ),
    ),
}


@pytest.mark.parametrize("name", READABLE)
def test_every_form_is_read(name: str, tmp_path: Path) -> None:
    row, expected = READABLE[name]
    path = save(tmp_path, row)
    loaded = comparisons.read(path)
    assert loaded.rows == [expected]
    assert loaded.files == [path]
    assert not loaded.left_out
    assert not loaded.ignored


ERRORS: dict[str, tuple[list[Any], str]] = {
    "missing rejected": ([without(TRL, "rejected")], f'line 1: missing field "rejected"; {UNDERSTOOD}'),
    "missing chosen": ([{"rejected": "b"}], f'line 1: missing field "chosen"; {UNDERSTOOD}'),
    "unknown fields": ([{"a": 1, "b": 2}], f'line 1: expected a comparison, got "a", "b"; {UNDERSTOOD}'),
    "no fields": ([{}], f"line 1: expected a comparison, got no fields; {UNDERSTOOD}"),
    "unpaired": ([{"prompt": "a", "completion": "b", "label": True}], f"line 1: {JUDGED_ALONE}; {UNDERSTOOD}"),
    "chosen is a list": ([TRL, TRL | {"chosen": ["x"]}], 'line 2: "chosen[0]": expected a message, got a string'),
    "rejected is a list": ([TRL | {"rejected": []}], 'line 1: "rejected": expected a string, got a list'),
    "prompt is a number": (
        [TRL | {"prompt": 3}],
        'line 1: "prompt": expected a string or a list of messages, got a number',
    ),
    "implicit number": (
        [{"chosen": 1, "rejected": 2}],
        'line 1: "chosen": expected a string or a list of messages, got a number',
    ),
    "identical own": ([OWN | {"second": OWN["first"]}], "line 1: the two responses are identical"),
    "two messages": (
        [{"prompt": [USER], "chosen": [USER, BLUE], "rejected": [GREEN]}],
        'line 1: "chosen": expected one message, the assistant\'s, got 2 messages',
    ),
    "message without content": (
        [{"prompt": [{"role": "user"}], "chosen": [BLUE], "rejected": [GREEN]}],
        'line 1: "prompt[0]": expected a message with "role" and "content", got one without "content"',
    ),
    "message of a number": (
        [{"prompt": [{"role": "user", "content": 7}], "chosen": [BLUE], "rejected": [GREEN]}],
        'line 1: "prompt[0].content": expected a string, got a number',
    ),
    "message without a role": (
        [{"prompt": [{"role": "", "content": ""}], "chosen": [BLUE], "rejected": [GREEN]}],
        'line 1: "prompt[0].role": expected a role, got an empty string',
    ),
    "another prompt beside": (
        [{"prompt": "x", "chosen": [USER, BLUE], "rejected": [USER, GREEN]}],
        'line 1: "prompt": expected the text of a message that "chosen" and "rejected" share',
    ),
    "two forms": (
        [{"chosen": HH_CHOSEN, "rejected": HH_REJECTED}, TRL],
        "line 2: expected Anthropic HH's form as on line 1, got TRL's",
    ),
    "own without a probability": (
        [OWN, without(OWN, "probability")],
        f'line 2: missing field "probability"; {UNDERSTOOD}',
    ),
    "own without an id": ([OWN | {"first": {"text": "x"}}], f'line 1: missing field "first.id"; {UNDERSTOOD}'),
    "own with a typo": ([OWN | {"stength": 2}], f'line 1: "stength": unknown field; {UNDERSTOOD}'),
    "probability too high": (
        [OWN | {"probability": 1.5}],
        'line 1: "probability": expected a number from 0 to 1, got 1.5',
    ),
    "probability too low": (
        [OWN | {"probability": -1}],
        'line 1: "probability": expected a number from 0 to 1, got -1',
    ),
    "probability in words": ([OWN | {"probability": "1"}], 'line 1: "probability": expected a number, got a string'),
    "probability true": ([OWN | {"probability": True}], 'line 1: "probability": expected a number, got true'),
    "strength": ([OWN | {"strength": 4}], 'line 1: "strength": expected 1, 2 or 3, got 4'),
    "source": ([OWN | {"source": ""}], 'line 1: "source": expected a text that is not empty, got ""'),
    "first": ([OWN | {"first": "x"}], 'line 1: "first": expected an object, got a string'),
    "first's text": ([OWN | {"first": {"id": "a", "text": []}}], 'line 1: "first.text": expected a string, got a list'),
    "finished": (
        [OWN | {"first": {"id": "a", "text": "x", "finished": "no"}}],
        'line 1: "first.finished": expected true or false, got a string',
    ),
    "own messages": ([OWN | {"prompt": {"messages": {}}}], 'line 1: "prompt.messages": expected a list, got an object'),
    "own role": (
        [OWN | {"prompt": {"messages": [{"role": 1, "content": ""}]}}],
        'line 1: "prompt.messages[0].role": expected a string, got a number',
    ),
    "own prompt": (
        [OWN | {"prompt": {}}],
        'line 1: "prompt": a prompt is either a text or a list of messages, and not empty',
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_file_line_and_field(name: str, tmp_path: Path) -> None:
    rows, message = ERRORS[name]
    path = save(tmp_path, *rows)
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        comparisons.read(path)
    assert str(error.value) == f"{path}, {message}"


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file(content: str, tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        comparisons.read(path)
    assert str(error.value) == f"{path}: expected at least one row, got an empty file"


def test_rows_that_cannot_be_used_are_counted_and_repeated_ones_are_votes(tmp_path: Path) -> None:
    path = save(tmp_path, TRL, TRL, TRL | {"prompt": " "})
    loaded = comparisons.read(path)
    assert len(loaded.rows) == 2
    assert loaded.left_out == Counter({"empty prompt": 1})
    path = save(
        tmp_path,
        {"chosen": "Yes.", "rejected": "No."},
        {"chosen": [BLUE], "rejected": [GREEN]},
        {"chosen": [{"role": "user", "content": "Hi"}, BLUE], "rejected": [USER, GREEN]},
        *[{"chosen": "a b", "rejected": "a c"}] * 3,
    )
    loaded = comparisons.read(path)
    assert loaded.left_out == Counter({"no shared prompt": 2, "chosen and rejected answer different prompts": 1})
    path = save(tmp_path, {"chosen": HH_CHOSEN, "rejected": HH_REJECTED.replace("Hi", "Hey")})
    with pytest.raises(ValueError) as error:  # noqa: PT011
        comparisons.read(path)
    assert str(error.value) == f"{path}: no row can be used (chosen and rejected answer different prompts 1)"


OF_NO_USE: dict[str, tuple[dict[str, Any], str]] = {
    "identical": (TRL | {"rejected": " blue."}, "identical responses"),
    "identical implicit": ({"chosen": "a b", "rejected": "a b"}, "identical responses"),
    "identical messages": ({"chosen": [USER, BLUE], "rejected": [USER, BLUE]}, "identical responses"),
    "identical hh": ({"chosen": HH_CHOSEN, "rejected": HH_CHOSEN}, "identical responses"),
    "empty": (TRL | {"rejected": " "}, "empty response"),
    "empty hh": ({"chosen": HH_CHOSEN, "rejected": HH_CHOSEN.removesuffix("Blue.")}, "empty response"),
    "empty prompt": (TRL | {"prompt": "\n"}, "empty prompt"),
    "no prompt": (TRL | {"prompt": None}, "empty prompt"),
    "rejected is null": (TRL | {"rejected": None}, "empty response"),
    "rejected is NaN": (TRL | {"rejected": math.nan}, "empty response"),
    "half a character": (TRL | {"chosen": "\ud83d"}, "half of a surrogate pair"),
    "ends with the user messages": (
        {"chosen": [USER, BLUE, USER], "rejected": [USER, BLUE]},
        "the last message is the user's",
    ),
    "nobody speaks messages": ({"chosen": [], "rejected": [USER, BLUE]}, "no messages"),
    "ends with the person hh": (
        {"chosen": HH_CHOSEN + "\n\nHuman: Thanks", "rejected": HH_REJECTED},
        "the last message is the user's",
    ),
}
OF_USE = {
    "implicit": {"chosen": "The sky is blue.", "rejected": "The sky is black."},
    "messages": {"chosen": [USER, BLUE], "rejected": [USER, GREEN]},
    "hh": {"chosen": HH_CHOSEN, "rejected": HH_REJECTED},
}


@pytest.mark.parametrize("name", OF_NO_USE)
def test_rows_of_no_use_are_left_out_and_counted(name: str, tmp_path: Path) -> None:
    row, reason = OF_NO_USE[name]
    loaded = comparisons.read(save(tmp_path, OF_USE.get(name.split()[-1], TRL), row))
    assert len(loaded.rows) == 1
    assert loaded.left_out == Counter({reason: 1})


def test_other_columns_are_counted(tmp_path: Path) -> None:
    extra = {"score_chosen": 8.0, "score_rejected": 2.0, "margin": 6.0}
    named_user = {"prompt": [USER | {"name": "Ann"}], "chosen": [BLUE], "rejected": [GREEN]}
    loaded = comparisons.read(save(tmp_path, TRL | extra, TRL, named_user))
    assert loaded.ignored == Counter({"margin": 1, "message.name": 1})


def vote(probability: float, prompt: str = "p", first: str = "x", second: str = "y", source: str = "ann") -> Comparison:
    one, two = Response(id="1", text=first), Response(id="2", text=second)
    return Comparison(prompt=Prompt(text=prompt), first=one, second=two, probability=probability, source=source)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([], None),
        ([vote(1), vote(1, prompt="q"), vote(1, first="z")], None),
        ([vote(1), vote(1)], 1.0),
        ([vote(1), vote(0)], 0.0),
        ([vote(1), vote(0, first="y", second="x")], 1.0),
        ([vote(1), vote(0.5)], 0.5),
        ([vote(0.5), vote(0.5)], 0.5),
        ([vote(0.8), vote(0.8)], 0.68),
        ([vote(1), vote(1), vote(0)], 1 / 3),
        ([vote(1), vote(1), vote(0), vote(1, prompt="q"), vote(1, prompt="q")], 2 / 3),
    ],
)
def test_agreement(votes: list[Comparison], expected: float | None) -> None:
    assert comparisons.agreement(votes) == (None if expected is None else pytest.approx(expected))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_agreement_is_the_mean_over_all_two_votes(ps: list[float]) -> None:
    both = [p * q + (1 - p) * (1 - q) for i, p in enumerate(ps) for q in ps[:i]]
    assert comparisons.agreement([vote(p) for p in ps]) == pytest.approx(sum(both) / len(both))
