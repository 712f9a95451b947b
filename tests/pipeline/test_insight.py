"""A finished run's figures beyond averages, against other ways to compute them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from trueward.artifacts import read_json
from trueward.pipeline import reward_eval
from trueward.training.journal import read_log


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in path.read_text().splitlines()]


def test_outliers_are_counted_answer_by_answer(baseline: Path) -> None:
    policies = read_json(baseline / "report.json")["policies"]
    for name in ("base", "sft", "policy"):
        found = [row["outlier"] for row in rows(baseline / f"evaluation/{name}.jsonl")]
        assert sum(found) / len(found) == pytest.approx(policies[name]["outlier_share"])
    # At home 1 % are out, so that 4 of 16 have a chance of 2e-5. Who is far from home is in test_doctor.py.
    assert policies["sft"]["outlier_share"] < 3.5 / 16


def test_nothing_has_moved_at_step_zero(baseline: Path) -> None:
    first, *_ = rows(baseline / "policy/evaluations.jsonl")
    assert first["feature_shift"] == []
    assert first["sft_nll"] == pytest.approx(first["entropy"], rel=0.3)
    assert isinstance(read_json(baseline / "report.json")["feature_shift"], list)


def test_the_reward_models_report_comes_with_it(baseline: Path) -> None:
    alone = read_json(baseline / "reward_model/report.json")["reward_model"]
    whole = read_json(baseline / "report.json")["reward_model"]
    assert alone == whole
    assert (baseline / "reward_model/report.html").is_file()
    *_, half, last = alone["learning_curve"]
    assert last == {k: alone[k] for k in ("comparisons", "accuracy", "accuracy_low", "accuracy_high", "nll")}
    assert half["comparisons"] == pytest.approx(last["comparisons"] / 2, abs=2)
    assert 0 < alone["nll_floor"] < math.log(2)
    assert "comparisons" in alone["warning"]
    assert sum(b["comparisons"] for b in alone["reliability"]) == alone["held_out"]


def test_a_learning_curve_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, climb: Any, baseline: Path
) -> None:
    fitted: list[int] = []
    evaluate = reward_eval.evaluate_reward_model

    def stopped(model: Any, comparisons: Any) -> dict[str, Any]:
        fitted.append(len(comparisons))
        if len(fitted) == 2:  # an eighth is done; here it stops, at a quarter
            raise KeyboardInterrupt
        return evaluate(model, comparisons)

    monkeypatch.setattr(reward_eval, "evaluate_reward_model", stopped)
    with pytest.raises(KeyboardInterrupt):
        climb(tmp_path, "run", until="reward_model")
    log = tmp_path / "run/reward_model/checkpoints/learning_curve/learning_curve.jsonl"
    assert len(read_log(log)) == 1
    with log.open("ab") as file:
        file.write(b'{"comparisons": 99, "acc')  # half a row, as a power cut leaves it
    monkeypatch.setattr(reward_eval, "evaluate_reward_model", evaluate)
    climb(tmp_path, "run", until="reward_model")
    again = read_json(tmp_path / "run/reward_model/report.json")
    assert again == read_json(baseline / "reward_model/report.json")
