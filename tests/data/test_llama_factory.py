"""LLaMA-Factory's dataset_info.json: data sets by name, with its columns, roles and defaults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trueward import config
from trueward.data import comparisons, feedback, llama_factory, loading
from trueward.pipeline import sources
from trueward.pipeline.run import plan


def table(folder: Path, rows: list[Any], entry: dict[str, Any], name: str = "mine", **others: Any) -> str:
    (folder / "data.json").write_text(json.dumps(rows), encoding="utf-8")
    path = folder / llama_factory.NAME
    path.write_text(json.dumps({name: {"file_name": "data.json", **entry}, **others}), encoding="utf-8")
    return str(path)


def talk(prompt: Any) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in prompt.messages]


SYSTEM = {"system": "s"}
SFT: dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[str, str]], str]] = {
    "alpaca by its defaults": (
        {"instruction": "Add", "input": "2+3", "output": "5", "history": [["Hi", "Ho"]]},
        {},
        [("user", "Hi"), ("assistant", "Ho"), ("user", "Add\n2+3")],
        "5",
    ),
    "alpaca without an input": ({"instruction": "Add", "output": "5"}, {}, [("user", "Add")], "5"),
    "alpaca by other names": (
        {"q": "Add", "a": "5", "s": "Be brief."},
        {"columns": {"prompt": "q", "response": "a", "system": "s"}},
        [("system", "Be brief."), ("user", "Add")],
        "5",
    ),
    "sharegpt by its defaults": (
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]},
        {"formatting": "sharegpt"},
        [("user", "Hi")],
        "Ho",
    ),
    "sharegpt with tags": (
        {
            "talk": [
                {"who": "sys", "says": "s"},
                {"who": "u", "says": "a"},
                {"who": "m", "says": "b"},
                {"who": "u", "says": "c"},
                {"who": "m", "says": "d"},
            ]
        },
        {
            "formatting": "sharegpt",
            "columns": {"messages": "talk"},
            "tags": {
                "role_tag": "who",
                "content_tag": "says",
                "user_tag": "u",
                "assistant_tag": "m",
                "system_tag": "sys",
            },
        },
        [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c")],
        "d",
    ),
    "sharegpt with a system column": (
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}], "system": "Be brief."},
        {"formatting": "sharegpt", "columns": {"messages": "conversations", "system": "system"}},
        [("system", "Be brief."), ("user", "Hi")],
        "Ho",
    ),
}


@pytest.mark.parametrize("case", SFT)
def test_demonstrations(case: str, tmp_path: Path) -> None:
    row, entry, asked, response = SFT[case]
    loaded = loading.demonstrations(table(tmp_path, [row], entry))
    assert [(talk(d.prompt), d.response) for d in loaded.rows] == [(asked, response)]
    assert loaded.files == [tmp_path / llama_factory.NAME, tmp_path / "data.json"]
    assert [talk(p) for p in loading.prompts(table(tmp_path, [row], entry)).rows] == [asked]


PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "alpaca": (
        {"instruction": "Add", "input": "2+3", "chosen": "5", "rejected": "6"},
        {"columns": {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"}},
    ),
    "alpaca with a list": ({"instruction": "Add", "input": "2+3", "output": ["5", "6"]}, {}),
    "sharegpt": (
        {
            "conversations": [{"from": "human", "value": "Add\n2+3"}],
            "chosen": {"from": "gpt", "value": "5"},
            "rejected": {"from": "gpt", "value": "6"},
        },
        {
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
        },
    ),
}


@pytest.mark.parametrize("case", PAIRS)
def test_comparisons(case: str, tmp_path: Path) -> None:
    row, entry = PAIRS[case]
    loaded = comparisons.read(table(tmp_path, [row], {"ranking": True, **entry}))
    (pair,) = loaded.rows
    assert talk(pair.prompt) == [("user", "Add\n2+3")]
    assert (pair.first.text, pair.second.text, pair.probability) == ("5", "6", 1)


def test_a_thumb_is_feedback_and_a_disliked_answer_no_demonstration(tmp_path: Path) -> None:
    rows = [{"instruction": "Add", "output": "5", "label": True}, {"instruction": "Add", "output": "6", "label": False}]
    entry = {"columns": {"prompt": "instruction", "response": "output", "kto_tag": "label"}}
    source = table(tmp_path, rows, entry)
    assert [d.response for d in loading.demonstrations(source).rows] == ["5"]
    assert feedback.is_feedback(source)
    assert [f.liked for f in feedback.read(source).rows] == [True, False]


def test_one_of_several_is_named(tmp_path: Path) -> None:
    row = {"instruction": "Add", "output": "5"}
    path = table(tmp_path, [row], {}, other={"hf_hub_url": "a/b"})
    with pytest.raises(ValueError, match=r"holds several data sets \(mine, other\); say which one: .*json:mine"):
        loading.demonstrations(path)
    assert loading.demonstrations(f"{path}:mine").rows[0].response == "5"
    with pytest.raises(ValueError, match="has no data set 'yours'; there are mine, other"):
        loading.demonstrations(f"{path}:yours")


def test_a_recipe_reads_both_files_and_depends_on_them(tmp_path: Path) -> None:
    rows = [{"instruction": f"a {i}", "chosen": "x", "rejected": "y"} for i in range(9)]
    columns = {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"}
    path = table(tmp_path, rows, {"ranking": True, "columns": columns})
    changes = [
        "comparisons.source=file",
        f"comparisons.path={path}:mine",
        'data.prompts="comparisons"',
        'data.demonstrations=""',
        "sft.model=trueward:tiny",
        "evaluation.truths=[]",
    ]
    recipe = config.read("tiny", changes)
    assert len(sources.read(recipe).prompts) == 9
    before = plan(recipe)
    table(tmp_path, [*rows, {**rows[0], "instruction": "b"}], {"ranking": True, "columns": columns})
    after = plan(recipe)
    assert before["prepare"] != after["prepare"]
    assert before["comparisons"] != after["comparisons"]


ROW = {"instruction": "Add", "output": "5"}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a program": (
        {"file_name": None, "script_url": "mine.py"},
        "script_url names a program that makes the data, which is not run",
    ),
    "no file": ({"file_name": "nothing.json"}, r"file_name: .*nothing.json: no such file"),
    "nothing named": ({"file_name": None}, "expected file_name or hf_hub_url"),
    "a part": ({"num_samples": 5}, "num_samples asks for a random part"),
    "another formatting": ({"formatting": "chatml"}, 'formatting: expected alpaca, sharegpt or openai, got "chatml"'),
    "a column that is not there": (
        {"columns": {"prompt": "question", "response": "output"}},
        '"question": missing field',
    ),
    "messages that are none": (
        {"formatting": "sharegpt", "columns": {"messages": "output"}},
        '"output": expected a list of messages',
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line(case: str, tmp_path: Path) -> None:
    entry, match = WRONG[case]
    with pytest.raises(ValueError, match=match) as caught:
        loading.demonstrations(table(tmp_path, [ROW], entry))
    assert "\n" not in str(caught.value)


def test_a_speaker_without_a_tag(tmp_path: Path) -> None:
    row = {"conversations": [{"from": "user", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]}
    with pytest.raises(
        ValueError, match=r"expected a message by human, gpt, system, observation, function_call, got 'user'"
    ):
        loading.demonstrations(table(tmp_path, [row], {"formatting": "sharegpt"}))


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"a": 1}', "[" * 100_000])
def test_a_file_that_is_no_such_table(text: str, tmp_path: Path) -> None:
    path = tmp_path / llama_factory.NAME
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="expected LLaMA-Factory's table of data sets"):
        loading.demonstrations(str(path))
