"""Runs beside each other: any figure against step, time or distance, seeds as one, axes that are shared or refused, notes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_runs
import pytest
from starlette.testclient import TestClient

from trueward.evaluation.statistics import student_quantile
from trueward.studio.runs import curves

Client = Callable[..., TestClient]
TRUTH, PROXY, ROLLOUTS = "evaluations/truth", "evaluations/proxy", "policy/objective/scores"


@pytest.fixture
def url() -> str:
    """Which database doesn't matter here."""
    return ""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two seeds of one β, one of another, and one with another truth."""
    home = tmp_path / "runs"
    fake_runs.make(home, "s0", truth=1.0)
    fake_runs.make(home, "s1", "seed=1", truth=2.0)
    fake_runs.make(home, "b", "policy.kl_coef=0.7", truth=3.0)
    fake_runs.make(home, "t", 'evaluation.truths=["a"]', truth=4.0)
    return home


@pytest.fixture
def drawn(client: Client, home: Path) -> Callable[..., Any]:
    person = client("eve", "viewer")

    def ask(*names: str, metric: str = TRUTH, status: int = 200, **more: Any) -> Any:
        reply = person.get("/api/comparison/curves", params={"run": list(names), "metric": metric, **more})
        assert reply.status_code == status, reply.text
        return reply.json()

    return ask


def test_seeds_are_one_line_with_student_s_interval(drawn: Callable[..., Any]) -> None:
    (panel,) = drawn("s0", "b", "s1", x="step", seeds=True)["panels"]
    both, one = panel["lines"]
    assert (both["runs"], both["seeds"], one["runs"]) == (["s0", "s1"], [0, 1], ["b"])
    assert both["step"] == both["x"] == [0, 10, 20]
    assert both["y"] == [0.0, 3.0, 1.75]  # of 2 and 4, of 1.25 and 2.25
    half = student_quantile(0.975, 1) * 2**0.5 / 2**0.5  # SD of 2 and 4 is √2, over √2 runs
    assert (both["low"][1], both["high"][1]) == pytest.approx((3 - half, 3 + half))
    assert one["low"][1] == pytest.approx(6 - 1.96 * 0.1)  # of one seed, over the prompts
    assert one["low"][0] is None
    singles = drawn("s0", "b", "s1", x="step")["panels"][0]["lines"]
    assert [line["runs"] for line in singles] == [["s0"], ["b"], ["s1"]]


def test_a_seed_that_is_there_twice_counts_once(drawn: Callable[..., Any], home: Path) -> None:
    shutil.copytree(home / "s0", home / "again")
    torn = shutil.copytree(home / "s1", home / "torn")
    (torn / "report.json").write_text("{")
    (panel,) = drawn("s0", "s1", "again", "torn", seeds=True)["panels"]
    assert [line["runs"] for line in panel["lines"]] == [["s0", "s1"], ["again"], ["torn"]]


@pytest.mark.parametrize(
    ("metric", "x", "expected"),
    [(TRUTH, "kl", [0, 4, 9]), (TRUTH, "root_kl", [0, 2, 3]), (TRUTH, "seconds", [0, 1, 2]), (ROLLOUTS, "kl", [0.5, 1, 1.5]),
     (ROLLOUTS, "seconds", [0.1, 0.2, 0.3]), (ROLLOUTS, "step", [1, 2, 3]), ("sft/nll", "step", [1, 2, 3])],
)  # fmt: skip
def test_any_figure_against_step_distance_and_time(
    drawn: Callable[..., Any], metric: str, x: str, expected: list[float]
) -> None:
    """Seconds of a training log lie in straight lines between those of the looks: 0, 1 and 2 at steps 0, 10 and 20."""
    (panel,) = drawn("s0", metric=metric, x=x)["panels"]
    assert panel["lines"][0]["x"][:3] == pytest.approx(expected)


def test_what_can_t_be_drawn_says_why(drawn: Callable[..., Any], home: Path) -> None:
    assert "sft/nll is logged by step alone" in drawn("s0", metric="sft/nll", x="kl", status=422)["detail"]
    assert "expected evaluations/" in drawn("s0", metric="secrets/x", status=422)["detail"]
    drawn("nowhere", status=404)
    (panel,) = drawn("s0", "b", metric="evaluations/never logged")["panels"]
    assert [line["without"] for line in panel["lines"]] == [["s0"], ["b"]]
    (home / "b/recipe.toml").write_text("[[[")
    found = drawn("s0", "b")
    assert [panel["names"] for panel in found["panels"]] == [["s0"]]
    assert found["problems"] == ["b: recipe.toml: not TOML"]


def test_other_truths_get_an_axis_of_their_own(drawn: Callable[..., Any], home: Path) -> None:
    fake_runs.make(home, "r", "comparisons.count=99")  # another reward model
    fake_runs.make(home, "f", "sft.epochs=0.2")  # another SFT policy: no distance is the same
    first, other = drawn("s0", "t", "b", x="step")["panels"]
    assert (first["names"], first["why"], other["names"]) == (["s0", "b"], "", ["t"])
    assert other["why"].startswith("s0 and t: their truths differ (")
    assert len(drawn("s0", "t", "b", metric=PROXY, x="step")["panels"]) == 1  # their proxy is the same
    assert len(drawn("s0", "r", x="step")["panels"]) == 1
    apart = drawn("s0", "r", metric=ROLLOUTS, x="step")["panels"]
    assert "their reward models differ (comparisons.count is" in apart[1]["why"]
    for metric, x in ((TRUTH, "step"), (PROXY, "step"), ("evaluations/kl", "step"), ("evaluations/length", "kl")):
        apart = drawn("s0", "f", metric=metric, x=x)["panels"]
        assert "their SFT policies differ (sft.epochs is" in apart[1]["why"], metric
    assert len(drawn("s0", "f", metric="evaluations/length", x="step")["panels"]) == 1
    assert len(drawn("s0", "f", metric="policy/objective/kl_coef", x="step")["panels"]) == 1


def test_the_overview(client: Client, home: Path) -> None:
    found = client("eve", "viewer").get("/api/comparison", params={"run": ["s0", "s1", "b"]}).json()
    assert [run["label"] for run in found["runs"]] == ["ppo β=0.1", "ppo β=0.1", "ppo β=0.7"]
    assert found["runs"][0]["group"] == found["runs"][1]["group"] != found["runs"][2]["group"]
    assert found["differences"] == [
        {"key": "policy.kl_coef", "values": [0.1, 0.1, 0.7]}, {"key": "seed", "values": [0, 1, 0]},
    ]  # fmt: skip
    assert {TRUTH, ROLLOUTS, "sft/nll"} <= set(found["metrics"])
    assert not any(key.endswith(("_se", "/step", "_low")) for key in found["metrics"])


def test_long_curves_are_buckets_that_keep_their_extremes(drawn: Callable[..., Any], home: Path) -> None:
    rows = [
        {"step": i, "objective/scores": 50.0 if i == 3333 else 0.0, "objective/kl": i / 100} for i in range(1, 5001)
    ]
    for name in ("s0", "s1"):
        fake_runs.lines(home / name / "policy/metrics.jsonl", rows)
    for seeds in (False, True):
        line = drawn("s0", "s1", metric=ROLLOUTS, x="kl", seeds=seeds)["panels"][0]["lines"][0]
        assert len(line["y"]) == len(line["x"]) == len(line["low"]) <= curves.MOST
        assert max(line["y"]) == 50.0
        assert line["x"] == sorted(line["x"])


def test_notes_are_kept_changed_and_taken_away(client: Client, home: Path) -> None:
    admin, viewer = client("boss", "admin"), client("eve", "viewer")

    def note(text: str, who: TestClient = admin) -> Any:
        return who.post("/api/runs/s0/note", json={"text": text})

    assert note("  the best\nso far ").json()["note"]["text"] == "the best\nso far"
    assert note("odd \u202e text").status_code == 200
    told = viewer.get("/api/runs/s0").json()["note"]
    assert (told["text"], told["by"]) == ("odd \u202e text", "boss")
    assert {row["name"]: bool(row["note"]) for row in viewer.get("/api/runs").json()}["s0"]
    assert note("x", viewer).status_code == 403
    assert note("x" * 4001).status_code == 422
    assert admin.post("/api/runs/nowhere/note", json={"text": "x"}).status_code == 404
    assert note(" ").json() == {"note": None}
    assert viewer.get("/api/runs/s0").json()["note"] is None
    assert json.loads((home / "s0/pipeline.json").read_text())[0]["name"] == "prepare"  # a run's files stay as they are
