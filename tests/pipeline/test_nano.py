"""The lab in memory is the recipe `nano`; and the recipe runs through the whole ladder with every kind of policy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from trueward import config, pipeline
from trueward.artifacts import read_json
from trueward.pipeline import nano
from trueward.progress import Progress
from trueward.records import Score
from trueward.training.driver import read_log

KINDS = get_args(config.PolicyConfig.model_fields["kind"].annotation)
LESS: dict[str, Any] = {"steps": 5, "batch_size": 32, "group": {"size": 4}, "best_of_n": {"n": 3, "prompts": 64}}
SMALL = (
    "comparisons.count=200",
    "reward.epochs=2",
    "policy.steps=5",
    "policy.batch_size=32",
    "policy.group.size=4",
    "policy.best_of_n.n=3",
    "policy.best_of_n.prompts=64",
    "evaluation.final_prompts=24",
    "evaluation.step_prompts=24",
    "evaluation.every=2",
)
IN_THE_LAB = tuple(change for change in SMALL if not change.startswith("policy."))
ADDED = ("seconds", "feature_shift")  # what the ladder adds to a look
JUDGED = (*ADDED, "fall", "verdict", "rule", "early_warnings")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def run(home: Path) -> Callable[[str], Path]:
    """A finished run of the small recipe with this kind of policy."""

    def run(kind: str) -> Path:
        pipeline.run_pipeline(config.read("nano", [*SMALL, f"policy.kind={kind}", "seed=3"]), home, kind, Progress())
        return home / kind

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_the_lab_is_the_ladder_without_files(run: Callable[[str], Path], kind: str) -> None:
    made = run(kind)
    rows = nano.climb(nano.lab(3, overrides=IN_THE_LAB), kind=kind, judged=kind != "best_of_n", **LESS)
    if kind == "best_of_n":
        (row,) = rows
        assert {k: v for k, v in row.items() if k not in ("step", "feature_shift")} == read_json(made / "report.json")[
            "policies"
        ]["policy"]
    else:
        looks = read_log(made / "policy/evaluations.jsonl")
        assert rows == [{k: v for k, v in look.items() if k not in ADDED} for look in looks]
        assert [row["step"] for row in rows][:2] == [0, 2]
        assert rows[0]["kl"] == 0.0
        assert rows[-1]["kl"] > 0.0
    assert "different liked words" in read_json(made / "report.json")["annotators"]["description"]
    assert all(row["length"] == 24 and row["eos_rate"] == 0 for row in rows)


REMEDIES = {
    "relabelled": (["policy.relabel.every=2", "policy.relabel.comparisons=40"], []),
    "worst of three": ([], ["reward.members=3", "reward.combine=worst", "reward.resample=true"]),
    "relabelled, shaped, mean minus variance": (
        ["policy.relabel.every=2", "policy.relabel.comparisons=40"],
        ["reward.members=2", "reward.combine=uncertainty", "reward.shaping=sigmoid", "reward.clip=2"],
    ),
    "averaged weights": ([], ["reward.members=2", "reward.combine=weights", "reward.resample=true"]),
}


@pytest.mark.parametrize("kind", ["ppo", "rloo"])
@pytest.mark.parametrize("name", REMEDIES)
def test_so_it_is_with_remedies(home: Path, name: str, kind: str) -> None:
    on_the_way, reward = REMEDIES[name]
    recipe = config.read("nano", [*SMALL, *on_the_way, *reward, f"policy.kind={kind}", "seed=3"])
    pipeline.run_pipeline(recipe, home, f"{kind} {name}", Progress(), until="policy")
    more: dict[str, Any] = {"relabel_every": 2, "relabel": 40} if on_the_way else {}
    rows = nano.climb(nano.lab(3, overrides=[*IN_THE_LAB, *reward]), kind=kind, **LESS, **more)
    looks = read_log(home / f"{kind} {name}" / "policy/evaluations.jsonl")
    seen = [{k: v for k, v in row.items() if k != "relabel"} for row in rows]
    assert seen == [{k: v for k, v in look.items() if k not in JUDGED} for look in looks]
    told = [refit for row in rows for refit in row.get("relabel", [])]
    assert told == read_log(home / f"{kind} {name}" / "policy/relabel.jsonl")
    assert [refit["step"] for refit in told] == ([2, 4] if on_the_way else [])


def test_a_run_that_was_stopped_ends_in_the_same_weights(run: Callable[[str], Path], tmp_path: Path) -> None:
    class Stopping(Progress):
        def at(self, done: int, note: str = "") -> None:
            if done == 3 and note:
                raise KeyboardInterrupt

    whole = run("ppo")
    recipe = config.read("nano", [*SMALL, "seed=3", "runtime.checkpoint_seconds=0"])
    with pytest.raises(KeyboardInterrupt):
        pipeline.run_pipeline(recipe, tmp_path, "run", Stopping())
    pipeline.run_pipeline(recipe, tmp_path, "run", Progress())
    for name in ("reward_model/model", "policy/model", "policy/best"):
        path = f"{name}/model.safetensors"
        assert (tmp_path / "run" / path).read_bytes() == (whole / path).read_bytes(), name


def test_answers_on_the_terminal(
    run: Callable[[str], Path], command: Callable[..., tuple[int, str, str]], home: Path
) -> None:
    run("ppo")
    code, out, err = command("sample", str(home / "ppo"), "--prompt", "joy river", "--compare", str(home / "ppo/sft"))
    assert (code, err) == (0, "")
    assert "joy river" in out


def test_the_facts_of_a_lab() -> None:
    lab = nano.lab(1, comparisons=300)
    assert len(lab.comparisons) == 300
    assert 15 < len(lab.examined) < 50
    assert not {p.text for p in lab.prompts} & {p.text for p in lab.held_out}
    reference = nano.scores(lab.truth.scorer, lab.answers).reshape(-1, 2)
    assert lab.truth.scale.mean == pytest.approx(reference.mean())
    assert lab.truth.scale.sd == pytest.approx(np.sqrt(reference.var(axis=1, ddof=1).mean()))
    before = lab.reference.model.table.clone()
    assert nano.climb(lab, steps=3, every=3, prompts=8) == nano.climb(lab, steps=3, every=3, prompts=8)
    assert torch.equal(lab.reference.model.table, before)


def test_annotators_without_noise_are_wrong_about_equals_alone() -> None:
    lab = nano.lab(1, comparisons=200, overrides=["comparisons.agreement=0.89"])
    first, second = (nano.scores(lab.truth.scorer, [c.completions()[i] for c in lab.comparisons]) for i in (0, 1))
    wrong = np.mean(
        [(a > b) != c.probability for a, b, c in zip(first, second, lab.comparisons, strict=True) if a != b]
    )
    equal = np.mean(first == second)
    assert lab.flips == pytest.approx(wrong * (1 - equal) + equal / 2)
    assert wrong < 0.03 < 0.25 < nano.lab(1, overrides=["comparisons.agreement=0.625"]).flips


def test_another_scorer_can_be_optimised() -> None:
    def river(completions: Any) -> list[Score]:
        return [Score(score=float("river" in c.response.split())) for c in completions]

    lab = nano.lab(0, comparisons=100)
    rows = nano.climb(lab, scorer=river, kl_coef=0.0, steps=15, every=15, warmup=0)
    assert abs(rows[-1]["proxy"]) < 3
    plain = nano.climb(lab, kl_coef=0.0, steps=15, every=15, warmup=0)
    assert plain[-1]["proxy"] > rows[-1]["proxy"] + 1


def test_a_wrong_setting_is_refused() -> None:
    lab = nano.lab(0, comparisons=100)
    with pytest.raises(ValueError, match="kl_coeff"):
        nano.climb(lab, kl_coeff=0.1)
