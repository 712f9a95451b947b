"""The ladder's mechanism: what is climbed once, what is taken over from another run, what is refused."""

from __future__ import annotations

import fcntl
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from trueward import config
from trueward.pipeline import STAGES


def times(run: Path) -> dict[str, int]:
    changing = (".lock", "recipe.toml", "pipeline.json", "report.json", "report.html")
    return {
        str(p.relative_to(run)): p.stat().st_mtime_ns
        for p in run.rglob("*")
        if p.is_file() and (p.parent != run or p.name not in changing)
    }


def rows(run: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads((run / "pipeline.json").read_text())}


def test_a_finished_run_is_not_climbed_again(baseline: Path, climb: Any) -> None:
    before, ladder, report = times(baseline), rows(baseline), (baseline / "report.json").read_bytes()
    climb(baseline.parent, baseline.name)
    assert times(baseline) == before
    assert rows(baseline) == ladder
    assert (baseline / "report.json").read_bytes() == report
    assert [row["state"] for row in ladder.values()] == ["done"] * 7
    assert list(ladder) == list(STAGES)


def test_another_kl_coef_trains_only_the_policy(baseline: Path, climb: Any) -> None:
    climb(baseline.parent, "sharper", "policy.kl_coef=0.5", until="policy")
    other = baseline.parent / "sharper"
    one, two = rows(baseline), rows(other)
    for stage in ("prepare", "sft", "comparisons", "reward_model"):
        assert two[stage] == one[stage]  # seconds too
        for name in json.loads((other / stage / "manifest.json").read_text())["files"]:
            assert (other / stage / name).read_bytes() == (baseline / stage / name).read_bytes()
        assert not (other / stage / "checkpoints").exists()
    assert two["policy"]["digest"] != one["policy"]["digest"]
    weights = "policy/model/model.safetensors"
    assert (other / weights).read_bytes() != (baseline / weights).read_bytes()


def test_a_taken_over_run_outlives_the_first_one(baseline: Path, tmp_path: Path, climb: Any) -> None:
    """What was linked is whole, and what the second run does leaves the first as it was."""
    climb(tmp_path, "one", until="sft")
    climb(tmp_path, "two", "comparisons.count=50", until="comparisons")
    before = (tmp_path / "two/sft/model/model.safetensors").read_bytes()
    for path in sorted((tmp_path / "one").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    climb(tmp_path, "two", "comparisons.count=50", until="reward_model")
    assert (tmp_path / "two/sft/model/model.safetensors").read_bytes() == before
    assert before == (baseline / "sft/model/model.safetensors").read_bytes()


@pytest.mark.parametrize("stage", ["prepare", "comparisons"])
def test_until_stops(tmp_path: Path, climb: Any, stage: str) -> None:
    found = climb(tmp_path, "run", until=stage)
    assert found.stage == stage
    climbed = STAGES[: STAGES.index(stage) + 1]
    assert tuple(rows(tmp_path / "run")) == climbed
    assert sorted(p.name for p in (tmp_path / "run").iterdir() if p.is_dir()) == sorted(climbed)


def test_the_name_says_what_was_changed(command: Any, tmp_path: Path) -> None:
    changes = ["--set", "sft.batch_size=32", "--set", "runtime.threads=1"]
    code, out, err = command("run", "tiny", "--until", "prepare", *changes)
    assert code == 0, err
    assert out.splitlines()[-1] == "runs/tiny,sft.batch_size=32/prepare", "the stage's directory, for scripts"
    assert (tmp_path / out.splitlines()[-1] / "manifest.json").is_file()
    assert "prepare: done in" in err


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("tiny", [], "tiny"),
        ("tiny", ["policy.kl_coef=0", "runtime.threads=1"], "tiny,policy.kl_coef=0"),
        ("tiny", ["runtime.threads=1"], "tiny"),
        ("tiny", ['data.prompts = "a/b c.jsonl"'], "tiny,data.prompts=a_bc.jsonl"),
    ],
)
def test_variant(name: str, changes: list[str], expected: str) -> None:
    assert config.variant(name, changes) == expected


def test_another_recipes_run_is_refused(command: Any, baseline: Path, small: Any) -> None:
    before = times(baseline), (baseline / "recipe.toml").read_bytes()
    code, _, err = command(*small("policy.kl_coef=0.5"), "--out", str(baseline))
    assert code == 2
    assert err == (
        f"trueward: {baseline}: holds a run of another recipe (policy.kl_coef is 0.1 there, 0.5 here); "
        "choose another --out or remove it\n"
    )
    assert (times(baseline), (baseline / "recipe.toml").read_bytes()) == before


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_not_a_run_is_refused(command: Any, tmp_path: Path, small: Any, kind: str) -> None:
    out = tmp_path / "thesis"
    if kind == "folder":
        out.mkdir()
    text = out / "thesis.tex" if kind == "folder" else out
    text.write_text("precious")
    code, _, err = command(*small(), "--out", str(out))
    assert (code, err) == (2, f"trueward: {out}: exists and is not a run of trueward; choose another --out\n")
    assert text.read_text() == "precious"
    assert [p for p in tmp_path.rglob("*") if p != out] == ([text] if kind == "folder" else [])


def test_a_run_under_way_is_refused(command: Any, tmp_path: Path, small: Any, climb: Any) -> None:
    climb(tmp_path, "run", until="prepare")
    with (tmp_path / "run/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        code, _, err = command(*small(), "--out", str(tmp_path / "run"))
    assert (code, err) == (2, f"trueward: {tmp_path / 'run'}: another process is at work on this run\n")


def test_manifests_list_every_file_with_its_hash(baseline: Path) -> None:
    for stage in STAGES:
        folder = baseline / stage
        manifest = json.loads((folder / "manifest.json").read_text())
        there = {
            str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in folder.rglob("*")
            if p.is_file() and p.name != "manifest.json" and "checkpoints" not in p.parts
        }
        assert manifest["files"] == there
        assert there
        assert manifest["stage"] == stage
        assert manifest["digest"] == rows(baseline)[stage]["digest"]
        assert manifest["parents"] == rows(baseline)[stage]["parents"]


@pytest.mark.parametrize("damage", ["", '{"format": 2, "sta', "[]", "{}", '{"format": 1}', '{"format": 99}'])
def test_a_damaged_manifest_is_one_clear_line(
    command: Any, tmp_path: Path, small: Any, climb: Any, damage: str
) -> None:
    climb(tmp_path, "run", until="prepare")
    manifest = tmp_path / "run/prepare/manifest.json"
    manifest.write_text(damage)
    code, _, err = command(*small(), "--out", str(tmp_path / "run"), "--until", "prepare")
    assert code == 2
    assert err.startswith(f"trueward: {manifest}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("damage", ['{"format": 2, "sta', "[]"])
def test_a_neighbours_damaged_manifest_stops_nobody(tmp_path: Path, climb: Any, damage: str) -> None:
    climb(tmp_path, "damaged", until="prepare")
    (tmp_path / "damaged/prepare/manifest.json").write_text(damage)
    assert climb(tmp_path, "mine", until="prepare").stage == "prepare"


def test_a_missing_file_is_one_clear_line(command: Any, tmp_path: Path, small: Any, climb: Any) -> None:
    climb(tmp_path, "run", until="prepare")
    (tmp_path / "run/prepare/prompts.jsonl").unlink()
    code, _, err = command(*small(), "--out", str(tmp_path / "run"), "--until", "prepare")
    assert code == 2
    assert err == (
        f"trueward: {tmp_path / 'run/prepare'}: prompts.jsonl is missing, though the manifest lists it; "
        "remove the directory to make it again\n"
    )
