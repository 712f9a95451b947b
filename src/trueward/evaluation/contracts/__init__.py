"""The files that a run and a sweep leave, as pydantic models: what they hold, field by field. docs/metrics.md has the formulas.

`Report` (report.json, format 2), `RewardReport` (reward_model/report.json), `EvaluationRow` (a row of
policy/evaluations.jsonl), `MetricsRow` (a row of metrics.jsonl), and `SweepRow` or `FailedSweepRow` (a row of `runs` in
sweep.json). Write one with `model_dump(exclude_unset=True)`: a field that may be missing then stays missing.
"""

from trueward.evaluation.contracts.evaluation_row import EvaluationRow, Fall, FeatureShiftRow, PolicyRow
from trueward.evaluation.contracts.metrics_row import MetricsRow
from trueward.evaluation.contracts.report import Report, RewardReport
from trueward.evaluation.contracts.sweep_row import FailedSweepRow, SweepRow

__all__ = [
    "EvaluationRow",
    "FailedSweepRow",
    "Fall",
    "FeatureShiftRow",
    "MetricsRow",
    "PolicyRow",
    "Report",
    "RewardReport",
    "SweepRow",
]
