"""What the doctor advises in more than one rule."""

from __future__ import annotations

from typing import Any

from trueward.evaluation.doctor import DoctorInputs

# No single β is right for every run: one that is no fault any more may hack all the same.
SWEEP = "the best of several: trueward sweep RECIPE --over policy.kl_coef=0.03,0.1,0.3,1"


def against_length(inputs: DoctorInputs) -> dict[str, Any]:
    """What to change where length was rewarded: the program, the principle, the annotators, or the pairs."""
    if "judge" in (inputs.setting("reward.kind"), inputs.setting("comparisons.source")):
        return {"judge.principles": "one that says that a longer answer is not a better one, and a shorter one neither"}
    if inputs.setting("reward.kind") not in (None, "reward_model"):
        return {
            "reward.kind": "mix, with the scorer `length` among its parts; or a program that does not reward length"
        }
    if inputs.setting("comparisons.length_bias"):
        return {"comparisons.length_bias": 0.0}
    if inputs.setting("comparisons.source") == "demonstrations":
        return {"data.demonstrations": "some of about the length of SFT's answers: length tells them apart from those"}
    return {"comparisons.path": "pairs of about the same length, or annotators told to ignore it"}
