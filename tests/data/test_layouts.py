"""Layouts of well-known data sets and tools, in made-up rows with their quirks: what comes out of each."""

from __future__ import annotations

import gzip
import json
import re
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from trueward.data import comparisons, tables
from trueward.data.layouts.known import LAYOUTS
from trueward.data.loading import Loaded
from trueward.records import Comparison

DOCS = Path(__file__).parents[2] / "docs/formats.md"


def save(folder: Path, rows: list[Any], name: str = "people.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def talk(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def brief(loaded: Loaded[Comparison]) -> list[tuple[str, str, str, float]]:
    """Prompt, responses and outcome of each."""
    return [(str(c.prompt), c.first.text, c.second.text, c.probability) for c in loaded.rows]


ARENA = {
    "question_id": "1",
    "model_a": "m",
    "model_b": "n",
    "judge": "arena_user_9",
    "turn": 1,
    "anony": True,
    "tstamp": 1.5,
}
ARENA |= {
    "conversation_a": talk("Hi", "Ho"),
    "conversation_b": talk("Hi", "He"),
    "toxic_chat_tag": {"roberta": {"flagged": False}},
}
KAGGLE = {"id": 1, "model_a": "m", "model_b": "n", "prompt": '["Hi"]', "response_a": '["Ho"]', "response_b": '["He"]'}
STEER = {"prompt": "Hi", "correctness": 4, "coherence": 4, "complexity": 1, "verbosity": 1}
STEERED = {"prompt": "Hi", "response_1": "Ho", "response_2": "He", "preference_statement": "Because.", "split": "train"}
STEER3 = {"domain": "general", "language": "english", "context": talk("Hi"), "response1": "Ho", "response2": "He"}
SHP = {
    "post_id": "x",
    "domain": "askbaking_train",
    "history": "Hi?",
    "human_ref_A": "Ho",
    "human_ref_B": "He",
    "seconds_difference": 9.0,
}
SAFE = {"prompt": "Hi", "response_0": "Ho", "response_1": "He", "is_response_0_safe": True, "is_response_1_safe": False}
WEB = {
    "question": {"dataset": "eli5", "id": "x", "full_text": "Why?"},
    "answer_0": "Ho [1]",
    "answer_1": "He",
    "quotes_0": {"title": []},
}
POST = {"id": "t3", "post": "I am hungry.", "title": "Food", "subreddit": "AskReddit", "site": None, "article": None}
TLDR = {
    "info": POST,
    "summaries": [{"text": " Hungry.", "policy": "sup2"}, {"text": " Sad.", "policy": "ref"}],
    "worker": "w1",
    "batch": "b",
}
SUMMARY = "SUBREDDIT: r/AskReddit\nTITLE: Food\nPOST: I am hungry.\nTL;DR:"
EVAL = {
    "instruction": "Say hi",
    "output_1": "Ho",
    "output_2": "He",
    "generator_1": "m",
    "generator_2": "n",
    "annotator": "gpt4",
}
CAPYBARA = {
    "source": "x",
    "conversation": [{"input": "Hi", "output": "Hey"}],
    "original_response": "Hey you there",
    "generation_prompt": ["<|im_start|>user Hi there"],
    "chosen": talk("Hi", "Ho"),
    "rejected": talk("Hi", "He"),
    "prompt": "Hi\n",
}
ORCA = {
    "system": "Be kind.",
    "input": "Hi",
    "chosen": "Ho",
    "rejected": "He",
    "generations": ["He", "Ho"],
    "order": ["rejected", "chosen"],
}
ULTRA = {"source": "evol_instruct", "instruction": "Say hi", "models": ["m", "n"], "correct_answers": ["None"]}
RATED = {"model": "m", "principle": "honesty", "custom_system_prompt": "Be honest.", "critique": "Fine work."}
NECTAR = {"prompt": "\n\nHuman: Hi\n\nAssistant: Hey\n\nHuman: So? \n\nAssistant: ", "turns": 2, "num_responses": 2}
NODE = {"message_id": "a", "role": "prompter", "text": "Hi", "lang": "en", "rank": None, "synthetic": False}
STUDIO = {"id": 1, "data": {"prompt": "Hi", "answer1": "Ho", "answer2": "He"}, "predictions": [], "project": 2}
ARGILLA = {"id": "1", "status": "completed", "prompt": "Hi", "response1": "Ho", "response2": "He"}


def label(selected: str, by: Any = 1, **more: Any) -> dict[str, Any]:
    result = {"type": "pairwise", "value": {"selected": selected}, "from_name": "pw", "to_name": "answer1,answer2"}
    return {"completed_by": by, "result": [result], "was_cancelled": False, **more}


def reply(text: str, rank: Any, *replies: Any, **more: Any) -> dict[str, Any]:
    return {"message_id": text, "role": "assistant", "text": text, "rank": rank, "replies": list(replies), **more}


CASES: dict[str, tuple[list[Any], list[tuple[str, str, str, float]], dict[str, int]]] = {
    "arena": (
        [
            ARENA | {"winner": "model_b"},
            ARENA | {"winner": "tie (bothbad)"},
            ARENA
            | {
                "winner": "model_a",
                "turn": 2,
                "conversation_a": talk("Hi", "Ho", "So?", "x"),
                "conversation_b": talk("Hi", "He", "So?", "y"),
            },
        ],
        [("user: Hi", "Ho", "He", 0), ("user: Hi", "Ho", "He", 0.5)],
        {"the two responses answer different prompts": 1},
    ),
    "arena: MT-bench": (
        [
            ARENA
            | {
                "winner": "model_a",
                "judge": ["gpt-4", "pair-v2"],
                "conversation_a": talk("Hi", "Ho", "So?", "x"),
                "conversation_b": talk("Hi", "He", "So?", "y"),
            }
        ],
        [("user: Hi", "Ho", "He", 1)],
        {},
    ),
    "arena-kaggle": (
        [
            KAGGLE | {"winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0},
            KAGGLE | {"winner_model_a": 0, "winner_model_b": 0, "winner_tie": 1},
            KAGGLE | {"winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0, "response_a": "[null]"},
        ],
        [("user: Hi", "Ho", "He", 0), ("user: Hi", "Ho", "He", 0.5)],
        {"empty response": 1},
    ),
    "helpsteer2": (
        [
            STEER | {"response": "Ho", "helpfulness": 1},
            STEER | {"response": "He", "helpfulness": 4},
            STEER
            | {"response": "x", "helpfulness": 2, "prompt": "Hi\n<extra_id_1>Assistant\nHey\n<extra_id_1>User\nSo?"},
            STEER
            | {"response": "y", "helpfulness": 2, "prompt": "Hi\n<extra_id_1>Assistant\nHey\n<extra_id_1>User\nSo?"},
        ],
        [("user: Hi", "Ho", "He", 0), ("user: Hi\nassistant: Hey\nuser: So?", "x", "y", 0.5)],
        {},
    ),
    "helpsteer2-preference": (
        [STEERED | {"preference_strength": n} for n in (-3, 0, 1)],
        [("user: Hi", "Ho", "He", p) for p in (1, 0.5, 0)],
        {},
    ),
    "helpsteer3": (
        [
            STEER3 | {"overall_preference": n, "individual_preference": [{"score": n, "reasoning": "It is."}]}
            for n in (-1, 0, 3, None)
        ],
        [("user: Hi", "Ho", "He", p) for p in (1, 0.5, 0)],
        {"not judged": 1},
    ),
    "shp": (
        [SHP | {"labels": 1, "score_A": 9, "score_B": 3}, SHP | {"labels": 0, "score_A": 2, "score_B": 3}],
        [("user: Hi?", "Ho", "He", 1), ("user: Hi?", "Ho", "He", 0)],
        {},
    ),
    "safe-rlhf": (
        [
            SAFE | {"better_response_id": 1, "safer_response_id": 0},
            SAFE | {"better_response_id": 0, "safer_response_id": 0},
        ],
        [("user: Hi", "Ho", "He", 0), ("user: Hi", "Ho", "He", 1)],
        {},
    ),
    "webgpt": (
        [WEB | {"score_0": -0.5, "score_1": 0.5}, WEB | {"score_0": 0, "score_1": 0.0}],
        [("user: Why?", "Ho [1]", "He", 0), ("user: Why?", "Ho [1]", "He", 0.5)],
        {},
    ),
    "tldr": (
        [TLDR | {"choice": 1}, TLDR | {"choice": 0, "info": POST | {"post": None, "article": "News."}}],
        [(SUMMARY, " Hungry.", " Sad.", 0), ("Article: News.\nTL;DR:", " Hungry.", " Sad.", 1)],
        {},
    ),
    "stack-exchange-pairs": (
        [
            {
                "qid": 1,
                "question": "Why?",
                "response_j": "So",
                "response_k": "No",
                "date": "2011/01/01",
                "metadata": ["https://x"],
            }
        ],
        [("user: Why?", "So", "No", 1)],
        {},
    ),
    "alpaca-eval": (
        [EVAL | {"preference": p} for p in (2.0, 1, 1.25, 0, None)],
        [("user: Say hi", "Ho", "He", p) for p in (0, 1, 0.75, 0.5)],
        {"not judged": 1},
    ),
    "capybara": (
        [CAPYBARA | {"rating_chosen": 5, "rating_rejected": 4}, CAPYBARA | {"rating_chosen": 4, "rating_rejected": 4}],
        [("user: Hi", "Ho", "He", 1), ("user: Hi", "Ho", "He", 0.5)],
        {},
    ),
    "ultrafeedback": (
        [
            ULTRA
            | {
                "completions": [
                    RATED | {"response": "Ho", "overall_score": 10.0, "fine-grained_score": 1.25, "annotations": {}},
                    RATED
                    | {
                        "response": "He",
                        "overall_score": 7,
                        "annotations": {
                            "honesty": {"Rating": "5"},
                            "truthfulness": {"Rating": "N/A"},
                            "helpfulness": {"Rating": "4"},
                        },
                    },
                ]
            },
            ULTRA | {"completions": []},
        ],
        [("user: Say hi", "Ho", "He", 0)],
        {"one response alone": 1},
    ),
    "nectar": (
        [
            NECTAR
            | {"answers": [{"answer": "Ho", "model": "m", "rank": 2.0}, {"answer": "He", "model": "n", "rank": 1.0}]}
        ],
        [("user: Hi\nassistant: Hey\nuser: So?", "Ho", "He", 0)],
        {},
    ),
    "oasst-trees": (
        [
            {
                "message_tree_id": "a",
                "tree_state": "ready_for_export",
                "prompt": NODE
                | {
                    "replies": [
                        reply(
                            "Ho",
                            1,
                            NODE
                            | {"text": "So?", "replies": [reply("x", 0), reply("y", 1), reply("z", 2, deleted=True)]},
                        ),
                        reply("He", 0),
                        reply("unranked", None),
                    ]
                },
            }
        ],
        [("user: Hi", "Ho", "He", 0), ("user: Hi\nassistant: Ho\nuser: So?", "x", "y", 1)],
        {},
    ),
    "oasst-messages": (
        [
            {
                "message_id": "c",
                "parent_id": "a",
                "text": "He",
                "role": "assistant",
                "rank": 0,
                "message_tree_id": "a",
                "deleted": False,
            },
            {
                "message_id": "a",
                "parent_id": None,
                "text": "Hi",
                "role": "prompter",
                "rank": None,
                "message_tree_id": "a",
                "deleted": False,
            },
            {
                "message_id": "b",
                "parent_id": "a",
                "text": "Ho",
                "role": "assistant",
                "rank": 1.0,
                "message_tree_id": "a",
                "deleted": False,
            },
        ],
        [("user: Hi", "He", "Ho", 1)],
        {},
    ),
    "label-studio": (
        [
            STUDIO
            | {
                "annotations": [
                    label("left"),
                    label("right", {"id": 7, "email": "ann@x"}),
                    label("left", was_cancelled=True),
                ]
            },
            STUDIO | {"annotations": []},
        ],
        [("user: Hi", "Ho", "He", 1), ("user: Hi", "Ho", "He", 0)],
        {"not judged": 1},
    ),
    "argilla": (
        [
            ARGILLA
            | {
                "choice.responses": ["response2", "tie", "response1"],
                "choice.responses.users": ["u", "v", "w"],
                "choice.responses.status": ["submitted", "submitted", "draft"],
            },
            ARGILLA | {"choice.responses": None},
        ],
        [("user: Hi", "Ho", "He", 0), ("user: Hi", "Ho", "He", 0.5)],
        {"not judged": 1},
    ),
    "argilla: before 2.0": (
        [
            {
                "prompt": "Hi",
                "response-1": "Ho",
                "response-2": "He",
                "choice": [{"user_id": "u", "value": "response-2", "status": "submitted"}],
            },
            {
                "prompt": "Hi",
                "response-1": "Ho",
                "response-2": "He",
                "choice": [{"user_id": "u", "value": None, "status": "discarded"}],
            },
            {
                "prompt": "Hi",
                "response-1": "Ho",
                "response-2": "He",
                "order": [
                    {
                        "user_id": "u",
                        "status": "submitted",
                        "value": [{"rank": 2, "value": "response-2"}, {"rank": 1, "value": "response-1"}],
                    }
                ],
            },
        ],
        [("user: Hi", "Ho", "He", 0), ("user: Hi", "Ho", "He", 1)],
        {"not judged": 1},
    ),
    "(hh)": (
        [{"chosen": "\n\nHuman: Hi\n\nAssistant: Ho", "rejected": "\n\nHuman: Hi\n\nAssistant: He"}],
        [("user: Hi", "Ho", "He", 1)],
        {},
    ),
    "(ultrafeedback-binarized)": (
        [
            {
                "prompt": "Hi",
                "prompt_id": "x",
                "chosen": talk("Hi", "Ho"),
                "rejected": talk("Hi", "He"),
                "messages": talk("Hi", "Ho"),
                "score_chosen": 8.5,
                "score_rejected": s,
            }
            for s in (6, 8.5)
        ],
        [("user: Hi", "Ho", "He", 1), ("user: Hi", "Ho", "He", 0.5)],
        {},
    ),
    "(orca-pairs)": (
        [
            ORCA | {"rating": [7.0, 9.0], "status": "swapped", "chosen_score": 9.0},
            ORCA | {"rating": [9.0, 9.0], "status": "tie"},
        ],
        [("system: Be kind.\nuser: Hi", "Ho", "He", 1), ("system: Be kind.\nuser: Hi", "Ho", "He", 0.5)],
        {},
    ),
    "(stack-exchange-preferences)": (
        [
            {
                "qid": 1,
                "question": "<p>Why?</p>",
                "answers": [
                    {"answer_id": 2, "pm_score": 1, "selected": False, "text": "No"},
                    {"answer_id": 3, "pm_score": 4, "selected": True, "text": "So"},
                ],
            }
        ],
        [("user: <p>Why?</p>", "No", "So", 0)],
        {},
    ),
    "(online-rlhf)": (
        [{"prompt": "Say hi", "responses": ["Go away.", "Hello!"], "rewards": [-2.1, 3.0], "gt": "Hello"}],
        [("Say hi", "Go away.", "Hello!", 0)],
        {},
    ),
    "(llama-factory)": (
        [
            {
                "conversations": [{"from": "human", "value": "Hi"}],
                "chosen": {"from": "gpt", "value": "Ho"},
                "rejected": {"from": "gpt", "value": "He"},
            },
        ],
        [("user: Hi", "Ho", "He", 1)],
        {},
    ),
    "(llama-factory, alpaca)": (
        [{"instruction": "Hi", "input": "", "chosen": "Ho", "rejected": "He", "system": "", "history": []}],
        [("user: Hi", "Ho", "He", 1)],
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layouts_are_known_by_their_first_row(name: str, tmp_path: Path) -> None:
    rows, expected, left_out = CASES[name]
    loaded = comparisons.read(save(tmp_path, rows))
    assert brief(loaded) == expected
    assert loaded.left_out == Counter(left_out)
    layout = name.partition(":")[0]
    if not layout.startswith("("):
        assert brief(comparisons.read(tmp_path / "people.jsonl", layout)) == expected


@pytest.mark.parametrize(
    "name", ["arena", "helpsteer2", "safe-rlhf", "nectar", "oasst-messages", "alpaca-eval", "helpsteer3"]
)
def test_layouts_in_other_containers(name: str, tmp_path: Path) -> None:
    rows, expected, _ = CASES[name]
    tables.write(tmp_path / "people.parquet", rows)
    assert brief(comparisons.read(tmp_path / "people.parquet")) == expected


@pytest.mark.parametrize(
    "name", ["arena-kaggle", "shp", "safe-rlhf", "helpsteer2", "stack-exchange-pairs", "alpaca-eval"]
)
def test_layouts_as_csv(name: str, tmp_path: Path) -> None:
    rows, expected, _ = CASES[name]
    tables.write(tmp_path / "people.csv", rows)
    assert brief(comparisons.read(tmp_path / "people.csv")) == expected


def test_people_and_strengths_are_kept(tmp_path: Path) -> None:
    def first(name: str) -> Comparison:
        return comparisons.read(save(tmp_path, CASES[name][0])).rows[0]

    assert first("arena").annotator == "arena_user_9"
    assert first("arena: MT-bench").annotator == "gpt-4"
    assert first("tldr").annotator == "w1"
    assert first("label-studio").annotator == "1"
    assert first("argilla").annotator == "u"
    assert first("helpsteer3").strength == 1
    assert first("helpsteer2-preference").strength == 3


def test_columns_that_a_layout_drops_are_counted(tmp_path: Path) -> None:
    loaded = comparisons.read(save(tmp_path, CASES["safe-rlhf"][0]))
    assert loaded.ignored == Counter({"safer_response_id": 2, "is_response_0_safe": 2, "is_response_1_safe": 2})


def test_a_row_of_another_layout(tmp_path: Path) -> None:
    path = save(tmp_path, [*CASES["shp"][0], *CASES["webgpt"][0]])
    with pytest.raises(ValueError, match=r"line 3: expected a row of the layout shp, as the first one is; --format"):
        comparisons.read(path)


def test_contradictions_in_layouts(tmp_path: Path) -> None:
    path = save(tmp_path, [SHP | {"labels": 1, "score_A": 1, "score_B": 3}])
    with pytest.raises(ValueError, match="is scored lower here; --contradictions drop"):
        comparisons.read(path)


def test_packed_files(tmp_path: Path) -> None:
    rows, expected, _ = CASES["(hh)"]
    path = tmp_path / "train.jsonl.gz"
    path.write_bytes(gzip.compress(save(tmp_path, rows).read_bytes()))
    assert brief(comparisons.read(path)) == expected
    tables.write(tmp_path / "t.csv", rows)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    assert brief(comparisons.read(tmp_path / "t.csv.gz")) == expected
    (tmp_path / "array.json.gz").write_bytes(gzip.compress(json.dumps(rows).encode()))
    assert brief(comparisons.read(tmp_path / "array.json.gz")) == expected
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"train\.jsonl\.gz: can't be unpacked: "):
        comparisons.read(path)
    path.write_bytes(b"plain")
    with pytest.raises(ValueError, match=r"train\.jsonl\.gz: can't be unpacked: "):
        comparisons.read(path)
    with pytest.raises(ValueError, match="can't be written; expected"):
        tables.write(path, rows)


class Zstandard:
    """Stands in for the package: the same calls, with zlib's frames."""

    class ZstdDecompressor:
        def decompressobj(self) -> Any:
            return zlib.decompressobj()


def test_zstandard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All frames of a file, and none that was cut off."""
    monkeypatch.setitem(sys.modules, "zstandard", Zstandard)
    monkeypatch.setitem(sys.modules, "compression", None)
    rows, expected, _ = CASES["(hh)"]
    lines = save(tmp_path, rows).read_bytes().splitlines(keepends=True)
    path = tmp_path / "train.jsonl.zst"
    path.write_bytes(zlib.compress(lines[0]) + zlib.compress(b"".join(lines[1:])))
    assert brief(comparisons.read(path)) == expected
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"train\.jsonl\.zst: can't be unpacked: it ends in the middle"):
        comparisons.read(path)


def test_zstandard_itself(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    rows, expected, _ = CASES["(hh)"]
    path = tmp_path / "train.jsonl.zst"
    path.write_bytes(zstandard.compress(save(tmp_path, rows).read_bytes()))
    assert brief(comparisons.read(path)) == expected
    path.write_bytes(b"plain")
    with pytest.raises(ValueError, match=r"train\.jsonl\.zst: can't be unpacked: "):
        comparisons.read(path)


def test_arrow_files(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    rows, expected, _ = CASES["safe-rlhf"]
    table = arrow.Table.from_pylist(rows)
    with arrow.ipc.new_stream(str(tmp_path / "s.arrow"), table.schema) as out:
        out.write_table(table)
    with arrow.ipc.new_file(str(tmp_path / "f.arrow"), table.schema) as out:
        out.write_table(table)
    for name in ("s.arrow", "f.arrow"):
        assert brief(comparisons.read(tmp_path / name)) == expected
    (tmp_path / "x.arrow").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"x\.arrow: can't be read as Arrow: "):
        comparisons.read(tmp_path / "x.arrow")


def test_every_layout_is_in_the_documentation_and_has_a_case() -> None:
    page = DOCS.read_text(encoding="utf-8").partition("## Known layouts")[2]
    assert set(re.findall(r"^\| `([\w-]+)` ", page, re.MULTILINE)) == LAYOUTS.keys()
    assert {name.partition(":")[0] for name in CASES} >= LAYOUTS.keys()
