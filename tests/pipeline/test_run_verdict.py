"""The verdict inside a real run: a peak measured again, a run stopped and killed, a control beside a run that did not move."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from trueward import artifacts, config
from trueward.models import loading
from trueward.pipeline import run_verdict
from trueward.pipeline.cache import MemoryCache
from trueward.pipeline.run import run_in_memory
from trueward.training.journal import read_log

pytestmark = pytest.mark.learned
HACKED = (  # the truth is minus the proxy, so it falls as surely as the proxy rises
    "policy.kind=rloo",
    "policy.learning_rate=0.01",
    "policy.batch_size=64",
    "policy.steps=12",
    "evaluation.step_prompts=64",
    "evaluation.final_prompts=64",
)
ENOUGH = ("evaluation.step_prompts=24", "evaluation.final_prompts=24")  # for a mean to be tested
STOP = 'evaluation.stop_when="truth falls"'


@pytest.fixture(scope="module")
def against(baseline: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The setting that makes minus the proxy the truth."""
    folder = tmp_path_factory.mktemp("truth") / "against"
    model = loading.reward(baseline / "reward_model/model", torch.device("cpu"))
    with torch.no_grad():
        model.model.score.weight *= -1
    loading.save(model, folder)
    return f"evaluation.truths=['model:{folder}']"


@pytest.fixture(scope="module")
def stopped(baseline: Path, climb: Any, against: str) -> Path:
    climb(baseline.parent, "stopped", *HACKED, against, STOP)
    return baseline.parent / "stopped"


def test_a_run_stops_when_the_truth_falls_and_says_why(stopped: Path) -> None:
    report = artifacts.read_json(stopped / "report.json")
    rows = read_log(stopped / "policy/evaluations.jsonl")
    summary = artifacts.read_json(stopped / "policy/manifest.json")["summary"]
    assert summary["steps"] == rows[-1]["step"] < 12
    assert [row["verdict"] for row in rows].index("hacking") == len(rows) - 1
    assert summary["stopped"] == report["stopped"] == f"hacking: {rows[-1]['rule']}"
    assert report["verdict"]["word"] == "hacking"
    assert report["verdict"]["best_step"] == report["best_step"] == max(rows[1:], key=lambda r: r["truth"])["step"]
    page = (stopped / "report.html").read_text()
    assert f"Training stopped at step {summary['steps']} of 12" in page
    assert ">hacking</bdi></strong>" in page


def test_a_peak_is_measured_again_on_answers_that_no_evaluation_saw(baseline: Path, climb: Any, against: str) -> None:
    """In a run that nothing stops: the truth falls at all of its evaluations, so the first of them is a peak that is lost."""
    climb(baseline.parent, "fallen", *HACKED, against, until="policy")
    tests = [row["fall"] for row in read_log(baseline.parent / "fallen/policy/evaluations.jsonl") if row["fall"]]
    assert tests, "the truth fell, so some peak should have been measured again"
    assert [t["test"] for t in tests] == list(range(1, len(tests) + 1))
    for t in tests:
        assert t["prompts"] == 64
        assert t["drop_low"] <= t["drop"] <= t["drop_high"]
        assert t["is_fall"] == (t["drop_z"] >= t["drop_needed_z"])


def test_killed_again_and_again_it_ends_the_same(
    stopped: Path, baseline: Path, climb: Any, against: str, made_by: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off after every single look, with checkpoints so rare that bests have to be put back."""

    class PowerCutError(Exception):
        pass

    home, looked = baseline.parent, [0]
    judge = run_verdict.RunMonitor.__call__

    def cut(self: Any, looks: list[dict[str, Any]]) -> Any:
        found = judge(self, looks)
        if looks[-1]["step"] > looked[0]:
            looked[0] = looks[-1]["step"]
            raise PowerCutError
        return found

    monkeypatch.setattr(run_verdict.RunMonitor, "__call__", cut)
    monkeypatch.setattr("trueward.pipeline.cache.RunCache._elsewhere", lambda *_: None)  # made here, not linked
    for _ in range(20):
        try:
            climb(home, "killed", *HACKED, against, STOP, "runtime.checkpoint_seconds=0.3", until="policy")
            break
        except PowerCutError:
            continue
    one, two = made_by(home / "killed"), made_by(stopped)
    for name in (n for n in one if n.startswith("policy/")):
        assert one[name] == two[name], name


def seems_to_move(report: dict[str, Any]) -> bool:
    """A truth that stands still is seen to rise or to sink in one run in twenty; then the word may be another one."""
    looks = [*report["history"][1:], report["verdict"]["numbers"]]
    return max(abs(row["truth_gain_z"] or 0.0) for row in looks) > 1.96


def test_a_control_beside_a_run_that_did_not_move(baseline: Path, climb: Any) -> None:
    """With a rate at which nothing happens the run is pinned, and the control trained as many steps."""
    climb(baseline.parent, "pinned", "policy.learning_rate=1e-9", "evaluation.control=unmoved", *ENOUGH)
    run = baseline.parent / "pinned"
    control = artifacts.read_json(run / "control/manifest.json")["summary"]
    report = artifacts.read_json(run / "report.json")
    assert control["steps"] == 3
    assert report["verdict"]["word"] == "pinned" or seems_to_move(report)
    assert abs(report["policies"]["policy"]["kl"]) < 1e-3
    assert report["verdict"]["numbers"]["control_kl"] == control["kl"]
    scores = [json.loads(row)["objective/scores"] for row in (run / "control/metrics.jsonl").read_text().splitlines()]
    assert scores != [row["objective/scores"] for row in read_log(run / "policy/metrics.jsonl")]
    assert not (run / "control/model").exists()


@pytest.mark.parametrize("kind", ["rloo", "dpo", "sft_on_best"])
def test_every_kind_that_trains_has_a_control(baseline: Path, climb: Any, kind: str) -> None:
    changes = (
        f"policy.kind={kind}", "policy.learning_rate=1e-9", "policy.dpo.learning_rate=1e-9", "sft.learning_rate=1e-9",
        "policy.best_of_n.prompts=16", "policy.best_of_n.n=2", "evaluation.control=unmoved", *ENOUGH,
    )  # fmt: skip
    climb(baseline.parent, f"control {kind}", *changes)
    report = artifacts.read_json(baseline.parent / f"control {kind}/report.json")
    assert report["verdict"]["numbers"]["control_kl"] is not None
    # SFT that learned nothing may say one thing only, which is broken.
    assert report["verdict"]["word"] in ("pinned", "broken") or seems_to_move(report)


def test_the_least_fall_is_a_share_of_the_peaks_gain() -> None:
    """Nano without an anchor, whose truth rose by 1.5 SD (0.2 over ten seeds) and then fell by 8 (2.3)."""
    cache = MemoryCache()
    counted = []
    for share in (0.25, 0.5):
        changes = ("policy.kl_coef=0", "policy.steps=60", "evaluation.every=10", f"evaluation.least_fall={share}")
        rows = run_in_memory(config.read("nano", changes), cache, until="policy")["policy"].value.evaluations
        truth = {row["step"]: row["truth"] for row in rows}
        falls = [row["fall"] for row in rows if row["fall"]]
        assert falls
        for fall in falls:
            least = share * (truth[fall["peak_step"]] - truth[0])
            assert fall["drop_least"] == pytest.approx(least, abs=1e-4)
            assert fall["is_fall"] == (fall["drop_z"] >= fall["drop_needed_z"] and fall["drop"] >= fall["drop_least"])
        counted.append(falls[-1]["drop_least"])
    assert 0 < counted[0] < counted[1]
