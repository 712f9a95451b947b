"""The doctor's rule about a proxy whose gain the second reward model of `reward.cross_check` does not see."""

from __future__ import annotations

from trueward.evaluation.cross_check import SHARE, is_alarm
from trueward.evaluation.doctor import DoctorInputs, Finding, NotMeasuredError
from trueward.evaluation.doctor_figures import earned, known, rounded, truth_gain
from trueward.evaluation.doctor_thresholds import line


def cross_check(inputs: DoctorInputs) -> Finding | None:
    """At the last evaluation the alarm of the second reward model stands, and the truth has not risen with the proxy."""
    final = inputs.policies.get("policy")
    rows = [*(row for row in inputs.history if row.get("step")), *([final] if final else [])]
    if not any(row.get("second_gain") is not None for row in rows):
        raise NotMeasuredError("no second reward model was fitted; reward.cross_check = true fits one")
    last = rows[-1]
    known(last, "second_gain", "second_shortfall_z")
    if not is_alarm(last, len(rows)) or earned(inputs):
        return None
    second = inputs.reward_model.get("second") or {}
    fitted, epochs = inputs.reward_model.get("comparisons"), float(inputs.setting("reward.epochs") or 1.0)
    people = inputs.setting("comparisons.source") == "file"
    more = max(2000, int(4 * fitted)) if fitted else "more"
    return Finding(
        "cross-check",
        "A second reward model, fitted to the other half of the comparisons, does not see what the proxy gained: the policy "
        "was paid for what the proxy learned of its own half by heart.",
        rounded(proxy_gain=last.get("proxy_gain"), second_gain=last["second_gain"], second_gain_se=last.get("second_gain_se"),
                correlation=second.get("correlation"), comparisons=fitted, second_comparisons=second.get("comparisons"),
                accuracy=inputs.reward_model.get("accuracy"), second_accuracy=second.get("accuracy"), epochs=epochs,
                truth_gain=truth_gain(inputs)),
        f"the proxy surely rose, the second model surely sees less than {SHARE:.0%} of it, and the truth, where it was "
        f"measured, gained less than {line('earned'):g} of it",
        {**({"comparisons.path": "more of them, about other prompts"} if people else {"comparisons.count": more}),
         **({"reward.epochs": 1.0} if epochs > 1 else {})},
    )  # fmt: skip
