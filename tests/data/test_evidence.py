"""What a row of comparisons holds beside two answers is read, or the row is refused: nothing is guessed over it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from trueward.data import comparisons, importing, tables
from trueward.data.options import ReadOptions, pairs
from trueward.records import Comparison, Message, Prompt


def save(folder: Path, *rows: Any) -> Path:
    path = folder / "people.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def talk(*texts: str) -> list[dict[str, str]]:
    """Turns of the user and the assistant."""
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def asked(*texts: str, system: str = "") -> Prompt:
    before = [{"role": "system", "content": system}] if system else []
    return Prompt(messages=tuple(Message(**m) for m in [*before, *talk(*texts)]))


LEGS = {"chosen": "A spider has eight.", "rejected": "A spider has six."}
SUM = {"chosen": "The sum is 5", "rejected": "The sum is 6"}
PICK = [talk("Pick a number", "Seven it is"), talk("Pick a number", "Seven hundred")]
HH = [f"\n\nHuman: Hi\n\nAssistant: {text}" for text in ("Hello.", "Go.")]

PROMPTS: dict[str, tuple[dict[str, Any], Prompt]] = {
    "question": (
        LEGS | {"system": "", "question": "How many legs has a spider?"},
        asked("How many legs has a spider?"),
    ),
    "system": (LEGS | {"system": "Be brief.", "question": "Legs?"}, asked("Legs?", system="Be brief.")),
    "alpaca": (SUM | {"instruction": "Add", "input": "2+3"}, asked("Add\n\n2+3")),
    "alpaca, no input": (SUM | {"instruction": "Add 2 and 3", "input": ""}, asked("Add 2 and 3")),
    "input alone": (SUM | {"input": "2+3"}, asked("2+3")),
    "context": (LEGS | {"context": "Of animals.", "question": "Legs?"}, asked("Of animals.\n\nLegs?")),
    "instruction and context": (LEGS | {"context": "Spider", "instruction": "Legs?"}, asked("Legs?\n\nSpider")),
    "context alone": (LEGS | {"context": "Legs?"}, asked("Legs?")),
    "context of messages": (LEGS | {"context": talk("Legs?")}, asked("Legs?")),
    "query": (LEGS | {"query": "Legs?"}, asked("Legs?")),
    "post": (LEGS | {"post": "I have seen a spider."}, asked("I have seen a spider.")),
    "messages": (LEGS | {"messages": talk("Legs?")}, asked("Legs?")),
    "history of pairs": (LEGS | {"history": [["Hi", "Ho"]], "query": "Legs?"}, asked("Hi", "Ho", "Legs?")),
    "history of messages": (LEGS | {"history": talk("Hi", "Ho"), "prompt": "Legs?"}, asked("Hi", "Ho", "Legs?")),
    "history in the prompt": (
        LEGS | {"history": talk("Hi", "Ho"), "prompt": talk("Hi", "Ho", "Legs?")},
        asked("Hi", "Ho", "Legs?"),
    ),
    "prompt and system": (LEGS | {"prompt": "Legs?", "system": "Be brief."}, asked("Legs?", system="Be brief.")),
    "prompt and context": (LEGS | {"prompt": "Legs?", "context": "Of animals."}, Prompt(text="Of animals.\n\nLegs?")),
    "the prompt holds the rest": (
        LEGS | {"prompt": "Of animals. Legs?", "context": "Of animals.", "question": "Legs?", "source": "a b c"},
        Prompt(text="Of animals. Legs?"),
    ),
    "conversations and a question": (
        {"question": "Pick a number", "chosen": PICK[0], "rejected": PICK[1]},
        asked("Pick a number"),
    ),
    "conversations and a system": (
        {"system": "Be odd.", "chosen": PICK[0], "rejected": PICK[1]},
        asked("Pick a number", system="Be odd."),
    ),
    "answers as messages": ({"question": "Pick", "chosen": PICK[0][1:], "rejected": PICK[1][1:]}, asked("Pick")),
    "answers as one message": ({"question": "Pick", "chosen": PICK[0][1], "rejected": PICK[1][1]}, asked("Pick")),
    "ShareGPT": (
        {
            "conversations": [{"from": "system", "value": "Be odd."}, {"from": "human", "value": "Pick"}],
            "chosen": {"from": "gpt", "value": "Seven"},
            "rejected": {"from": "gpt", "value": "Six"},
        },
        asked("Pick", system="Be odd."),
    ),
    "JSON text": (
        {"chosen": json.dumps(PICK[0]), "rejected": json.dumps(PICK[1])},
        asked("Pick a number"),
    ),
    "JSON text of a prompt": (LEGS | {"prompt": json.dumps(talk("Legs?"))}, asked("Legs?")),
    "hh and a system": ({"chosen": HH[0], "rejected": HH[1], "system": "Be kind."}, asked("Hi", system="Be kind.")),
    "hh and its prompt": ({"chosen": HH[0], "rejected": HH[1], "prompt": "\n\nHuman: Hi\n\nAssistant:"}, asked("Hi")),
    "a table": (
        {"question": "Legs?", "response_a": "8", "response_b": "6", "winner": "a"},
        asked("Legs?"),
    ),
    "a ranking": ({"instruction": "Legs?", "responses": ["8", "6"], "ranks": [1, 2]}, asked("Legs?")),
    "an inferred prompt that the others are in": (
        {"chosen": "The sky is blue.", "rejected": "The sky is green.", "topic": "The sky", "model": "a b c"},
        Prompt(text="The sky is"),
    ),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_every_column_that_holds_a_part_of_the_prompt_is_read(name: str, tmp_path: Path) -> None:
    row, prompt = PROMPTS[name]
    (got,) = comparisons.read(save(tmp_path, row)).rows
    assert got.prompt == prompt
    assert got.probability == 1


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "jsonl"])
def test_json_text_is_decoded_in_every_kind_of_file(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"people.{ending}"
    tables.write(path, [{"chosen": json.dumps(PICK[0]), "rejected": json.dumps(PICK[1]), "id": "x"}])
    (got,) = comparisons.read(path).rows
    assert (got.prompt, got.first.text, got.second.text) == (asked("Pick a number"), "Seven it is", "Seven hundred")


STOPS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown text": (
        LEGS | {"frage": "Wie viele Beine?"},
        '"frage": its text is not in the prompt that "chosen" and "rejected" share; --columns prompt=frage reads it as the '
        "prompt, --format trl-implicit leaves it aside",
    ),
    "an unknown text beside no shared prompt": (
        {"chosen": "Eight", "rejected": "Six", "frage": "Wie viele?"},
        '"frage": ',
    ),
    "unknown messages": (LEGS | {"dialog": talk("Legs?")}, '"dialog": its text is not in the prompt'),
    "a system beside texts": (LEGS | {"system": "Be brief."}, '"system": its text is not in the prompt'),
    "no spaces": (LEGS | {"frage": "蜘蛛有几条腿"}, '"frage": its text is not in the prompt'),
    "an unknown text beside conversations": (
        {"chosen": PICK[0], "rejected": PICK[1], "frage": "Which one?"},
        '"frage": its text is not in the prompt',
    ),
    "an unknown text beside HH": ({"chosen": HH[0], "rejected": HH[1], "frage": "What now?"}, '"frage": its text'),
    "a question beside another conversation": (
        {"question": "Which one?", "chosen": PICK[0], "rejected": PICK[1]},
        '"question": expected the text of a message that "chosen" and "rejected" share',
    ),
    "two questions": (
        LEGS | {"prompt": "Legs?", "question": "Arms?"},
        '"question": beside "prompt" it may be what was asked too; --columns prompt=prompt or prompt=question says',
    ),
    "input beside a prompt": (
        LEGS | {"prompt": "Legs?", "input": "Spider"},
        '"input": beside "prompt" it may be asked too',
    ),
    "history in words": (
        LEGS | {"prompt": "Legs?", "history": "We spoke of spiders."},
        '"history": expected a list of messages beside the prompt, got a string; --columns prompt=history takes it',
    ),
    "answers that begin with the prompt": (
        {"prompt": "The sky today is", "chosen": "The sky today is blue", "rejected": "The sky today is red"},
        '"prompt": "chosen" and "rejected" begin with it; --format trl-implicit cuts it off there, --format trl keeps it',
    ),
    "Python's lists": (
        {"chosen": str(PICK[0]), "rejected": str(PICK[1])},
        '"chosen": expected messages as JSON, got them as Python writes them; write them with json.dumps',
    ),
    "an order": (
        {"prompt": "Say hi", "responses": ["Go away.", "Hello there!"]},
        '"responses": there are neither "ranks" nor "scores" beside it; --order best-first says that the list is in order',
    ),
    "scores": (
        {"prompt": "p", "chosen": "x", "rejected": "y", "score_chosen": 2, "score_rejected": 6},
        '"score_chosen": the response of "chosen" is the better one, and is scored lower here; --contradictions drop leaves '
        "such rows out",
    ),
    "a speaker by another name": (
        {"chosen": [*talk("Hi"), {"role": "model", "content": "x"}], "rejected": talk("Hi", "y")},
        '"chosen": expected messages of which the last is the assistant\'s, got one by "model"; --roles model=assistant reads '
        "it as that",
    ),
}


@pytest.mark.parametrize("name", STOPS)
def test_what_cannot_be_decided_stops_and_names_the_option_that_decides_it(name: str, tmp_path: Path) -> None:
    row, message = STOPS[name]
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        comparisons.read(save(tmp_path, row))
    assert str(error.value).startswith(f"{tmp_path}/people.jsonl, line 1: {message}")


def read(folder: Path, row: dict[str, Any], format: str = "", **options: Any) -> Comparison:
    (got,) = comparisons.read(save(folder, row), format, ReadOptions(**options)).rows
    return got


def test_the_options_decide_it(tmp_path: Path) -> None:
    odd = LEGS | {"frage": "Wie viele Beine?"}
    assert read(tmp_path, odd, columns={"prompt": "frage"}).prompt == Prompt(text="Wie viele Beine?")
    assert read(tmp_path, odd, "trl-implicit").prompt == Prompt(text="A spider has")
    two = LEGS | {"prompt": "Legs?", "question": "Arms?"}
    assert read(tmp_path, two, columns={"prompt": "question"}).prompt == Prompt(text="Arms?")
    assert read(tmp_path, two, columns={"prompt": "prompt"}).prompt == Prompt(text="Legs?")
    both = read(tmp_path, LEGS | {"q": "Legs?", "s": "Be brief."}, columns=pairs(["prompt=q,system=s"], "--columns"))
    assert both.prompt == asked("Legs?", system="Be brief.")
    named = {"frage": "Beine?", "gut": "8", "schlecht": "6"}
    got = read(tmp_path, named, columns=pairs(["prompt=frage", "chosen=gut,rejected=schlecht"], "--columns"))
    assert (got.prompt.text, got.first.text, got.second.text) == ("Beine?", "8", "6")
    doubled = {"prompt": "The sky today is", "chosen": "The sky today is blue", "rejected": "The sky today is red"}
    assert read(tmp_path, doubled, "trl-implicit").first.text == " blue"
    assert read(tmp_path, doubled, "trl").first.text == doubled["chosen"]
    listed = {"prompt": "Say hi", "responses": ["Hello!", "Go."]}
    assert read(tmp_path, listed, order="best-first").probability == 1
    model = {"chosen": [*talk("Hi"), {"role": "model", "content": "x"}], "rejected": talk("Hi", "y")}
    assert read(tmp_path, model, roles={"model": "assistant"}).first.text == "x"


SCORED: dict[str, tuple[dict[str, Any], float]] = {
    "rewards": ({"responses": ["Go away.", "Hello!"], "rewards": [-2.1, 3.0]}, 0),
    "ratings": ({"responses": ["Go away.", "Hello!"], "ratings": [1, 5]}, 0),
    "equal rewards": ({"responses": ["Go away.", "Hello!"], "rewards": [3, 3.0]}, 0.5),
    "inside": ({"responses": [{"text": "Go.", "score": 1}, {"text": "Hello!", "score": 4}]}, 0),
    "completions": ({"completions": [{"response": "Go.", "rating": 1}, {"response": "Hello!", "rating": 4}]}, 0),
    "beside the pair": ({"chosen": "x", "rejected": "y", "score_chosen": 6, "score_rejected": 2}, 1),
    "the other way round": ({"chosen": "x", "rejected": "y", "chosen_score": 6, "rejected_score": 2}, 1),
    "a tie": ({"chosen": "x", "rejected": "y", "chosen_rating": 4, "rejected_rating": 4.0}, 0.5),
    "two of which one is a tie": (
        {
            "chosen": "x",
            "rejected": "y",
            "chosen_rating": 4,
            "rejected_rating": 4,
            "chosen_reward": 2,
            "rejected_reward": 1,
        },
        1,
    ),
    "a list": ({"chosen": "x", "rejected": "y", "rating": [9, 8]}, 1),
    "a list in another order": ({"chosen": "x", "rejected": "y", "rating": [8, 9], "generations": ["y", "x"]}, 1),
    "ranks": ({"chosen": "x", "rejected": "y", "chosen_rank": 1, "rejected_rank": 2}, 1),
    "lengths are no scores": ({"chosen": "x", "rejected": "y", "chosen_tokens": 1, "rejected_tokens": 2}, 1),
    "null": ({"chosen": "x", "rejected": "y", "score_chosen": None, "score_rejected": 2}, 1),
    "a table": ({"response_a": "x", "response_b": "y", "score_a": 1, "score_b": "2"}, 0),
    "a table and its winner": ({"response_a": "x", "response_b": "y", "score_a": 1, "score_b": 2, "winner": "b"}, 0),
}


@pytest.mark.parametrize("name", SCORED)
def test_scores_order_responses(name: str, tmp_path: Path) -> None:
    row, probability = SCORED[name]
    assert read(tmp_path, {"prompt": "Say hi"} | row).probability == probability


PAIR = {"prompt": "p", "chosen": "x", "rejected": "y"}
CONTRADICTED: dict[str, dict[str, Any]] = {
    "scores": PAIR | {"score_chosen": 2, "score_rejected": 6},
    "words": PAIR | {"chosen_score": "2.5", "rejected_score": "6"},
    "ranks": PAIR | {"chosen_rank": 2, "rejected_rank": 1},
    "a list": PAIR | {"rating": [8, 9]},
    "a margin": PAIR | {"margin": -1.5},
    "a table": {"prompt": "p", "response_a": "x", "response_b": "y", "winner": "a", "score_a": 1, "score_b": 2},
    "a table's own": {"prompt": "p", "response_a": "x", "response_b": "y", "winner": "a", "probability": 0.1},
    "a ranking": {"prompt": "p", "responses": ["x", "y"], "ranks": [1, 2], "scores": [0, 1]},
    "names in one word": PAIR | {"scoreChosen": 1, "scoreRejected": 2},
    "an object": PAIR | {"score": {"chosen": 1, "rejected": 2}},
    "a winner": PAIR | {"winner": "rejected"},
    "hh": {"chosen": HH[0], "rejected": HH[1], "chosen_reward": 0.1, "rejected_reward": 0.2},
}


@pytest.mark.parametrize("name", CONTRADICTED)
def test_contradictions_stop_the_import_or_are_counted(name: str, tmp_path: Path) -> None:
    row = CONTRADICTED[name]
    sound = {
        k: v
        for k, v in row.items()
        if not isinstance(v, int | float | list | dict) and v != "rejected" and not k.endswith(("_score", "_rank"))
    }
    sound |= {"ranks": [1, 2], "responses": row["responses"]} if "responses" in row else {}
    path = str(save(tmp_path, sound, row))
    with pytest.raises(ValueError, match=r"people\.jsonl, line 2: .*; --contradictions drop leaves such rows out$"):
        importing.gather([path])
    got = importing.gather([path], options=ReadOptions(contradictions="drop"))
    assert len(got.rows) == 1
    assert sum(got.left_out.values()) == 1
    assert got.left_out.keys() <= {"contradicted by its own scores", "probability and winner disagree"}


def test_ties_of_scores_are_ties(tmp_path: Path) -> None:
    tied = PAIR | {"score_chosen": 3, "score_rejected": 3}
    path = str(save(tmp_path, PAIR, tied))
    assert [c.probability for c in importing.gather([path]).rows] == [1, 0.5]
    assert importing.gather([path], ties=False).left_out == Counter({"tie": 1})


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["prompt"], '--columns: expected NAME=VALUE, separated by commas, got "prompt"'),
        (["a=b", "a=c"], "--columns: a is given twice"),
    ],
)
def test_a_mapping_that_is_none(texts: list[str], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        pairs(texts, "--columns")
    assert str(error.value) == message


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'line 1: "frage": missing field of --columns prompt=frage$'):
        comparisons.read(save(tmp_path, LEGS), options=ReadOptions(columns={"prompt": "frage"}))
    assert read(tmp_path, PAIR, columns={"system": "s"}).prompt == Prompt(text="p")
