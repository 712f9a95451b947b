"""Lengths that come from the data: nothing is dropped for a default, what is left out is said, and cut texts stay short."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from trueward import artifacts, config
from trueward.pipeline import prepare, run_pipeline
from trueward.progress import ProgressLines

LONG = "the film is great and the story is dull and the end is good . "


def save(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def prepared(tmp_path: Path, *changes: str, until: str = "prepare") -> tuple[dict[str, Any], str]:
    """The stage's summary, and what the terminal showed. The shipped recipe sets lengths; a recipe of one's own doesn't."""
    out = io.StringIO()
    table: dict[str, Any] = {"name": "mine", "model": {"base": "trueward:tiny"}, "runtime": {"threads": 1}}
    for change in changes:
        config.put(table, change)
    run_pipeline(config.resolve(table, "mine"), tmp_path, "run", ProgressLines(out), until=until)
    return artifacts.read_json(tmp_path / "run/prepare/manifest.json")["summary"], out.getvalue()


def shown(tmp_path: Path, *texts: tuple[str, str]) -> str:
    return f"data.demonstrations={save(tmp_path / 'shown.jsonl', [{'prompt': p, 'completion': c} for p, c in texts])}"


def test_real_rows_are_not_dropped_for_a_default(tmp_path: Path) -> None:
    rows = [(f"{LONG} {i}", f" {LONG}") for i in range(60)]
    summary, terminal = prepared(tmp_path, shown(tmp_path, *rows), "model.base=trueward:base")
    assert summary["demonstrations"] + summary["demonstrations_held_out"] == 60
    assert summary["left_out"] == []
    lengths = summary["lengths"]
    assert min(lengths["max_prompt_tokens"], lengths["max_response_tokens"]) > 10
    assert (
        f"prepare: data.max_prompt_tokens = {lengths['max_prompt_tokens']} and data.max_response_tokens = " in terminal
    )
    assert "99% of the data, up to the model's context of" in terminal


def test_the_longest_of_many_are_left_out_and_said(tmp_path: Path) -> None:
    rows = [(f"the film {i}", " is good") for i in range(299)] + [(LONG, " is good"), ("the end", f" {LONG}")]
    summary, terminal = prepared(tmp_path, shown(tmp_path, *rows))
    assert summary["demonstrations"] + summary["demonstrations_held_out"] == 299
    reasons = {(row["what"], row["reason"].partition(" = ")[0]): row["rows"] for row in summary["left_out"]}
    assert reasons == {
        ("demonstrations", "prompt longer than data.max_prompt_tokens"): 1,
        ("demonstrations", "response longer than data.max_response_tokens"): 1,
        ("prompts", "prompt longer than data.max_prompt_tokens"): 1,
    }
    assert "prepare: 1 demonstrations left out: response longer than data.max_response_tokens = " in terminal
    assert "the length of 99% of them" in terminal


def test_what_is_set_counts_and_is_said(tmp_path: Path) -> None:
    rows = [(f"the film {i}", " is good") for i in range(60)] + [(f"{LONG} {i}", " is good") for i in range(5)]
    summary, terminal = prepared(
        tmp_path, shown(tmp_path, *rows), "data.max_prompt_tokens=8", "data.max_response_tokens=9"
    )
    assert summary["lengths"]["note"] == ""
    assert "prepare: 5 prompts left out: prompt longer than data.max_prompt_tokens = 8\n" in terminal


@pytest.mark.parametrize("side", ["left", "right"])
def test_longer_texts_are_cut(tmp_path: Path, side: str) -> None:
    rows = [(f"{i} {LONG} {i}", f" {LONG}") for i in range(60)]
    lengths = ("data.max_prompt_tokens=8", "data.max_response_tokens=5")
    summary, terminal = prepared(tmp_path, shown(tmp_path, *rows), *lengths, f"data.truncation={side}")
    assert summary["left_out"] == [] or side == "right"
    assert {row["what"] for row in summary["cut"]} == {"demonstrations", "prompts"}
    assert "prepare: 60 demonstrations cut: prompt longer than data.max_prompt_tokens = 8\n" in terminal
    kept = [json.loads(line) for line in (tmp_path / "run/prepare/demonstrations.jsonl").read_text().splitlines()]
    whole = {prompt for prompt, _ in rows}
    fits = str.endswith if side == "left" else str.startswith
    assert all(any(fits(prompt, row["prompt"]["text"]) for prompt in whole) for row in kept)
    assert all(row["finished"] is False for row in kept), "nothing teaches the model to end there"
    assert all(f" {LONG}".startswith(row["response"]) for row in kept)


NOTHING_LEFT = {
    "prompts": (
        [(f"{LONG}{i}", " is good") for i in range(40)],
        "data.prompts: none is left: 40 have a prompt longer than",
    ),
    "responses": (
        [(f"the film {i}", LONG) for i in range(40)],
        "data.demonstrations: none is left: 40 have a response longer than data.max_response_tokens = 7; set a longer one",
    ),
    "too few": (
        [(f"the film {i}", LONG) for i in range(40)] + [("the end", " is")],
        "data.demonstrations: 1 usable rows leave",
    ),
}


@pytest.mark.parametrize("case", NOTHING_LEFT)
def test_if_nothing_is_left_the_line_names_the_length(tmp_path: Path, case: str) -> None:
    rows, expected = NOTHING_LEFT[case]
    changes = ("data.max_prompt_tokens=8", "data.max_response_tokens=7")
    with pytest.raises(ValueError, match=r"have a (prompt|response) longer than data.max_\w+ = \d") as caught:
        prepared(tmp_path, shown(tmp_path, *rows), *changes)
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)
    assert "data.held_out" not in str(caught.value)


def test_prompts_longer_than_the_context(tmp_path: Path) -> None:
    rows = [(LONG * 9 + str(i), " is good") for i in range(40)]
    with pytest.raises(
        ValueError, match=r"40 have a prompt longer than the model's context of 64 tokens; take a model with"
    ):
        prepared(tmp_path, shown(tmp_path, *rows))


def test_comparisons_have_lengths_of_their_own_and_are_refused_before_sft(tmp_path: Path) -> None:
    pairs = [{"prompt": f"{LONG}{i}", "chosen": " is good", "rejected": " is dull"} for i in range(40)]
    people = save(tmp_path / "people.jsonl", pairs)
    by_people = (
        "comparisons.source=file",
        f"comparisons.path={people}",
        "evaluation.truths=[]",
        "data.max_prompt_tokens=8",
    )
    texts = shown(tmp_path, *((f"the film {i}", " is good") for i in range(60)))
    with pytest.raises(
        ValueError, match=r"none of its 40 comparisons is left: 40 have a prompt longer than data.max_prompt"
    ):
        prepared(tmp_path, texts, *by_people, until="comparisons")
    assert not (tmp_path / "run").exists()


def test_answers_that_the_sampler_cuts_are_said(tmp_path: Path) -> None:
    rows = [(f"the film {i}", f" {LONG}") for i in range(60)]
    changes = (shown(tmp_path, *rows), "sampler.max_new_tokens=5", "sft.epochs=0.1")
    summary, terminal = prepared(tmp_path, *changes, until="sft")
    median, most = summary["lengths"]["response_median"], summary["lengths"]["response_most"]
    assert median == most == summary["lengths"]["max_response_tokens"]
    assert (
        f"sft: sampler.max_new_tokens = 5 cuts answers as long as most demonstrations, of which half have more than {median}"
        in terminal
    )


@pytest.mark.parametrize("name", config.shipped())
def test_shipped_recipes_set_their_lengths(name: str) -> None:
    data = config.read(name).data
    assert data.max_prompt_tokens
    assert data.max_response_tokens
    assert data.truncation == "drop"


def test_utilities_are_those_that_are_made() -> None:
    for text in ("trueward:toy", "trueward:nano"):
        assert set(prepare.annotators(text, prepare.Env())[0]) == set(prepare.utilities_of(text))
