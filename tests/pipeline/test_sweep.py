"""A sweep from the command line: what is shared, what is trained again, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward.pipeline.sweep import Over

Command = Callable[..., tuple[int, str, str]]
BETA = "policy.kl_coef"


def sweep(command: Command, small: Callable[..., list[str]], *more: str) -> tuple[int, str, str]:
    """A sweep of the small recipe into ./swept."""
    settings = small()[3:]  # without `run tiny --quiet`
    return command("sweep", "tiny", "--out", "swept", "--quiet", *settings, *more)


def made(folder: Path, stage: str) -> dict[str, int]:
    """When each member's stage was written, and by which run."""
    return {p.parent.parent.name: p.stat().st_mtime_ns for p in folder.glob(f"*/{stage}/manifest.json")}


def rows(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    return {row["run"]: {k: v for k, v in row.items() if k != "history"} for row in found["runs"]}


def test_a_value_is_added_and_only_that_is_trained(
    command: Command, small: Callable[..., list[str]], tmp_path: Path
) -> None:
    home = tmp_path / "swept"
    assert sweep(command, small, "--over", f"{BETA}=0.1,1", "--seeds", "2")[0] == 0
    before, first = made(home, "policy"), rows(home)
    assert sorted(before) == [f"{BETA}={v},seed={s}" for v in ("0.1", "1") for s in (0, 1)]
    for seed in (0, 1):  # SFT and reward model of a seed are one and the same, made once
        for stage in ("sft", "reward_model"):
            twins = [
                json.loads((home / f"{BETA}={v},seed={seed}" / stage / "manifest.json").read_text())
                for v in ("0.1", "1")
            ]
            assert twins[0] == twins[1]
    assert first[f"{BETA}=0.1,seed=0"]["kl"] != first[f"{BETA}=1,seed=0"]["kl"]

    code, out, _ = command(
        "sweep", "tiny", "--out", "swept", "--over", f"{BETA}=3", "--seeds", "1", "--json", *small()[3:]
    )
    assert code == 0
    after = made(home, "policy")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {f"{BETA}=3,seed=0"}
    found = json.loads(out)
    assert {r["run"]: r["truth"] for r in found["runs"]} == {name: row["truth"] for name, row in rows(home).items()}
    assert [p["value"] for p in found["points"]] == [3.0, 0.1, 1.0]
    assert found["advice"]["best"] in (0.1, 1.0, 3.0)
    page = (home / "sweep.html").read_text(encoding="utf-8")
    assert found["sentence"].split(".")[0][:10] in page


def test_two_at_a_time_find_what_one_finds(command: Command, small: Callable[..., list[str]], tmp_path: Path) -> None:
    assert sweep(command, small, "--over", f"{BETA}=0.1,1")[0] == 0
    alone = rows(tmp_path / "swept")
    (tmp_path / "swept").rename(tmp_path / "alone")
    assert sweep(command, small, "--over", f"{BETA}=0.1,1", "--jobs", "2")[0] == 0
    assert rows(tmp_path / "swept") == alone


def test_a_run_that_fails_is_said_and_the_rest_goes_on(
    command: Command, small: Callable[..., list[str]], tmp_path: Path
) -> None:
    code, _, _ = sweep(command, small, "--over", "policy.learning_rate=0.001,1e30")
    assert code == 0
    found = rows(tmp_path / "swept")
    assert "not a number any more" in found["policy.learning_rate=1e30,seed=0"]["error"]
    assert found["policy.learning_rate=0.001,seed=0"]["truth"] is not None
    code, _, err = sweep(command, small, "--over", "policy.learning_rate=1e30", "--out", "other")
    assert code == 2
    assert "no run of the sweep ended well" in err


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ("policy.kl_coef", "expected KEY=VALUE,VALUE"),
        ("policy.kl_coef=0.1,,1", "expected KEY=VALUE,VALUE"),
        ("seed=1,2", "--seeds"),
        ("runtime.threads=1,2", "changes no result"),
        ("policy.kl_coef=0.1,-3", "policy.kl_coef"),
        ("policy.klcoef=1,2", "did you mean kl_coef"),
    ],
)
def test_what_can_not_be_swept(command: Command, tmp_path: Path, over: str, said: str) -> None:
    code, _, err = command("sweep", "tiny", "--over", over, "--out", "swept")
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "swept").exists()


def test_a_directory_that_is_something_else_is_left_alone(command: Command, tmp_path: Path) -> None:
    (tmp_path / "swept").mkdir()
    (tmp_path / "swept" / "pipeline.json").write_text("[]")
    code, _, err = command("sweep", "tiny", "--over", f"{BETA}=1,2", "--out", "swept")
    assert code == 2
    assert "not a sweep's directory" in err
    (tmp_path / "swept" / "pipeline.json").rename(tmp_path / "swept" / "sweep.json")
    (tmp_path / "swept" / "sweep.json").write_text('{"over": "sft.epochs", "runs": []}')
    code, _, err = command("sweep", "tiny", "--over", f"{BETA}=1,2", "--out", "swept")
    assert code == 2
    assert "holds a sweep over sft.epochs" in err


def test_values_are_read_once_and_in_order() -> None:
    assert Over.parse(" policy.kind = ppo, dpo,ppo") == Over("policy.kind", ("ppo", "dpo"))
