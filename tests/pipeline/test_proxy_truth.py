"""A truth that is the proxy is refused, or said where it is meant."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward import config
from trueward.pipeline.announcements import announcements
from trueward.pipeline.proxy_truth import note, proxy_is_truth, refuse_proxy_as_truth, truths_that_are_proxies

Command = Callable[..., tuple[int, str, str]]
VERIFIER = ("reward.kind=verifier", "reward.verifier=constraints", "reward.options={max_words=5}")
JUDGE = ("reward.kind=judge", "judge.model=m", "judge.endpoint=http://localhost:1/v1")
SAME = [
    (*VERIFIER, 'evaluation.truths=["verifier:constraints"]'),
    (*VERIFIER, 'evaluation.truths=["verifier:constraints"]', 'evaluation.options={"verifier:constraints"={max_words=5}}'),
    (*VERIFIER, 'evaluation.truths=["people:film","verifier:constraints"]'),
    ("reward.kind=verifier", "reward.verifier=mine:short", 'evaluation.truths=["mine:short"]'),
    (*JUDGE, 'evaluation.truths=["judge"]'),
    ("reward.model=here", 'evaluation.truths=["model:./here"]'),
    ("reward.model=hub/name", 'evaluation.truths=["model:hub/name"]'),
    ("reward.kind=mix", 'reward.parts=[{scorer="verifier:exact",weight=2.0}]', 'evaluation.truths=["verifier:exact"]'),
]  # fmt: skip
OTHER = [
    (),
    (*VERIFIER, 'evaluation.truths=["verifier:constraints"]', 'evaluation.options={"verifier:constraints"={max_words=6}}'),
    (*VERIFIER, 'evaluation.truths=["verifier:exact"]'),
    (*VERIFIER, 'evaluation.truths=["b","verifier:constraints"]'),
    (*VERIFIER, "evaluation.truths=[]"),
    (*JUDGE, 'evaluation.truths=["b","judge"]'),
    ("judge.model=m", 'evaluation.truths=["judge"]'),
    ("reward.kind=mix", 'reward.parts=[{scorer="verifier:exact"},{scorer="length"}]', 'evaluation.truths=["verifier:exact"]'),
    ("reward.kind=mix", 'reward.parts=[{scorer="verifier:exact",weight=-1.0}]', 'evaluation.truths=["verifier:exact"]'),
]  # fmt: skip


@pytest.mark.parametrize("changes", SAME)
def test_the_same_scorer_is_refused(changes: tuple[str, ...], tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    recipe = config.read("tiny", changes)
    with pytest.raises(ValueError, match=r"evaluation.truths: .* is the reward itself.*proxy_is_truth = true") as error:
        refuse_proxy_as_truth(recipe)
    assert "\n" not in str(error.value)
    meant = config.read("tiny", [*changes, "evaluation.proxy_is_truth=true"])
    refuse_proxy_as_truth(meant)
    assert proxy_is_truth(meant)
    assert note(meant).startswith("proxy = truth")
    said = [any(line.startswith("proxy = truth") for line in announcements(one, tmp_path)) for one in (recipe, meant)]
    assert said == [False, True], "what is refused isn't announced as if it ran"


@pytest.mark.parametrize("changes", OTHER)
def test_another_scorer_is_not(changes: tuple[str, ...]) -> None:
    recipe = config.read("tiny", changes)
    refuse_proxy_as_truth(recipe)
    assert not proxy_is_truth(recipe)
    assert ("is the proxy" in note(recipe)) == bool(truths_that_are_proxies(recipe))


def test_every_shipped_recipe_may_run() -> None:
    for name in config.shipped():
        refuse_proxy_as_truth(config.read(name))


def test_a_run_says_that_its_proxy_is_its_truth(baseline: Path, climb: Any, command: Command) -> None:
    short = ("reward.kind=verifier", "reward.verifier=constraints", 'reward.options={max_words=5,ends_with="."}')
    same = (*short, 'evaluation.truths=["verifier:constraints"]', "policy.kind=grpo")
    run = baseline.parent / "itself"
    with pytest.raises(ValueError, match="is the reward itself"):
        climb(baseline.parent, "itself", *same)
    assert not run.exists(), "refused before anything is made"
    climb(baseline.parent, "itself", *same, "evaluation.proxy_is_truth=true")
    report = json.loads((run / "report.json").read_text())
    assert "proxy = truth" in report["verdict"]["rule"]
    assert any(line.startswith("proxy = truth") for line in report["notes"])
    assert "proxy = truth" in (run / "report.html").read_text()
    code, out, _ = command("report", str(run))
    assert (code, "proxy = truth" in " ".join(out.split())) == (0, True)
    finished = (run / "policy" / "manifest.json").stat().st_mtime_ns
    climb(baseline.parent, "itself", *same)  # one that was begun before this was asked goes on
    assert (run / "policy" / "manifest.json").stat().st_mtime_ns == finished
