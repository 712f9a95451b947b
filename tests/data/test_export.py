"""Comparisons written: in trueward's form without loss, in others' with every loss counted."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trueward.data import comparisons, jsonl
from trueward.records import Comparison, Message, Prompt, Response, response_id

SKY = Prompt(text="The sky is")
ASKED = Prompt(messages=(Message(role="user", content="What colour is the sky?"),))


def imported(prompt: Prompt, chosen: str, rejected: str, file: str = "people.jsonl") -> Comparison:
    first, second = (Response(id=response_id(prompt, text), text=text) for text in (chosen, rejected))
    return Comparison(prompt=prompt, first=first, second=second, probability=1, source=f"file:{file}")


TEXTS = st.text(min_size=1)
PROMPTS = st.one_of(
    st.builds(lambda text: Prompt(text=text), TEXTS),
    st.builds(
        lambda messages: Prompt(messages=messages),
        st.lists(st.builds(Message, role=TEXTS, content=st.text()), min_size=1).map(tuple),
    ),
)
RESPONSES = st.builds(Response, id=TEXTS, text=st.text(), finished=st.booleans())


@st.composite
def anything(draw: st.DrawFn) -> Comparison:
    first, second = draw(
        st.tuples(RESPONSES, RESPONSES).filter(lambda s: (s[0].text, s[0].finished) != (s[1].text, s[1].finished))
    )
    return Comparison(
        prompt=draw(PROMPTS),
        first=first,
        second=second,
        probability=draw(st.floats(0, 1)),
        strength=draw(st.sampled_from([None, 1, 2, 3])),
        source=draw(TEXTS),
        annotator=draw(st.none() | TEXTS),
        group=draw(st.none() | TEXTS),
        check=draw(st.sampled_from([None, "first", "second"])),
    )


WHOLE = {"own": "own.jsonl", "csv": "own.csv", "parquet": "own.parquet"}
PARTLY = ["trl", "trl-conversational", "trl-implicit", "hh", "rankings"]


@pytest.mark.parametrize("form", WHOLE)
@given(rows=st.lists(anything(), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_forms_that_hold_everything_give_back_what_was_written(form: str, rows: list[Comparison]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / WHOLE[form]
        assert not comparisons.write(path, rows, form)
        assert comparisons.read(path).rows == rows


@given(st.lists(anything(), min_size=1, max_size=4), st.sampled_from(PARTLY), st.sampled_from(["jsonl", "csv"]))
@settings(max_examples=200, deadline=None)
def test_an_export_counts_all_that_reading_does_not_give_back(rows: list[Comparison], form: str, ending: str) -> None:
    different = "responses that differ only in being finished"
    whole = {"ties", "empty responses", different, "other roles", "rows the format can't hold"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"people.{ending}"
        dropped = comparisons.write(path, [*rows, imported(ASKED, "Blue.", "Green.")], form)
        loaded = comparisons.read(path)
        assert len(loaded.rows) - 1 + sum(n for reason, n in dropped.items() if reason in whole) == len(rows)
        assert not loaded.left_out
        if not dropped:
            assert loaded.rows[:-1] == rows


PIECES = ["a", "b c", " ", "\n", "\n\n", "\r", "\u2028", "Human:", "Assistant:", "User: ", "天"]
AWKWARD = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
AWKWARD_PROMPTS = st.one_of(
    st.builds(lambda text: Prompt(text=text), AWKWARD.filter(bool)),
    st.builds(
        lambda messages: Prompt(messages=messages),
        st.lists(
            st.builds(Message, role=st.sampled_from(["user", "assistant"]), content=AWKWARD), min_size=1, max_size=3
        ).map(tuple),
    ),
)


@given(AWKWARD_PROMPTS, AWKWARD, AWKWARD, st.sampled_from(PARTLY))
@settings(max_examples=200, deadline=None)
def test_nothing_is_counted_just_if_reading_gives_the_same(prompt: Prompt, one: str, other: str, form: str) -> None:
    assume(one != other)
    comparison = imported(prompt, one, other)
    plain = imported(ASKED, "Yes.", "No.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.jsonl"
        dropped = comparisons.write(path, [plain, comparison], form)
        assert (comparisons.read(path).rows == [plain, comparison]) == (not dropped)


@pytest.mark.parametrize("form", PARTLY)
def test_round_trip_without_losses(form: str, tmp_path: Path) -> None:
    rows = [imported(ASKED, "Blue.", "Green."), imported(ASKED, "Blau.\n\nNatürlich \u2028 …", "Rot.")]
    if form not in ("hh", "trl-conversational"):
        rows += [imported(SKY, " blue.", " green."), imported(SKY, " blue.", " green.")]
    path = tmp_path / "people.jsonl"
    assert comparisons.write(path, rows, form) == Counter()
    assert comparisons.read(path).rows == rows
    assert [p.name for p in tmp_path.iterdir()] == ["people.jsonl"]


def change(**fields: Any) -> Comparison:
    return Comparison.model_validate(imported(SKY, " blue.", " green.").model_dump() | fields)


LOSSES: dict[str, tuple[Comparison, str, str, int]] = {
    "tie": (change(probability=0.5), "trl", "ties", 1),
    "soft": (change(probability=0.8), "trl", "soft probabilities", 2),
    "second": (change(probability=0), "trl", "orders", 2),
    "strength": (change(strength=2), "trl", "strengths", 2),
    "source": (change(source="ann"), "trl", "sources", 2),
    "id": (change(first={"id": "a", "text": " blue."}), "trl", "ids", 2),
    "unfinished": (
        change(first={"id": response_id(SKY, " blue."), "text": " blue.", "finished": False}),
        "trl",
        "unfinished flags",
        2,
    ),
    "empty": (change(first={"id": "a", "text": ""}), "trl", "empty responses", 1),
    "cut or not": (
        change(second={"id": "b", "text": " blue.", "finished": False}),
        "trl",
        "responses that differ only in being finished",
        1,
    ),
    "boundary": (imported(SKY, " very blue.", " very green."), "trl-implicit", "prompt boundaries", 2),
    "plain text": (imported(SKY, " blue.", " green."), "hh", "plain-text prompts", 2),
    "system": (
        imported(Prompt(messages=(Message(role="system", content="Be kind."),)), "Yes.", "No."),
        "hh",
        "other roles",
        1,
    ),
    "marker": (imported(ASKED, "Blue.\n\nHuman: Why?", "Green."), "hh", "rows the format can't hold", 1),
}


@pytest.mark.parametrize("name", LOSSES)
def test_export_counts_what_it_drops(name: str, tmp_path: Path) -> None:
    comparison, form, reason, rows = LOSSES[name]
    plain = imported(ASKED, "Yes.", "No.")
    path = tmp_path / "people.jsonl"
    assert comparisons.write(path, [comparison, plain], form) == Counter({reason: 1})
    assert len(comparisons.read(path).rows) == rows


def test_what_is_chosen_comes_from_the_probability(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    comparisons.write(path, [change(probability=0.2)], "trl")
    assert [row for _, row in jsonl.read(path)] == [{"prompt": "The sky is", "chosen": " green.", "rejected": " blue."}]


def test_write_refuses(tmp_path: Path) -> None:
    path, missing = tmp_path / "out.jsonl", tmp_path / "no" / "out.jsonl"
    fine = [imported(SKY, " blue.", " green.")]
    for target, rows, form, message in [
        (
            path,
            fine,
            "xml",
            'format: expected own, trl, trl-conversational, trl-implicit, hh, rankings, csv or parquet, got "xml"',
        ),
        (path, fine, "csv", f"{path}: expected a name that ends in .csv or .tsv"),
        (path, [change(probability=0.5)] * 2, "trl", f"{path}: no comparisons to write as trl: ties 2"),
        (path, [], "own", f"{path}: no comparisons to write as own"),
        (missing, fine, "own", f"{missing}: no such folder: {missing.parent}"),
        (tmp_path, fine, "own", f"{tmp_path}: expected a file to write, got a folder"),
    ]:
        with pytest.raises(ValueError) as error:  # noqa: PT011
            comparisons.write(target, rows, form)
        assert str(error.value) == message
    assert not list(tmp_path.iterdir())
