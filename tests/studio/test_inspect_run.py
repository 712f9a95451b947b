"""What the tabs of a run's page show: settings, the doctor, files, what happened, the report; and the time that is left."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_runs
import pytest
from starlette.testclient import TestClient

from trueward import config
from trueward.studio.runs import pipeline
from trueward.studio.runs.library import Library

Client = Callable[..., TestClient]


@pytest.fixture
def url() -> str:
    """Which database doesn't matter here."""
    return ""


@pytest.fixture
def viewer(client: Client, tmp_path: Path) -> TestClient:
    fake_runs.make(tmp_path / "runs", "sweep/a", "policy.kl_coef=0.7", "seed=3")
    fake_runs.make(tmp_path / "runs", "b", finished=False)
    return client("eve", "viewer")


def test_settings_beside_a_recipe_that_ships(viewer: TestClient) -> None:
    found = viewer.get("/api/runs/sweep/a/config").json()
    assert found["against"] == "tiny"
    assert {row["key"]: (row["value"], row["shipped"]) for row in found["rows"] if row["differs"]} == {
        "seed": (3, 0),
        "policy.kl_coef": (0.7, config.read("tiny").policy.kl_coef),
    }
    other = viewer.get("/api/runs/sweep/a/config?against=nano").json()
    assert other["against"] == "nano"
    assert {"model.base", "policy.kl_coef"} <= {row["key"] for row in other["rows"] if row["differs"]}
    assert viewer.get("/api/runs/sweep/a/config?against=../x").status_code == 404


def test_a_recipe_of_ones_own_has_nothing_to_differ_from(viewer: TestClient, tmp_path: Path) -> None:
    path = tmp_path / "runs/b/recipe.toml"
    path.write_text(path.read_text().replace('name = "tiny"', 'name = "mine"'))
    found = viewer.get("/api/runs/b/config").json()
    assert found["against"] is None
    assert found["rows"]
    assert not any(row["differs"] for row in found["rows"])


def test_the_doctor_s_words_are_the_report_s_and_before_it_the_rules(viewer: TestClient) -> None:
    found = viewer.get("/api/runs/sweep/a/doctor").json()
    assert found["final"]
    (finding,) = found["findings"]
    assert (finding["seen"], finding["changes"]) == ("kl 8", ["--set policy.kl_coef=0.3"])
    early = viewer.get("/api/runs/b/doctor").json()
    assert not early["final"]
    assert "sft" in early["not_checked"]  # its summary has no figures yet


@pytest.mark.parametrize(
    ("file", "text"),
    [("report.json", '{"doctor": {"findings": [{"fault": 1}], "checked": 3}}'), ("recipe.toml", "[policy]\nsteps = 'x'\n"),
     ("recipe.toml", "[[[")],
)  # fmt: skip
def test_a_run_that_the_doctor_can_t_read(viewer: TestClient, tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / "runs/b" / file).write_text(text)
    problem = viewer.get("/api/runs/b/doctor").json()["problem"]
    assert problem
    assert "\n" not in problem


def test_files_are_listed_and_texts_shown_by_their_names_in_the_list(viewer: TestClient, tmp_path: Path) -> None:
    run = tmp_path / "runs/b"
    (run / "secret.json").symlink_to("/etc/passwd")
    os.mkfifo(run / "pipe.txt")
    (run / "policy/model.safetensors").write_bytes(b"\0" * 2000)
    (run / "long.txt").write_text("x" * 70_000)
    (tmp_path / "runs/outside.json").write_text("{}")
    found = viewer.get("/api/runs/b/files").json()
    listed = {row["path"]: row for row in found["files"]}
    assert "recipe.toml" in listed
    assert not {"secret.json", "pipe.txt"} & set(listed)
    assert found["left_out"] == 2
    assert (listed["policy/model.safetensors"]["bytes"], listed["policy/model.safetensors"]["text"]) == (2000, False)

    def shown(path: str) -> Any:
        return viewer.get("/api/runs/b/file", params={"path": path})

    assert shown("recipe.toml").json()["text"] == (run / "recipe.toml").read_text()
    assert (len(shown("long.txt").json()["text"]), shown("long.txt").json()["cut"]) == (64 * 1024, True)
    for path in ("secret.json", "pipe.txt", "policy/model.safetensors", "../outside.json", "/etc/passwd", "policy"):
        assert shown(path).status_code == 404, path


def test_what_happened_is_told_in_order_and_a_warning_once(viewer: TestClient, tmp_path: Path) -> None:
    evaluations = tmp_path / "runs/sweep/a/policy/evaluations.jsonl"
    rows = [json.loads(row) for row in evaluations.read_text().splitlines()]
    rows.append(
        {**rows[-1], "step": 30, "verdict": "hacking", "early_warnings": ["answers are 2.5 times as long as SFT’s"]}
    )
    fake_runs.lines(evaluations, rows)
    table = {"format": 2, "summary": {"left_out": [{"what": "pairs", "reason": "the same", "rows": 1234}]}}
    (tmp_path / "runs/sweep/a/sft/manifest.json").write_text(json.dumps(table))
    found = viewer.get("/api/runs/sweep/a/log").json()
    texts = [row["text"] for row in found]
    assert texts[0] == "done in 2.0 s"
    assert "1,234 pairs left out: the same" in texts
    assert "evaluated: proxy +1.00, truth +2.00, KL 4.0" in texts
    assert sum("times as long" in text for text in texts) == 1
    bad = [row for row in found if row["level"] == "bad"]
    assert [row["text"].partition(", as")[0].rpartition("; ")[2] for row in bad] == [
        "verdict now hacking",
        "verdict: over-optimised, past the peak",
    ]
    assert [row["step"] for row in found if row["text"].startswith("evaluated")] == [0, 10, 20, 30]


def test_the_report_is_shown_and_never_executed(viewer: TestClient) -> None:
    reply = viewer.get("/api/runs/sweep/a/report.html")
    assert reply.headers["content-type"].startswith("text/html")
    policy = reply.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "script" not in policy
    assert viewer.get("/api/runs/b/report.html").status_code == 404


def test_annotators_see_none_of_it(client: Client, tmp_path: Path) -> None:
    fake_runs.make(tmp_path / "runs", "a")
    anna = client("anna")
    for page in ("config", "doctor", "files", "file?path=recipe.toml", "log", "report.html"):
        assert anna.get(f"/api/runs/a/{page}").status_code == 403, page


def test_the_whole_pipeline_and_the_time_that_is_left(tmp_path: Path) -> None:
    """Steps that are left by the looks' seconds; stages to come by what they took in other runs of the recipe."""
    run = fake_runs.make(tmp_path, "b", finished=False)  # 12 of 20 steps; the look at step 10 came after 1 second
    stages = json.loads((run / "pipeline.json").read_text())
    recipe = config.read("tiny", ["policy.steps=20"]).table()
    looks = [{"step": 0, "seconds": 0.1}, {"step": 10, "seconds": 1.0}]
    rows = pipeline.whole(recipe, stages, run, {"evaluation": 4.0}, looks, 12)
    assert [row["state"] for row in rows] == [*["done"] * 4, "running", "waiting", "waiting"]
    assert rows[4]["left"] == pytest.approx(0.8)
    total = pipeline.left(rows)
    assert total is not None
    assert (round(total["seconds"], 6), total["unknown"]) == (4.8, ["report"])
    stages[-1] |= {"name": "sft"}
    os.utime(run / "pipeline.json", (0, time.time() - 3))
    assert pipeline.whole(recipe, stages[-1:], run, {"sft": 5.0})[0]["left"] == pytest.approx(2, abs=0.5)
    assert pipeline.left(pipeline.whole(recipe, [{"name": "report", "state": "done"}], run, {})) is None
    # what others of this recipe took
    fake_runs.make(tmp_path, "a")
    fake_runs.make(tmp_path, "other", recipe="nano")
    assert Library(tmp_path).usual(run)["evaluation"] == 2.0
    assert "evaluation" not in Library(tmp_path).usual(tmp_path / "other")


@pytest.mark.parametrize(
    ("changes", "middle"),
    [
        (["reward.model=x/y"], ["reward_model"]),
        ([], ["comparisons", "reward_model"]),
        (["policy.kind=dpo"], ["comparisons", "reward_model"]),
    ],
)
def test_the_stages_of_a_recipe(changes: list[str], middle: list[str]) -> None:
    assert pipeline.expected(config.read("tiny", changes).table()) == [
        "prepare",
        "sft",
        *middle,
        "policy",
        "evaluation",
        "report",
    ]


def test_the_table_s_figures_are_the_final_evaluation_s_or_say_that_they_are_a_look_s(tmp_path: Path) -> None:
    fake_runs.make(tmp_path, "a")
    fake_runs.make(tmp_path, "b", finished=False)
    table = {row["name"]: row for row in Library(tmp_path).table()}
    assert (table["a"]["final"], table["a"]["truth"], table["a"]["kl"], table["a"]["step"]) == (True, 1.0, 8.0, 20)
    assert (table["b"]["final"], table["b"]["evaluated"], table["b"]["truth"]) == (False, 10, 2.0)
    assert (table["b"]["step"], table["b"]["steps"]) == (12, 20)  # rows of the log, not the last look
