"""The last policy against the best checkpoint, on the answers of the final evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trueward.config import EvaluationConfig
from trueward.pipeline.policy import TrainedPolicy
from trueward.pipeline.run_verdict import final_fall


@pytest.mark.parametrize("mean", np.linspace(0.1, 0.9, 9).round(3))
def test_a_truth_of_right_or_wrong_falls_by_all_that_it_can(mean: float) -> None:
    """Samples hold scores of five digits: right less wrong can be more than the span of exact scores by the last of them."""
    sd = float(np.sqrt(mean * (1 - mean)))
    right, wrong = (round(float((score - mean) / sd), 5) for score in (1.0, 0.0))
    evaluations: list[dict[str, Any]] = [
        {"step": 0, "truth": 0.0},
        {"step": 5, "truth": 1.0, "truth_gain": 1.0, "fall": None},
    ]
    evaluations = [{"prompts": 64, "truth_gain_se": 0.1, "truth_gain_z": 9.0, **row} for row in evaluations]
    load: Any = None  # no network is looked at
    trained = TrainedPolicy(load, None, load, evaluations, [], {"best_step": 5, "steps": 9})
    went, came = [{"truth": right}] * 58 + [{"truth": wrong}] * 6, [{"truth": wrong}] * 58 + [{"truth": right}] * 6
    samples = {"best": went, "policy": came}
    row = final_fall(trained, EvaluationConfig(), 0, {"policy": {"truth": -1.0}}, samples, 1 / sd)
    assert row is not None
    assert row["drop"] == pytest.approx(52 / 64 / sd, abs=1e-4)
    assert row["is_fall"]
