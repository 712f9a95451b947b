"""The doctor's rules about a reward model that is one property of the answers in disguise: endings, or length."""

from __future__ import annotations

from typing import Any

from trueward.evaluation.doctor import DoctorInputs, Finding
from trueward.evaluation.doctor_advice import against_length
from trueward.evaluation.doctor_figures import earned, known, rounded, truth_gain
from trueward.evaluation.doctor_thresholds import line


def endings(inputs: DoctorInputs) -> Finding | None:
    """The reward model tells answers that end from answers that were cut, and little else."""
    (share,) = known(inputs.reward_model, "explained_by_ending")
    if share <= line("explained") or earned(inputs):
        return None
    return Finding(
        "endings",
        "The reward model has learnt whether an answer ends, and hardly anything beside it: β buys endings.",
        _evidence(inputs, explained_by_ending=share, ended=inputs.policies.get("sft", {}).get("eos_rate"),
                  max_new_tokens=inputs.setting("sampler.max_new_tokens")),
        f"more than {line('explained'):.0%} of the reward's variance over SFT's answers is whether they end, and the truth "
        f"gained less than {line('earned'):g} of what the proxy did",
        {**({} if inputs.setting("comparisons.unfinished") == "redraw" else {"comparisons.unfinished": "redraw"}),
         "sampler.max_new_tokens": "more, so that nearly all of SFT's answers end"},
    )  # fmt: skip


def length_reward(inputs: DoctorInputs) -> Finding | None:
    """The reward model counts words, and little else."""
    (share,) = known(inputs.reward_model, "explained_by_length")
    if share <= line("explained") or earned(inputs):
        return None
    return Finding(
        "length-reward",
        "The reward model counts words, and hardly anything beside them: β buys length.",
        _evidence(inputs, explained_by_length=share,
                  length_only_accuracy=inputs.reward_model.get("length_accuracy"),
                  length_prefers=inputs.reward_model.get("length_prefers"),
                  length_bias=inputs.setting("comparisons.length_bias")),
        f"more than {line('explained'):.0%} of the reward's variance over SFT's answers that end is their length, and the "
        f"truth gained less than {line('earned'):g} of what the proxy did",
        against_length(inputs),
    )  # fmt: skip


def _evidence(inputs: DoctorInputs, **figures: Any) -> dict[str, Any]:
    accuracy = inputs.reward_model.get("accuracy")
    return rounded(**figures, reward_model_accuracy=accuracy, truth_gain=truth_gain(inputs))
