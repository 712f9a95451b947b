"""A fault broken on purpose, and the doctor names it first: every row of its table, on `tiny` (stale answers in the nano lab,
for the answers of `tiny` are too short to get far from home)."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trueward.config import ablations
from trueward.evaluation.doctor import Diagnosis
from trueward.pipeline.doctor_inputs import diagnose_run
from trueward.progress import Progress
from trueward.scorers import reward_model

LESS = ("runtime.threads=1", "reward.learning_curve=false")
SHORT = "policy.steps=8"
# Annotators who like long answers, and little room for them: on all of four seeds the policy then writes to the end of it.
ENDLESS = ("policy.kl_coef=0.03", "comparisons.length_bias=5", "sampler.max_new_tokens=12")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Diagnosis]:
    """The doctor's word on a run of a recipe without some rungs; all runs share their lower stages."""
    from trueward import pipeline

    home = tmp_path_factory.mktemp("doctor")

    @cache
    def climb(recipe: str, without: tuple[str, ...], *changes: str, home: Path = home) -> Diagnosis:
        resolved = ablations.read(recipe, [*LESS, *changes], without)
        name = f"{resolved.name},{len(list(home.iterdir()))}"
        pipeline.run_pipeline(resolved, home, name, Progress())
        report = json.loads((home / name / "report.json").read_text(encoding="utf-8"))
        found = diagnose_run(home / name)
        assert report["doctor"] == json.loads(json.dumps(found.table()))
        return found

    return climb


def test_a_healthy_run_has_no_finding(seen: Any) -> None:
    found = seen("tiny", ())
    assert found.findings == []
    assert found.not_checked == {}
    assert len(found.checked) == 12


@pytest.mark.parametrize(
    ("fault", "without", "changes"),
    [
        ("sft", ("sft",), (SHORT,)),
        ("comparisons", ("comparisons",), (SHORT,)),
        ("labels", ("labels",), (SHORT,)),
        ("overfitting", (), ("comparisons.count=300", "reward.held_out=0.3", "reward.epochs=40", "policy.steps=4")),
        ("normalisation", ("normalisation",), (SHORT,)),
        ("anchor", ("anchor",), ("policy.learning_rate=0.004", "policy.steps=30")),
        ("slack", ("slack",), ()),
        ("eos-penalty", ("eos-penalty",), ENDLESS),
        ("value", ("value",), ()),
        ("length", ("length",), ()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_broken_rung_is_named_first(
    seen: Any, fault: str, without: tuple[str, ...], changes: tuple[str, ...]
) -> None:
    found = seen("tiny", without, *changes)
    assert [f.fault for f in found.findings][:1] == [fault]
    first = found.findings[0]
    assert first.evidence
    assert first.advice
    assert first.because


def test_what_the_penalty_is_for(seen: Any) -> None:
    """The same run with a penalty ends its answers, so it's the penalty that was missing."""
    found = seen("tiny", (), *ENDLESS, "policy.missing_eos_penalty=4")
    assert found.findings == []


def test_answers_that_the_reward_model_has_never_seen(seen: Any) -> None:
    found = seen("nano", (), "policy.kl_coef=0.1", "policy.steps=60")
    assert [f.fault for f in found.findings] == ["stale"]
    evidence = found.findings[0].evidence
    assert evidence["outlier_share"] > 0.9
    assert evidence["truth_at_its_best"] > 1.2
    assert evidence["truth_gain"] < 0
    assert evidence["proxy_gain"] > 5


def test_a_reward_read_at_the_padding(seen: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The classic: batches are padded, and the scorer takes the last column."""
    heads = reward_model.heads

    def last_column(model: Any, tokens: Any) -> Any:
        return heads.hidden_states(model, tokens.ids)[:, -1]

    monkeypatch.setattr(reward_model, "heads", SimpleNamespace(sequence_states=last_column, together=heads.together))
    found = seen("tiny", (), "reward.epochs=4", "policy.steps=3", home=tmp_path)
    assert [f.fault for f in found.findings][:1] == ["tokens"]


def test_an_unfinished_run_is_looked_at_as_far_as_it_goes(climb: Any, tmp_path: Path) -> None:
    climb(tmp_path, "run", until="reward_model")
    found = diagnose_run(tmp_path / "run")
    (finding,) = found.findings  # 54 comparisons to fit to, 6 to examine on
    assert finding.fault == "comparisons"
    assert "truth_gain" not in finding.evidence
    assert {"tokens", "overfitting"} <= set(found.checked)
    assert found.not_checked["anchor"] == "no trained policy was measured"
