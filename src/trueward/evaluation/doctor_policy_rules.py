"""The doctor's rules about the optimised policy: its anchor, its answers, its value network, and what its reward favoured.

Each compares figures first; a setting of the recipe names the cause, and is enough only where it is the fault itself.
"""

from __future__ import annotations

from typing import Any

from trueward.evaluation.doctor import DoctorInputs, Finding, NotMeasuredError
from trueward.evaluation.doctor_advice import SWEEP, against_length
from trueward.evaluation.doctor_figures import change, ends, gained, known, rounded, truth_gain, within_noise
from trueward.evaluation.doctor_thresholds import SE, line


def anchor(inputs: DoctorInputs) -> Finding | None:
    """No anchor keeps the policy near SFT, and it has moved far from it."""
    before, after = ends(inputs)
    (end,) = known(after, "kl")
    beta = float(inputs.setting("policy.kl_coef"))
    farthest = max([end, *(float(row["kl"]) for row in inputs.history if row.get("kl") is not None)])
    loose = beta < line("no_anchor") and inputs.setting("policy.target_kl") is None
    few = {key: after[key] / before[key] for key in ("unique", "distinct_1") if before.get(key) and after.get(key)}
    truth = change("truth", before, after)
    below = truth is not None and truth[0] < -line("gain") and truth[0] < -SE * truth[1]
    collapsed = end > line("floor") and few and min(few.values()) < line("alike")
    far = farthest > line("far") if loose else end > line("far")
    if not (far or (loose and (collapsed or below))):
        return None
    return Finding(
        "anchor",
        "Nothing holds the policy near SFT: it goes wherever the proxy is high, whether that is good or not.",
        rounded(kl_coef=beta, kl=end, farthest_kl=farthest, unique=after.get("unique"), unique_sft=before.get("unique"),
                distinct_1=after.get("distinct_1"), distinct_1_sft=before.get("distinct_1"),
                truth_gain=truth and truth[0], proxy_gain=(change("proxy", before, after) or (None,))[0]),
        f"KL above {line('far'):g} nats (at any evaluation if β is below {line('no_anchor')}); or with such a β, answers less "
        f"than {line('alike'):g} as varied as SFT's, or truth below SFT's",
        {"policy.kl_coef": SWEEP},
    )  # fmt: skip


def slack(inputs: DoctorInputs) -> Finding | None:
    """β is so high that the policy hardly moves."""
    beta, end, gain = _held(inputs)
    if beta < line("tight") or not within_noise(inputs, end) or gained(inputs, "proxy"):
        return None
    return Finding(
        "slack",
        "β is so high that the policy stays where SFT put it: nothing is learned from the reward.",
        rounded(kl_coef=beta, kl=end, control_kl=inputs.control.get("kl"), proxy_gain=gain[0], proxy_gain_se=gain[1],
                best_possible_gain=1 / beta, truth_gain=truth_gain(inputs)),
        f"β is {line('tight'):g} or more, KL is within that of a run with a random reward (below {line('floor')} nats where "
        f"no control was run), and the proxy gained less than {line('gain')} SD or {SE:g} errors",
        {"policy.kl_coef": SWEEP},
    )  # fmt: skip


def unmoved(inputs: DoctorInputs) -> Finding | None:
    """β leaves room, and the policy has not used it: too few steps, too small ones, or a reward with nothing to follow."""
    beta, end, gain = _held(inputs)
    room = min(line("room"), 1 / (2 * beta**2)) if beta > 0 else line("room")
    held = beta >= line("tight") or gained(inputs, "proxy") or gained(inputs, "truth")
    if held or not (within_noise(inputs, end) or end < 0.1 * room):
        return None
    steps, rate = inputs.setting("policy.steps"), inputs.setting("policy.learning_rate")
    return Finding(
        "unmoved",
        "The policy has not moved: it is no further from SFT than noise takes it, though β leaves it room.",
        rounded(kl_coef=beta, kl=end, control_kl=inputs.control.get("kl"), room_kl=room, proxy_gain=gain[0],
                proxy_gain_se=gain[1], steps=steps, learning_rate=rate, truth_gain=truth_gain(inputs)),
        f"KL is within that of a run with a random reward (below {line('floor')} nats where no control was run), or below a "
        f"tenth of 1/(2β²), at most {line('room'):g} nats; the proxy gained less than {line('gain')} SD or {SE:g} errors",
        {"policy.steps": 3 * steps if steps else "more", "policy.learning_rate": 3 * rate if rate else "higher"},
    )  # fmt: skip


def _held(inputs: DoctorInputs) -> tuple[float, float, tuple[float, float]]:
    """β, the KL at the end, and the proxy's gain with its error. `NotMeasuredError` where a policy has no β or no proxy."""
    before, after = ends(inputs)
    beta, (end,) = float(inputs.setting("policy.kl_coef")), known(after, "kl")
    gain = change("proxy", before, after)
    if gain is None:
        raise NotMeasuredError("no proxy was measured")
    if inputs.setting("policy.kind") in ("best_of_n", "sft_on_best"):
        raise NotMeasuredError("this kind of policy has no β")
    return beta, end, gain


def eos_penalty(inputs: DoctorInputs) -> Finding | None:
    """More and more answers are cut: the penalty for that is too small."""
    before, after = ends(inputs)
    (then,), (now,) = known(before, "eos_rate"), known(after, "eos_rate")
    if then - now <= line("cut"):
        return None
    penalty = float(inputs.setting("policy.missing_eos_penalty"))
    return Finding(
        "eos-penalty",
        "The policy forgets to stop: more and more answers are cut off.",
        rounded(cut_share=1 - now, cut_share_sft=1 - then, missing_eos_penalty=penalty, length=after.get("length"),
                length_sft=before.get("length"), truth_gain=truth_gain(inputs)),
        f"the share of answers that are cut grew by more than {line('cut'):.0%}",
        {"policy.missing_eos_penalty": max(1.0, 2 * penalty)},
    )  # fmt: skip


def stale(inputs: DoctorInputs) -> Finding | None:
    """The policy has moved to answers that the reward model was not fitted on, and is rewarded there for bad ones."""
    before, after = ends(inputs)
    (there,), (here,) = known(before, "outlier_share"), known(after, "outlier_share")
    truth, proxy = change("truth", before, after), change("proxy", before, after)
    if truth is None or proxy is None:
        raise NotMeasuredError("no truth was measured")
    evaluations = [row for row in inputs.history if row.get("truth") is not None]
    best = max(evaluations, key=lambda row: row["truth"], default=after)
    down = change("truth", best, after) or truth
    fallen = any(d < -line("fallen") and d < -SE * error for d, error in (down, truth))
    if here - there <= line("outliers") or not fallen or proxy[0] < line("gain"):
        return None
    advice: dict[str, Any] = {"policy.kl_coef": SWEEP, "comparisons.count": "more, about the policy's new answers"}
    if best.get("step"):
        advice["policy.steps"] = best["step"]
    return Finding(
        "stale",
        "The reward model was fitted to other answers than the policy gives by now, and rewards what isn't good.",
        rounded(outlier_share=here, outlier_share_sft=there, proxy_gain=proxy[0], truth_gain=truth[0],
                truth_at_its_best=best.get("truth"), best_step=best.get("step"), kl=after.get("kl"),
                correlation=after.get("proxy_truth_correlation"), correlation_sft=before.get("proxy_truth_correlation")),
        f"the share of outliers grew by more than {line('outliers'):.0%}, the proxy rose, and the truth fell by more than "
        f"{line('fallen')} SD from its peak or from SFT's",
        advice,
    )  # fmt: skip


def value(inputs: DoctorInputs) -> Finding | None:
    """The value network predicts returns worse than their mean does, to the end."""
    variances = [
        row["val/explained_variance"] for row in inputs.policy_steps if row.get("val/explained_variance") is not None
    ]
    if len(variances) < 6:
        raise NotMeasuredError("no value network, or fewer than 6 steps of it")
    later = sorted(variances[len(variances) // 2 :])
    middle = later[len(later) // 2]
    if middle >= line("variance"):
        return None
    steps = [row.get("objective/kl", 0.0) for row in inputs.policy_steps]
    zero = inputs.setting("policy.critic.start") == "zero"
    rate = inputs.setting("policy.value_learning_rate")
    advice = {"policy.critic.start": "reward_model"} if zero else {"policy.critic.warmup_steps": 5}
    return Finding(
        "value",
        "The value network knows nothing: its forecasts are worse than the mean, so advantages are noise.",
        rounded(explained_variance=middle, negative_steps=sum(v < 0 for v in variances), steps=len(variances),
                early_kl_peak=max(steps[: max(1, len(steps) // 3)]), start=inputs.setting("policy.critic.start"),
                value_learning_rate=rate),
        f"the median of the explained variance over the later half of the steps is below {line('variance')}",
        {**advice, "policy.value_learning_rate": max(1e-3, 2 * rate)},
    )  # fmt: skip


def length(inputs: DoctorInputs) -> Finding | None:
    """The gain is one of length: between answers of the same length it is gone."""
    before, after = ends(inputs)
    gain = change("proxy", before, after)
    at_length, error, then, now = (*known(after, "proxy_at_length", "proxy_at_length_se"), *known(before, "length"),
                                   *known(after, "length"))  # fmt: skip
    if gain is None:
        raise NotMeasuredError("no proxy was measured")
    truth = truth_gain(inputs)
    earned = truth is not None and truth > line("earned") * gain[0]
    gone = at_length + error < line("at_length") * gain[0]
    if not gained(inputs, "proxy") or earned or not gone or abs(now / then - 1) < line("longer"):
        return None
    return Finding(
        "length",
        f"The reward was earned by writing {'more' if now > then else 'less'}: between answers of the same length hardly "
        "anything of the gain is left.",
        rounded(proxy_gain=gain[0], proxy_gain_at_length=at_length, proxy_gain_at_length_se=error, length=now,
                length_sft=then, truth_gain=truth, truth_gain_at_length=after.get("truth_at_length"),
                length_only_accuracy=inputs.reward_model.get("length_accuracy"),
                reward_model_accuracy=inputs.reward_model.get("accuracy"),
                length_bias=inputs.setting("comparisons.length_bias")),
        f"the proxy gained, less than {line('at_length'):.0%} of that is left after matching lengths, which changed by more "
        f"than {line('longer'):.0%}, and the truth gained less than {line('earned'):g} of it",
        against_length(inputs),
    )  # fmt: skip
