"""The doctor's rules, by the fault that each detects, in the order of the pipeline's stages."""

from __future__ import annotations

from trueward.evaluation import doctor_cross_check_rule as second
from trueward.evaluation import doctor_explained_rules as explained
from trueward.evaluation import doctor_policy_rules as policy
from trueward.evaluation import doctor_reward_rules as reward
from trueward.evaluation.doctor import Rule

RULES: dict[str, Rule] = {
    "sft": reward.sft,
    "labels": reward.labels,
    "comparisons": reward.comparisons,
    "overfitting": reward.overfitting,
    "tokens": reward.tokens,
    "probe": reward.probe,
    "normalisation": reward.normalisation,
    "endings": explained.endings,
    "length-reward": explained.length_reward,
    "cross-check": second.cross_check,
    "anchor": policy.anchor,
    "slack": policy.slack,
    "unmoved": policy.unmoved,
    "eos-penalty": policy.eos_penalty,
    "stale": policy.stale,
    "value": policy.value,
    "length": policy.length,
}
