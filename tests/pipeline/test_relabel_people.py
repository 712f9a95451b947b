"""Relabelling by people: through the studio and by file, waiting without losing anything, killed while it waits."""

from __future__ import annotations

import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward import config
from trueward.artifacts import read_json
from trueward.data import jsonl
from trueward.progress import WaitingError
from trueward.records import Comparison
from trueward.studio.store import projects
from trueward.training.journal import latest, read_log

sys.path.insert(0, str(Path(__file__).parent))
import sitting

ON = (
    "policy.steps=3",
    "policy.relabel.every=1",
    "policy.relabel.comparisons=12",
    "reward.learning_curve=false",
)
STUDIO = (*ON, "comparisons.source=studio:film")
LOWER = ("prepare", "sft")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRUEWARD_STUDIO", str(tmp_path / "studio"))
    return tmp_path / "studio"


@pytest.fixture
def begun(baseline: Path, tmp_path: Path) -> Path:
    """A home in which SFT is done, so that other runs take it over."""
    for stage in LOWER:
        shutil.copytree(baseline / stage, tmp_path / "home/before" / stage)
    return tmp_path / "home"


def first_round(people: sitting.People, baseline: Path) -> None:
    """The simulated annotators' pairs, compared by people."""
    rows = [Comparison.model_validate(row) for _, row in jsonl.read(baseline / "comparisons/comparisons.jsonl")]
    made = [projects.Pair(c.prompt, c.first, c.second) for c in rows]
    people.studio.database.write(lambda c: projects.create(c, "film"))
    people.studio.database.write(lambda c: projects.add_pairs(c, projects.get(c, "film"), made))
    people.judge("film")
    people.close_round("film")


def test_people_relabel_through_the_studio(begun: Path, baseline: Path, climb: Any, data: Path, made_by: Any) -> None:
    run = begun / "run"
    with sitting.people(data) as people:
        first_round(people, baseline)
        for step in (1, 2):
            for _ in range(2):  # asking again changes nothing
                with pytest.raises(WaitingError, match=rf"step {step} waits for people: \d+ pairs .* project film"):
                    climb(begun, "run", *STUDIO, until="policy")
            assert latest(run / "policy/checkpoints") == run / f"policy/checkpoints/step-{step:07d}", "no step is lost"
            assert len(read_log(run / "policy/metrics.jsonl")) == step
            judged = people.judge("film")
            assert len(judged) == len(list(jsonl.read(data / f"asked/film/run-relabel-{step:07d}.jsonl")))
            people.close_round("film")
        climb(begun, "run", *STUDIO, until="policy")
    assert config.read(str(run / "recipe.toml")).comparisons.source == "studio:film@1"
    rows = read_log(run / "policy/relabel.jsonl")
    assert [row["step"] for row in rows] == [1, 2]
    for row, number in zip(rows, (2, 3), strict=True):
        folder = run / f"policy/relabel/{row['step']:07d}"
        closed = [Comparison.model_validate(r) for _, r in jsonl.read(data / f"rounds/film/{number:04d}.jsonl")]
        asked = [Comparison.model_validate(r) for _, r in jsonl.read(folder / "asked.jsonl")]
        assert asked == closed, "what people said, as they said it"
        assert row["fresh"] == len(asked)
        assert read_json(folder / "round.json")["round"] == number
    first = read_json(run / "reward_model/manifest.json")["summary"]["comparisons"]
    assert first < rows[0]["comparisons"] < rows[1]["comparisons"]
    # what was never interrupted: all answers are there when the run starts, and it asks the same
    shutil.copytree(run, begun.parent / "waited")
    shutil.rmtree(run)
    climb(begun, "run", *ON, "comparisons.source=studio:film@1", until="policy")
    one, two = made_by(begun.parent / "waited/policy"), made_by(run / "policy")
    assert sorted(one) == sorted(two)
    assert [name for name in one if one[name] != two[name]] == []


def test_a_round_that_is_closed_early_is_enough(begun: Path, baseline: Path, climb: Any, data: Path) -> None:
    with sitting.people(data) as people:
        first_round(people, baseline)
        with pytest.raises(WaitingError):
            climb(begun, "run", *STUDIO, until="policy")
        people.judge("film", most=5)
        people.close_round("film")
        with pytest.raises(WaitingError, match="step 2 waits"):
            climb(begun, "run", *STUDIO, until="policy")
        rows = read_json(begun / "run/policy/relabel/0000001/row.json")
        assert rows["fresh"] == 5
        people.judge("film")  # the rest of step 1, and step 2: the first alone would not do
        people.close_round("film")
        climb(begun, "run", *STUDIO, until="policy")
    posed = {row["prompt"]["text"] for _, row in jsonl.read(data / "asked/film/run-relabel-0000002.jsonl")}
    asked = [Comparison.model_validate(r) for _, r in jsonl.read(begun / "run/policy/relabel/0000002/asked.jsonl")]
    assert {c.prompt.text for c in asked} <= posed


def choose(pairs: Path, rule: Callable[[dict[str, Any]], str], **more: Any) -> None:
    """Somebody who judges the pairs of a file."""
    rows = [{**row, "winner": rule(row), **more} for _, row in jsonl.read(pairs)]
    jsonl.write(pairs.with_name(pairs.name.replace("pairs", "choices")), rows)


def longer(row: dict[str, Any]) -> str:
    gap = len(row["first"]) - len(row["second"])
    return "tie" if gap == 0 else "first" if gap > 0 else "second"


@pytest.fixture
def by_file(baseline: Path, tmp_path: Path) -> tuple[str, ...]:
    shutil.copyfile(baseline / "comparisons/comparisons.jsonl", tmp_path / "first.jsonl")
    return (*ON, "comparisons.source=file", f"comparisons.path={tmp_path}/first.jsonl")


def test_people_relabel_by_file(begun: Path, climb: Any, by_file: tuple[str, ...]) -> None:
    for step in (1, 2):
        pairs = begun / f"run/relabel/step-{step:07d}.pairs.jsonl"
        with pytest.raises(
            WaitingError, match=rf"step {step} waits for people: .*pairs\.jsonl holds \d+ pairs.*choices"
        ):
            climb(begun, "run", *by_file, until="policy")
        assert all(not set(row) & {"probability", "winner", "source"} for _, row in jsonl.read(pairs))
        choose(pairs, longer, annotator="anna")
    climb(begun, "run", *by_file)
    asked = [Comparison.model_validate(r) for _, r in jsonl.read(begun / "run/policy/relabel/0000001/asked.jsonl")]
    rows = [row for _, row in jsonl.read(begun / "run/relabel/step-0000001.pairs.jsonl")]
    assert [(c.first.text, c.second.text) for c in asked] == [(row["first"], row["second"]) for row in rows]
    assert [c.first.finished for c in asked] == [row.get("first_finished", True) for row in rows]
    assert [c.annotator for c in asked] == ["anna"] * len(rows)
    sign = {"first": 1.0, "second": 0.0, "tie": 0.5}
    assert [c.probability for c in asked] == [sign[longer(row)] for row in rows]
    assert (begun / "run/report.json").is_file()


def test_choices_in_a_form_that_loses_who_ended(begun: Path, climb: Any, by_file: tuple[str, ...]) -> None:
    with pytest.raises(WaitingError):
        climb(begun, "run", *by_file, until="policy")
    pairs = begun / "run/relabel/step-0000001.pairs.jsonl"
    rows = [row for _, row in jsonl.read(pairs) if row["first"].strip() and row["second"].strip()]
    chosen = [{"prompt": r["prompt"], "chosen": r["second"], "rejected": r["first"]} for r in rows[:4]]
    jsonl.write(pairs.with_name("step-0000001.choices.jsonl"), chosen)
    with pytest.raises(WaitingError, match="step 2"):
        climb(begun, "run", *by_file, until="policy")
    asked = [Comparison.model_validate(r) for _, r in jsonl.read(begun / "run/policy/relabel/0000001/asked.jsonl")]
    assert [(c.first.text, c.first.finished, c.probability) for c in asked] == [
        (r["second"], r.get("second_finished", True), 1.0) for r in rows[:4]
    ]


def test_choices_about_other_pairs_are_refused(begun: Path, climb: Any, by_file: tuple[str, ...]) -> None:
    with pytest.raises(WaitingError):
        climb(begun, "run", *by_file, until="policy")
    choices = begun / "run/relabel/step-0000001.choices.jsonl"
    jsonl.write(choices, [{"prompt": "another film", "chosen": "a", "rejected": "b"}])
    with pytest.raises(ValueError, match=r"choices\.jsonl: the pair of answers to 'another film' is none of those in"):
        climb(begun, "run", *by_file, until="policy")
    choices.write_text("nonsense")
    with pytest.raises(ValueError, match=r"choices\.jsonl, line 1"):
        climb(begun, "run", *by_file, until="policy")


def test_killed_while_people_are_asked(
    processes: Any, small: Any, begun: Path, climb: Any, by_file: tuple[str, ...], made_by: Any
) -> None:
    """`kill -9` after random delays until a process waits; then somebody answers; and so on to the end. Against a run that only
    waited."""
    waited = begun / "waited"
    while True:
        try:
            climb(begun, "waited", *by_file, until="policy")
            break
        except WaitingError:
            choose(sorted((waited / "relabel").glob("*.pairs.jsonl"))[-1], longer)
    shutil.move(waited, begun.parent / "waited")  # so that nothing can be taken over from it
    command = [*small(*by_file, "runtime.checkpoint_seconds=0"), "--out", str(begun / "run"), "--until", "policy"]
    draw, patience, killed, waits = random.Random(2), 0.5, 0, 0
    while True:
        processes.start(*command)
        time.sleep(draw.uniform(0, patience))
        if processes.kill():
            killed += 1
            patience *= 1.3
            assert killed < 60
            continue
        code, said = processes.run(*command)
        if code == 0:
            break
        assert code == 75, said
        assert said.endswith("; the same command goes on from here\n")
        waits += 1
        choose(sorted((begun / "run/relabel").glob("*.pairs.jsonl"))[-1], longer)
    assert killed >= 1
    assert waits >= 1
    one, two = made_by(begun / "run/policy"), made_by(begun.parent / "waited/policy")
    assert sorted(one) == sorted(two)
    assert [name for name in one if one[name] != two[name]] == []
