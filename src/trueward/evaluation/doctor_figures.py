"""Figures that the doctor's rules compare: the rows of the policy and of SFT, changes between them, and gains."""

from __future__ import annotations

import math
from typing import Any

from trueward.evaluation.doctor import DoctorInputs, NotMeasuredError, Row
from trueward.evaluation.doctor_thresholds import SE, line
from trueward.evaluation.verdict import ONE_SIDED


def known(row: Row, *keys: str) -> list[float]:
    """The figures under these keys. `NotMeasuredError` if one is missing."""
    missing = [key for key in keys if row.get(key) is None]
    if missing:
        raise NotMeasuredError(f"no {', '.join(missing)}")
    return [float(row[key]) for key in keys]


def ends(inputs: DoctorInputs) -> tuple[Row, Row]:
    """SFT's row and the last policy's: of the final evaluation, else the first and last rows of the evaluations in training."""
    if inputs.policies.get("sft") and inputs.policies.get("policy"):
        return inputs.policies["sft"], inputs.policies["policy"]
    if len(inputs.history) < 2:
        raise NotMeasuredError("no trained policy was measured")
    return inputs.history[0], inputs.history[-1]


def change(key: str, before: Row, after: Row) -> tuple[float, float] | None:
    """The rise of a mean between two rows, and its standard error; None if it wasn't measured."""
    if before.get(key) is None or after.get(key) is None:
        return None
    errors = [float(row.get(f"{key}_se") or 0.0) for row in (before, after)]
    return float(after[key] - before[key]), float((errors[0] ** 2 + errors[1] ** 2) ** 0.5)


def rounded(**figures: Any) -> dict[str, Any]:
    """Evidence: floats rounded to four significant digits; None values are left out."""
    return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in figures.items() if v is not None}


def gained(inputs: DoctorInputs, key: str) -> bool:
    """Whether the policy's mean is significantly above SFT's; False if it wasn't measured."""
    try:
        gain = change(key, *ends(inputs))
    except NotMeasuredError:
        return False
    return gain is not None and gain[0] > line("gain") and gain[0] > SE * gain[1]


def within_noise(inputs: DoctorInputs, kl: float) -> bool:
    """Whether the policy is no further from SFT than training alone takes one.

    A control with a random reward measures that (as the verdict *pinned* has it); without one it is `floor`.
    """
    if inputs.control.get("kl") is None:
        return kl <= line("floor")
    errors = (ends(inputs)[1].get("kl_se") or 0.0, inputs.control.get("kl_se") or 0.0)
    return kl <= float(inputs.control["kl"]) + ONE_SIDED * math.hypot(*errors)


def truth_gain(inputs: DoctorInputs) -> float | None:
    """How much the truth rose from SFT to the last policy, SDs; None if it wasn't measured."""
    try:
        gain = change("truth", *ends(inputs))
    except NotMeasuredError:
        return None
    return gain and gain[0]


def earned(inputs: DoctorInputs) -> bool:
    """Whether the truth rose with the proxy: then what the reward model likes makes better answers."""
    if not gained(inputs, "truth"):
        return False
    truth, proxy = (change(key, *ends(inputs)) for key in ("truth", "proxy"))
    return bool(truth and proxy and truth[0] > line("earned") * proxy[0])
