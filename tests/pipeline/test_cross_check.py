"""A second reward model of the other half of the comparisons, from the setting to the report.

That it is the same in memory, on disk and after a kill is in test_in_memory.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trueward import artifacts, config, pipeline
from trueward.pipeline import sft
from trueward.pipeline.cross_check import halves
from trueward.pipeline.run import plan
from trueward.progress import Progress
from trueward.records import Comparison, Prompt, Response
from trueward.reporting import report as page
from trueward.scorers import ensemble
from trueward.training.journal import read_log

ON = "reward.cross_check=true"
SMALL = (
    ON,
    "runtime.threads=1",
    "sft.epochs=0.02",
    "comparisons.count=200",
    "reward.learning_curve=false",
    "policy.steps=3",
    "evaluation.every=1",
    "evaluation.truths=[]",
    "evaluation.control=never",
)
GAINS = (
    "second_gain",
    "second_gain_se",
    "second_gain_z",
    "second_shortfall",
    "second_shortfall_se",
    "second_shortfall_z",
)


class Listening(Progress):
    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, text: str) -> None:
        self.told.append(text)


@pytest.fixture(autouse=True)
def few_reference_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sft, "REFERENCE_PROMPTS", 24)


def comparison(prompt: str, better: str) -> Comparison:
    first, second = Response(id=better, text=better), Response(id="bad", text="bad")
    return Comparison(prompt=Prompt(text=prompt), first=first, second=second, probability=1.0, source="file")


def test_no_prompt_is_in_both_halves() -> None:
    rows = [comparison(f"prompt {i % 101}", f"good {i}") for i in range(300)]
    first, second = halves(rows, 0)
    ours, theirs = ({c.prompt.id for c in half} for half in (first, second))
    assert not ours & theirs
    assert (len(ours), len(theirs)) == (51, 50)
    assert sorted(map(str, [*first, *second])) == sorted(map(str, rows))
    assert halves(list(reversed(rows)), 0)[0] == list(reversed(first)), "it depends on the prompts alone"
    assert halves(rows, 1)[0] != first
    with pytest.raises(ValueError, match="two halves need 2 compared prompts to fit to, there is 1"):
        halves(rows[:1], 0)


def test_a_run_without_any_truth(tmp_path: Path) -> None:
    listening = Listening()
    pipeline.run_pipeline(config.read("tiny", SMALL), tmp_path, "run", listening)
    run = tmp_path / "run"
    summary = artifacts.read_json(run / "reward_model/manifest.json")["summary"]
    second = summary["second"]
    whole = artifacts.read_json(run / "comparisons/manifest.json")["summary"]["comparisons"]
    assert summary["comparisons"] + second["comparisons"] + summary["held_out"] == whole
    assert -1 <= second["correlation"] <= 1
    split = (
        f"the proxy learns from {summary['comparisons']} comparisons; {second['comparisons']} of other prompts are for a "
        "second reward model"
    )
    assert [text for text in listening.told if split in text]
    models = [ensemble.load(run / place, torch.device("cpu")) for place in ("reward_model", "reward_model/second")]
    first_weights, second_weights = (
        (run / f"reward_model/{place}model/model.safetensors").read_bytes() for place in ("", "second/")
    )
    assert first_weights != second_weights
    assert models[0].scale != models[1].scale
    start, *after = read_log(run / "policy/evaluations.jsonl")
    assert (start["second_gain"], start["second_gain_se"], start["second_shortfall"]) == (0, None, 0)
    assert all(row[key] is not None for row in after for key in GAINS)
    for row in after:
        assert row["second_shortfall"] == pytest.approx(0.5 * row["proxy_gain"] - row["second_gain"], abs=3e-5)
    report = artifacts.read_json(run / "report.json")
    assert report["reward_model"]["second"] == second
    assert all(report["policies"]["policy"][key] is not None for key in GAINS)
    assert report["verdict"]["word"] == "inconclusive", "it is no truth"
    html = (run / "report.html").read_text(encoding="utf-8")
    for text in ("What a second reward model sees", "what all comparisons get wrong, both models have learned"):
        assert text in html
    told = " ".join(page.summary(report))
    assert "A second reward model, fitted to comparisons of other prompts than the proxy, sees" in told


def test_the_alarm_is_told_once_and_stays_an_early_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the second model says: here it is taken as sure from the second evaluation on."""
    from trueward.evaluation import cross_check

    monkeypatch.setattr(cross_check, "is_alarm", lambda row, test: test >= 2)
    listening = Listening()
    pipeline.run_pipeline(config.read("tiny", SMALL), tmp_path, "run", listening)
    told = [text for text in listening.told if "an early warning" in text]
    assert len(told) == 1
    assert told[0].startswith("step 2, an early warning: a second reward model, fitted to the other half")
    rows = read_log(tmp_path / "run/policy/evaluations.jsonl")
    assert [any("second reward model" in text for text in row["early_warnings"]) for row in rows] == [
        False, False, True, True,
    ]  # fmt: skip
    assert {row["verdict"] for row in rows} == {"inconclusive"}
    report = artifacts.read_json(tmp_path / "run/report.json")
    assert any("second reward model" in text for text in report["early_warnings"])
    assert any(line.startswith("An early warning: a second reward model") for line in page.summary(report))


def test_the_best_of_n_is_checked_too(tmp_path: Path) -> None:
    """What the proxy chose, the other half's model likes less: nothing is trained, and the final evaluation asks both."""
    recipe = config.read("tiny", [*SMALL, "policy.kind=best_of_n", "policy.best_of_n.n=8"])
    pipeline.run_pipeline(recipe, tmp_path, "run", Progress())
    row = artifacts.read_json(tmp_path / "run/report.json")["policies"]["policy"]
    assert row["second_gain"] < row["proxy_gain"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("reward.model=somewhere",), "cross_check: there are no comparisons to split, model is one reward model"),
        (("reward.normalize=false",), "cross_check: gains of two reward models are compared in SDs"),
        (("policy.relabel.every=2",), "reward.cross_check: with policy.relabel.every the proxy is fitted again"),
    ],
)
def test_what_it_can_not_go_with_is_refused(changes: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config.read("tiny", [ON, *changes])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (("policy.kind=dpo",), 'policy.kind = "dpo" learns from all comparisons itself'),
        (("reward.kind=verifier", "reward.verifier=constraints", "reward.options={max_words=5}"), "is fitted to no"),
    ],
)
def test_where_it_does_nothing_that_is_said_and_nothing_is_made_again(changes: tuple[str, ...], why: str) -> None:
    with_it, without = config.read("tiny", [ON, *changes]), config.read("tiny", changes)
    (note,) = (note for note in config.notes(with_it) if note.startswith("reward.cross_check does nothing here"))
    assert why in note
    mine, theirs = plan(with_it), plan(without)
    assert {stage for stage in mine if mine[stage] != theirs[stage]} <= {"report"}


def test_runs_from_before_keep_their_fingerprints() -> None:
    """At its default the setting stands in no dump."""
    recipe = config.read("tiny", ["reward.cross_check=false"])
    assert "cross_check" not in recipe.table()["reward"]
    assert "cross_check" not in recipe.toml()
    assert plan(recipe) == plan(config.read("tiny", []))
    assert config.read("tiny", [ON]).table()["reward"]["cross_check"] is True
