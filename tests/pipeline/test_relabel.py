"""Iterated RLHF through the ladder: what is asked, fitted and used, and killed at any moment."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trueward import config, pipeline
from trueward.artifacts import read_json
from trueward.data import jsonl
from trueward.pipeline.records import read_completions
from trueward.pipeline.relabel import refitted_proxy
from trueward.progress import Progress
from trueward.records import Comparison
from trueward.scorers import ensemble
from trueward.scorers.scorer import fit_scale
from trueward.training.env import Env
from trueward.training.journal import read_log

CPU = torch.device("cpu")
EVERY_STEP = "runtime.checkpoint_seconds=0"
ON = (
    "policy.steps=5",
    "policy.relabel.every=2",
    "policy.relabel.comparisons=40",
    "reward.members=2",
    "reward.combine=worst",
    "reward.shaping=sigmoid",
    "reward.learning_curve=false",
    EVERY_STEP,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, climb: Any) -> Path:
    """A finished run, never stopped."""
    home = tmp_path_factory.mktemp("home")
    climb(home, "whole", *ON)
    return home


def comparisons(path: Path) -> list[Comparison]:
    return [Comparison.model_validate(row) for _, row in jsonl.read(path)]


def test_what_a_stage_leaves(home: Path) -> None:
    policy = home / "whole/policy"
    rows = read_log(policy / "relabel.jsonl")
    assert [row["step"] for row in rows] == [2, 4]
    assert [row["step"] for row in read_log(policy / "metrics.jsonl")] == [1, 2, 3, 4, 5]
    known = [row["objective/comparisons"] for row in read_log(policy / "metrics.jsonl")]
    first = read_json(home / "whole/reward_model/manifest.json")["summary"]["comparisons"]
    assert known == [first, first, rows[0]["comparisons"], rows[0]["comparisons"], rows[1]["comparisons"]]
    before = {c.prompt.id for c in comparisons(home / "whole/comparisons/comparisons.jsonl")}
    assert len(before) > 40
    for row in rows:
        folder = policy / f"relabel/{row['step']:07d}"
        asked, fitted = comparisons(folder / "asked.jsonl"), comparisons(folder / "fitted.jsonl")
        assert (len(asked), len(fitted)) == (row["fresh"], row["comparisons"])
        assert len(asked) > 30
        kept_back = [c for c in asked if c not in fitted]
        assert len(kept_back) == row["held_out"]
        assert {c.prompt.id for c in kept_back}.isdisjoint(c.prompt.id for c in fitted), "held out by prompt"
        for name in ("model", "members/0", "members/1"):
            assert (folder / name / "model.safetensors").is_file()


def test_each_new_reward_model_is_on_the_sft_policys_scale(home: Path) -> None:
    answers = read_completions(home / "whole/sft/reference.jsonl")
    models = [home / "whole/reward_model", *sorted((home / "whole/policy/relabel").glob("*"))]
    said = []
    for folder in models:
        raw = ensemble.load(folder, CPU)
        found = fit_scale(raw.raw(answers).reshape(-1, 2), "")
        assert (found.mean, found.sd) == pytest.approx((raw.scale.mean, raw.scale.sd), abs=1e-5)
        said.append(raw.raw(answers[:5]).tolist())
    assert said[0] != said[1] != said[2]
    last = refitted_proxy(home / "whole/policy", Env())
    assert last is not None
    assert last.raw(answers[:5]).tolist() == said[-1]


def test_the_looks_and_the_evaluation_go_by_the_newest(home: Path, climb: Any) -> None:
    """Until it is fitted again all is as without; the proxy of the evaluation is that of its own answers."""
    climb(home, "never", *ON, "policy.relabel.every=0")
    same, other = (read_log(home / run / "policy/evaluations.jsonl") for run in ("whole", "never"))
    without = [{k: v for k, v in row.items() if k != "seconds"} for row in other]
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in same][:3] == without[:3]
    assert same[3]["proxy"] != other[3]["proxy"]
    answers = [row for _, row in jsonl.read(home / "whole/evaluation/policy.jsonl")]
    assert all("proxy" in row for row in answers)
    assert refitted_proxy(home / "never/policy", Env()) is None


class Stopping(Progress):
    """Ctrl-C after a step; the refit that is due then has not begun."""

    def __init__(self, step: int) -> None:
        self.step, self.what = step, ""

    def start(self, what: str, total: int) -> None:
        self.what = what

    def at(self, done: int, note: str = "") -> None:
        if self.what.startswith("ppo") and done == self.step:
            raise KeyboardInterrupt


LOWER = ("prepare", "sft", "comparisons", "reward_model")


@pytest.fixture
def begun(home: Path, tmp_path: Path) -> Path:
    """A run that has come to the policy's stage."""
    for stage in LOWER:
        shutil.copytree(home / "whole" / stage, tmp_path / "run" / stage)
    shutil.copyfile(home / "whole/recipe.toml", tmp_path / "run/recipe.toml")
    return tmp_path


@pytest.mark.parametrize("step", [3, 4])
def test_stopped_after_a_step(home: Path, begun: Path, small: Any, made_by: Any, step: int) -> None:
    recipe, tmp_path = config.read("tiny", small(*ON)[4::2]), begun
    with pytest.raises(KeyboardInterrupt):
        pipeline.run_pipeline(recipe, tmp_path, "run", Stopping(step), until="policy")
    pipeline.run_pipeline(recipe, tmp_path, "run", Progress(), until="policy")
    same(tmp_path / "run", home / "whole", made_by)


def same(run: Path, whole: Path, made_by: Callable[[Path], dict[str, Any]]) -> None:
    one, two = made_by(run / "policy"), made_by(whole / "policy")
    assert "relabel/0000004/members/1/model.safetensors" in one
    assert sorted(one) == sorted(two)
    assert [name for name in one if one[name] != two[name]] == []


def test_one_that_was_lost_is_made_again_the_same(home: Path, begun: Path, small: Any, made_by: Any) -> None:
    """The directory of the second one is gone, as by a kill before its renaming; it is made of the first one's too."""
    recipe, tmp_path = config.read("tiny", small(*ON)[4::2]), begun
    with pytest.raises(KeyboardInterrupt):
        pipeline.run_pipeline(recipe, tmp_path, "run", Stopping(5), until="policy")
    policy = tmp_path / "run/policy"
    shutil.rmtree(policy / "relabel/0000004")
    shutil.rmtree(policy / "checkpoints/step-0000005", ignore_errors=True)
    pipeline.run_pipeline(recipe, tmp_path, "run", Progress(), until="policy")
    same(tmp_path / "run", home / "whole", made_by)


def test_killed_again_and_again(processes: Any, small: Any, begun: Path, home: Path, made_by: Any) -> None:
    """`kill -9` after random delays, in the members' fits too, until a process comes to the end."""
    tmp_path = begun
    shutil.rmtree(tmp_path / "run/reward_model")
    command = [*small(*ON), "--out", str(tmp_path / "run"), "--until", "policy"]
    killed = processes.kill_at_random(*command, seed=1, patience=0.5, growth=1.35)
    assert processes.run(*command) == (0, "")
    assert killed >= 3
    same(tmp_path / "run", home / "whole", made_by)
    one, two = (made_by(run / "reward_model") for run in (tmp_path / "run", home / "whole"))
    assert "members/1/metrics.jsonl" in one
    assert [name for name in two if one[name] != two[name]] == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        (("comparisons.source=demonstrations",), "demonstrations can't"),
        (("reward.model=x",), "with reward.model there are none"),
        (("policy.kind=dpo",), "dpo takes no steps against a reward model"),
        (("policy.kind=best_of_n",), "best_of_n takes no steps"),
        (("policy.kind=sft_on_best",), "sft_on_best takes no steps"),
    ],
)
def test_who_can_not_be_asked(changes: tuple[str, ...], what: str) -> None:
    with pytest.raises(ValueError, match=r"relabel\.every.*" + what):
        config.read("tiny", ["policy.relabel.every=2", *changes])


def test_one_ready_model_is_one() -> None:
    with pytest.raises(ValueError, match="members has to be 1, not 3"):
        config.read("tiny", ["reward.model=x", "reward.members=3"])
