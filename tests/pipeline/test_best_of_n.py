"""Best of n through the ladder: what is kept, what it is set against, and the curve that costs nothing more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trueward.algorithms import best_of_n as algorithm
from trueward.reporting import report_text

N = 6


@pytest.fixture(scope="module")
def chosen(baseline: Path, climb: Any) -> Path:
    climb(baseline.parent, "best of 6", "policy.kind=best_of_n", f"policy.best_of_n.n={N}")
    return baseline.parent / "best of 6"


def report(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "report.json").read_text())
    return found


def answers(run: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in (run / "evaluation/policy.jsonl").read_text().splitlines()]


def test_its_rival_is_that_of_all_others(baseline: Path, chosen: Path) -> None:
    """The SFT policy's answers that it is set against are those that every other policy is set against."""
    ours, others = answers(chosen), answers(baseline)
    assert [a["reference"] for a in ours] == [a["reference"] for a in others]
    row = report(chosen)["policies"]["policy"]
    assert 0 <= row["win_rate"] <= 1
    assert row["truth"] == row["truth_gain"]


def test_the_curve_runs_from_one_answer_to_those_that_were_kept(chosen: Path) -> None:
    found = report(chosen)
    rows, policy = found["best_of_n"], found["policies"]["policy"]
    assert [row["n"] for row in rows] == [1, 2, 4, N]
    assert [row["kl"] for row in rows] == pytest.approx([algorithm.kl(n) for n in (1, 2, 4, N)], abs=1e-5)
    assert rows[-1]["proxy"] == pytest.approx(policy["proxy"], abs=2e-5)
    assert rows[-1]["proxy_se"] == pytest.approx(policy["proxy_se"], abs=2e-5)
    proxies = [row["proxy"] for row in rows]
    assert proxies == sorted(proxies)
    assert all(row["truth_se"] > 0 for row in rows)


def test_the_report_says_that_nothing_was_trained(chosen: Path, baseline: Path) -> None:
    found = report(chosen)
    assert found["optimiser"] == {"kind": "best_of_n", "steps": 0, "n": N, "kl_bound": round(algorithm.kl(N), 4)}
    said = report_text.headline(found)
    assert said.startswith(f"Nothing was trained: the SFT policy answered each prompt {N} times")
    assert "a KL of at most" in said
    other = report(baseline)
    assert other["optimiser"]["kind"] == "ppo"
    assert other["best_of_n"] == []
    assert "Nothing was trained" not in report_text.headline(other)


def test_without_a_truth_the_curve_is_the_proxy_alone(baseline: Path, climb: Any) -> None:
    without = ("policy.kind=best_of_n", "policy.best_of_n.n=2", "evaluation.truths=[]")
    climb(baseline.parent, "best of 2", *without)
    rows = report(baseline.parent / "best of 2")["best_of_n"]
    assert [(row["n"], row["truth"], row["truth_se"]) for row in rows] == [(1, None, None), (2, None, None)]
    assert all(row["proxy_se"] > 0 for row in rows)
