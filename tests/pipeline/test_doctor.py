"""A fault made on purpose, and the doctor names it first: every row of its table, on `tiny` (stale answers in the nano lab,
for the answers of `tiny` are too short to get far from home).

The doctor reads learned figures, and another processor's rounding makes another draw of them. So a fault is made so bad that
its figure lies far beyond the doctor's line on every seed (beside each case: the figure on four to six seeds, and the line), or
the word of the majority of three seeds counts. All of `tiny` has 2,000 comparisons where the reward model is to be sound: with
the recipe's 800 one healthy run in four is ill.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest

from trueward.config import ablations
from trueward.evaluation.doctor import Diagnosis
from trueward.evaluation.doctor_rules import RULES
from trueward.pipeline.doctor_inputs import diagnose_run
from trueward.progress import Progress
from trueward.scorers import reward_model

LESS = ("runtime.threads=1", "reward.learning_curve=false")
MORE = ("comparisons.count=2000",)
SHORT = "policy.steps=8"
# Annotators who like long answers, and little room for them: on all of four seeds the policy then writes to the end of it.
ENDLESS = (*MORE, "policy.kl_coef=0.03", "comparisons.length_bias=5", "sampler.max_new_tokens=12")
SEEDS = ("seed=0", "seed=1", "seed=2")

pytestmark = pytest.mark.learned


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


def majority(votes: Iterable[bool]) -> bool:
    """Of three votes. Where two agree, the third is not run: no word of it would count."""
    counted: list[bool] = []
    for vote in votes:
        counted.append(vote)
        if max(counted.count(True), counted.count(False)) == 2:
            break
    return counted.count(True) == 2


def test_a_healthy_run_has_no_finding(seen: Any) -> None:
    """On all of five seeds there was none."""

    def healthy(seed: str) -> bool:
        found = seen("tiny", (), *MORE, seed)
        # where all of its answers end, there is nothing to explain; and it has no second reward model
        assert set(found.not_checked) <= {"endings", "cross-check"}
        assert len(found.checked) + len(found.not_checked) == len(RULES)
        return bool(found.findings == [])

    assert majority(map(healthy, SEEDS))


@pytest.mark.parametrize(
    ("fault", "without", "changes"),
    [
        # 12 to 20 % of the answers end, line 50 %; the loss is the base model's to the last digit
        ("sft", ("sft",), (SHORT,)),
        # held-out loss 1.3 to 1.7 above the fitted one, line 0.3; slope 0.12 to 0.15, line 0.4
        ("overfitting", (), ("comparisons.count=600", "reward.held_out=0.3", "reward.epochs=30", "policy.steps=4")),
        # the setting alone says so
        ("normalisation", ("normalisation",), (SHORT, *MORE)),
        # 94 % of the variance, line 50 %; a policy that hardly moves gains nothing by them
        ("endings", (), ("sampler.max_new_tokens=8", "policy.learning_rate=1e-5", "policy.steps=4", *MORE)),
        # 94 to 96 % on three seeds; 0 to 19 % with annotators who don't count words
        ("length-reward", (), ("comparisons.length_bias=5", SHORT, *MORE)),
        # KL at its farthest 59 to 135, line 50; a word in three to eight is left of SFT's different ones, line one in two
        ("anchor", ("anchor",), ("policy.learning_rate=0.01", "policy.steps=30", *MORE)),
        # KL 0.04 to 0.12, line 0.5; the proxy gained 0.13 SD at the most, line 0.3 and 3 standard errors, which are 0.5
        ("slack", ("slack",), MORE),
        # KL 0.004 to 0.008, line 0.5
        ("unmoved", (), ("policy.learning_rate=1e-5", SHORT, *MORE)),
        # none of the answers ends, where 73 to 81 % of SFT's do
        ("eos-penalty", ("eos-penalty",), ENDLESS),
        # explained variance -5.5 to -27, line -0.5
        ("value", ("value",), MORE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_broken_rung_is_named_first(
    seen: Any, fault: str, without: tuple[str, ...], changes: tuple[str, ...]
) -> None:
    found = seen("tiny", without, *changes)
    # ENDLESS has these faults too: annotators count words, and of twelve tokens at most the longest answers are the cut ones
    also = ("length-reward", "endings") if changes == ENDLESS else ()
    named = [f for f in found.findings if f.fault not in also]
    assert [f.fault for f in named][:1] == [fault]
    first = named[0]
    assert first.evidence
    assert first.advice
    assert first.because


@pytest.mark.parametrize(
    ("rung", "without", "changes"),
    [
        # Three comparisons to examine on never lift the interval off 50 %; left to chance is whether the truth gained.
        ("comparisons", ("comparisons",), ("policy.steps=4", "reward.held_out=0.1", "comparisons.agreement=0.9")),
        # The interval of a coin's accuracy is above 50 % on one seed in forty.
        ("labels", ("labels",), ("policy.steps=4",)),
        # Of the gain 3 to 12 % is left at the same length, with its error, line 33 %. The truth gained 0.07 to 0.4 of it, line
        # 0.5; with the bias of --without length, 2 for 5, it was 0.23 to 0.53. The reward model is named first, and rightly.
        ("length", (), (*MORE, "comparisons.length_bias=5", SHORT)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_chance_may_hide_is_named_first_on_most_seeds(
    seen: Any, rung: str, without: tuple[str, ...], changes: tuple[str, ...]
) -> None:
    """Each was on all of four or more."""
    found = (seen("tiny", without, *changes, seed) for seed in SEEDS)
    first = ["length-reward", "length"] if rung == "length" else [rung]
    assert majority([f.fault for f in one.findings][: len(first)] == first for one in found)


def test_a_gain_that_the_other_half_of_the_comparisons_does_not_know(seen: Any) -> None:
    """The second model saw 0.23 to 0.35 of the gain on four seeds, line 0.5; the truth gained 0.16 to 0.37 of it, line 0.5.

    On one of them the reward model was overfitted too, and that is named before it.
    """
    lab = ("comparisons.count=320", "reward.cross_check=true", "policy.steps=20")
    found = [[f.fault for f in seen("nano", (), *lab, seed).findings] for seed in SEEDS]
    assert majority("cross-check" in named for named in found)
    assert majority(named[:1] == ["cross-check"] or named[:2] == ["overfitting", "cross-check"] for named in found)


def test_what_the_penalty_is_for(seen: Any) -> None:
    """The same run with a penalty ends its answers (95 to 100 % of them), so it's the penalty that was missing."""
    found = seen("tiny", (), *ENDLESS, "policy.missing_eos_penalty=4")
    assert "eos-penalty" in found.checked
    assert "eos-penalty" not in [f.fault for f in found.findings]


def test_answers_that_the_reward_model_has_never_seen(seen: Any) -> None:
    """Only the anchor is named below it, and rightly so: that far from home the KL is 51 to 83, and the line is at 50."""
    found = [seen("nano", (), "policy.kl_coef=0.04", "policy.steps=100", seed) for seed in SEEDS]
    named = [{f.fault: f for f in one.findings} for one in found]
    assert majority(list(one)[:1] == ["stale"] or list(one)[:2] == ["anchor", "stale"] for one in named)
    evidence = [one["stale"].evidence for one in named if "stale" in one]

    def middle(key: str) -> float:
        return median(float(one[key]) for one in evidence)

    assert middle("outlier_share") > 0.9  # 1.0 on all of eight seeds
    assert middle("truth_at_its_best") > 0.8  # 1.5, SD 0.3; a median of three has 0.67 of it
    assert (
        middle("truth_gain") < middle("truth_at_its_best") - 0.5
    )  # the rule; over eight seeds the fall was 1.1 to 8.7
    assert middle("proxy_gain") > 5  # 11, SD 1.6


def test_a_reward_read_at_anothers_tokens(seen: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The classic: batches are sorted by length, and the scores are not put back in the order of the answers.

    The loss on fitted comparisons is 0.8 to 1.3 above training's, the line 0.15.
    """
    heads = reward_model.heads

    def neighbours(model: Any, tokens: Any) -> Any:
        return heads.sequence_states(model, tokens).roll(1, 0)

    monkeypatch.setattr(
        reward_model, "heads", SimpleNamespace(sequence_states=neighbours, prompt_groups=heads.prompt_groups)
    )
    found = seen("tiny", (), *MORE, "reward.epochs=4", "policy.steps=2", home=tmp_path)
    assert [f.fault for f in found.findings][:1] == ["tokens"]


def test_an_unfinished_run_is_looked_at_as_far_as_it_goes(climb: Any, tmp_path: Path) -> None:
    climb(tmp_path, "run", until="reward_model")
    found = diagnose_run(tmp_path / "run")
    (finding,) = found.findings  # 54 comparisons to fit to, 6 to examine on
    assert finding.fault == "comparisons"
    assert "truth_gain" not in finding.evidence
    assert {"tokens", "overfitting"} <= set(found.checked)
    assert found.not_checked["anchor"] == "no trained policy was measured"
