"""The doctor's rules, one for each row of its table, from the lowest rung to the highest.

Each looks at figures first; a setting of the recipe names the cause, and is enough only where it is the broken thing itself.
"""

from __future__ import annotations

from typing import Any

from trueward.instruments.doctor import Finding, Left, Rule, UnseenError, change, ends, known, rounded
from trueward.instruments.thresholds import SE, line


def sft(left: Left) -> Finding | None:
    """Nothing was learned from the demonstrations, and answers don't end."""
    start = left.policies.get("sft") or (left.history[0] if left.history else {})
    (ended,) = known(start, "eos_rate")
    before, after = left.sft.get("held_out_nll_before"), left.sft.get("held_out_nll_after")
    if before is None or after is None:
        raise UnseenError("no demonstrations to measure the SFT policy on")
    if ended >= line("ended") or before - after >= line("learned"):
        return None
    ready = left.setting("sft.model")
    advice = {"sft.model": ""} if ready else {"sft.epochs": 2.0, "sft.learning_rate": 1e-3}
    return Finding(
        "sft",
        "The policy that everything starts from was never fine-tuned: its answers run on until they are cut.",
        rounded(
            ended=ended,
            held_out_nll_before=before,
            held_out_nll_after=after,
            echo_rate=start.get("echo_rate"),
            reward_model_accuracy=left.reward_model.get("accuracy"),
            sft_model=ready or None,
        ),
        f"fewer than {line('ended'):.0%} of the SFT policy's answers end by themselves, and its loss on held-out "
        f"demonstrations is not {line('learned')} nats below the base model's",
        advice,
    )


def labels(left: Left) -> Finding | None:
    """Annotators who hardly agree with each other: nothing to learn from."""
    (agreement,), (low,) = known(left.comparisons, "agreement"), known(left.reward_model, "accuracy_low")
    accuracy = left.reward_model.get("accuracy")
    if not _coins(left) or low > 0.5:
        return None
    people = left.setting("comparisons.source") == "file"
    return Finding(
        "labels",
        "Two annotators agree hardly more often than two coins: the labels are noise.",
        rounded(agreement=agreement, accuracy=accuracy, accuracy_low=low, truth_gain=_gain(left)),
        f"agreement is below {line('agreement'):.0%}, and the accuracy's interval on held-out comparisons reaches 50 %",
        {"comparisons.path": "clearer instructions, or several annotators for each pair"} if people
        else {"comparisons.agreement": 0.73},
    )  # fmt: skip


def comparisons(left: Left) -> Finding | None:
    """A reward model that can't tell good from bad, and a policy that gained nothing by it."""
    reward = left.reward_model
    fitted, low, high = known(reward, "comparisons", "accuracy_low", "accuracy_high")
    accuracy = reward.get("accuracy")
    measured = accuracy is not None and low > 0.5
    weak = accuracy is None or accuracy < line("accuracy") or high - low > line("gain")
    gained = _gained(left, "truth")
    if measured or not weak or gained or _coins(left) or _misread(left):
        return None
    curve = reward.get("learning_curve") or []
    return Finding(
        "comparisons",
        f"The reward model was fitted to {fitted:,.0f} comparisons, too few to tell a good answer from a bad one.",
        rounded(
            comparisons=int(fitted),
            accuracy=accuracy,
            accuracy_low=low,
            accuracy_high=high,
            agreement=_agreement(left),
            half_accuracy=curve[-2].get("accuracy") if len(curve) > 1 else None,
            truth_gain=_gain(left),
        ),
        f"accuracy on held-out comparisons is below {line('accuracy'):.0%} or not known to {line('gain'):.0%}, its "
        "interval reaches 50 %, and no policy is known to have gained truth by it",
        {"comparisons.count": max(2000, int(4 * fitted))},
    )


def overfitting(left: Left) -> Finding | None:
    """Comparisons known by heart: margins far larger than what is known."""
    nll, fitted = known({**left.reward_model, "train_nll": _rescored(left, "nll")}, "nll", "train_nll")
    slope, slope_high = left.reward_model.get("slope"), left.reward_model.get("slope_high")
    too_sure = nll > 0.6931 if slope is None or slope_high is None else slope < line("slope") and slope_high < 1
    if nll - fitted <= line("nll_gap") or not too_sure:
        return None
    epochs = float(left.setting("reward.epochs") or 1.0)
    return Finding(
        "overfitting",
        "The reward model knows its comparisons by heart and is far too sure of itself on others.",
        rounded(nll=nll, train_nll=fitted, slope=slope, slope_high=slope_high, epochs=epochs,
                comparisons=left.reward_model.get("comparisons")),
        f"held-out loss is more than {line('nll_gap')} nats above that on fitted comparisons, and labels follow margins "
        f"with a slope below {line('slope')} (without a slope: held-out loss above that of a coin)",
        {"reward.epochs": 1.0} if epochs > 1 else {"reward.learning_rate": left.setting("reward.learning_rate") / 4},
    )  # fmt: skip


def tokens(left: Left) -> Finding | None:
    """The reward model scores the comparisons that it was fitted to worse than it did while it was fitted."""
    if not left.reward_steps:
        raise UnseenError("the reward model was not fitted in this run")
    then = _last_quarter(left, "loss")
    now = _rescored(left, "nll")
    if now is None:
        raise UnseenError("no comparisons were scored again")
    if not _misread(left):
        return None
    return Finding(
        "tokens",
        "The reward model reads other tokens when it scores than it did when it was fitted.",
        rounded(
            loss_in_training=then,
            loss_scored_again=now,
            accuracy_in_training=_last_quarter(left, "accuracy"),
            accuracy_scored_again=_rescored(left, "accuracy"),
        ),
        f"the loss on fitted comparisons, scored as PPO scores, is more than {line('rescored')} nats above that of the "
        "last quarter of training",
        {"reward.model": "none: fit it again with the code that scores; the end of the sequence is what is often lost"},
    )


def normalisation(left: Left) -> Finding | None:
    """The proxy is not in SDs under the SFT policy, so β has no meaning that carries over."""
    if left.setting("policy.kind") == "dpo" and not left.setting("policy.dpo.online"):
        raise UnseenError("dpo optimises no proxy")
    reward = left.reward_model
    off = left.setting("reward.normalize") is False
    if not off and reward.get("raw_sd") is not None:
        used, sd = known(reward, "sd", "raw_sd")
        off = max(used / sd, sd / used) > line("unit")
    elif not off:  # a run from before the raw figures were kept
        proxy, error = known(ends(left)[0], "proxy", "proxy_se")
        off = abs(proxy) > line("centre") and abs(proxy) > SE * error
    if not off:
        return None
    kl_coef, measured = float(left.setting("policy.kl_coef")), reward.get("raw_sd")
    return Finding(
        "normalisation",
        "The proxy is as the network gives it, so β means something else in every run.",
        rounded(sd_under_sft=measured, mean_under_sft=reward.get("raw_mean"), kl_coef=kl_coef,
                kl_coef_in_sds=kl_coef / measured if measured else None),
        "scores are not divided by their SD under the SFT policy (reward.normalize is false), or by one that is off by "
        f"more than a factor of {line('unit')}",
        {"reward.normalize": True},
    )  # fmt: skip


def anchor(left: Left) -> Finding | None:
    """Nothing holds the policy near SFT, and it has left."""
    before, after = ends(left)
    (end,) = known(after, "kl")
    beta = float(left.setting("policy.kl_coef"))
    farthest = max([end, *(float(row["kl"]) for row in left.history if row.get("kl") is not None)])
    loose = beta < line("no_anchor") and left.setting("policy.target_kl") is None
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
        f"KL above {line('far'):g} nats (at any look if β is below {line('no_anchor')}); or with such a β, answers less "
        f"than {line('alike'):g} as varied as SFT's, or truth below SFT's",
        {"policy.kl_coef": 0.1 if beta < 0.03 else round(3 * beta, 3)},
    )  # fmt: skip


def slack(left: Left) -> Finding | None:
    """β so high that the policy may not move."""
    before, after = ends(left)
    beta, (end,) = float(left.setting("policy.kl_coef")), known(after, "kl")
    gain = change("proxy", before, after)
    if gain is None:
        raise UnseenError("no proxy was measured")
    if left.setting("policy.kind") in ("best_of_n", "sft_on_best"):
        raise UnseenError("this kind of policy has no β")
    if beta < line("tight") or end > line("floor") or _gained(left, "proxy"):
        return None
    return Finding(
        "slack",
        "β is so high that the policy stays where SFT put it: nothing is learned from the reward.",
        rounded(kl_coef=beta, kl=end, proxy_gain=gain[0], proxy_gain_se=gain[1], best_possible_gain=1 / beta,
                truth_gain=_gain(left)),
        f"β is {line('tight'):g} or more, KL is below {line('floor')} nats, and the proxy gained less than "
        f"{line('gain')} SD or {SE:g} standard errors",
        {"policy.kl_coef": 0.1},
    )  # fmt: skip


def eos_penalty(left: Left) -> Finding | None:
    """More and more answers are cut, since nothing is lost by it."""
    before, after = ends(left)
    (then,), (now,) = known(before, "eos_rate"), known(after, "eos_rate")
    if then - now <= line("cut"):
        return None
    penalty = float(left.setting("policy.missing_eos_penalty"))
    return Finding(
        "eos-penalty",
        "The policy forgets to stop: more and more answers are cut off.",
        rounded(cut_share=1 - now, cut_share_sft=1 - then, missing_eos_penalty=penalty, length=after.get("length"),
                length_sft=before.get("length"), truth_gain=_gain(left)),
        f"the share of answers that are cut grew by more than {line('cut'):.0%}",
        {"policy.missing_eos_penalty": max(1.0, 2 * penalty)},
    )  # fmt: skip


def stale(left: Left) -> Finding | None:
    """The policy has gone where the reward model has never been, and is paid there for what isn't good."""
    before, after = ends(left)
    (there,), (here,) = known(before, "outlier_share"), known(after, "outlier_share")
    truth, proxy = change("truth", before, after), change("proxy", before, after)
    if truth is None or proxy is None:
        raise UnseenError("no truth was measured")
    looks = [row for row in left.history if row.get("truth") is not None]
    best = max(looks, key=lambda row: row["truth"], default=after)
    down = change("truth", best, after) or truth
    fallen = any(d < -line("fallen") and d < -SE * error for d, error in (down, truth))
    if here - there <= line("outliers") or not fallen or proxy[0] < line("gain"):
        return None
    beta = float(left.setting("policy.kl_coef"))
    advice = {"policy.kl_coef": round(3 * beta, 3) or 0.1, "comparisons.count": "more, about the policy's new answers"}
    if best.get("step"):
        advice["policy.steps"] = best["step"]
    return Finding(
        "stale",
        "The reward model was fitted to other answers than the policy gives by now, and pays for what isn't good.",
        rounded(outlier_share=here, outlier_share_sft=there, proxy_gain=proxy[0], truth_gain=truth[0],
                truth_at_its_best=best.get("truth"), best_step=best.get("step"), kl=after.get("kl"),
                correlation=after.get("proxy_truth_correlation"), correlation_sft=before.get("proxy_truth_correlation")),
        f"the share of outliers grew by more than {line('outliers'):.0%}, the proxy rose, and the truth fell by more than "
        f"{line('fallen')} SD from its peak or from SFT's",
        advice,
    )  # fmt: skip


def value(left: Left) -> Finding | None:
    """The value network foretells returns worse than their mean would, to the end."""
    seen = [row["val/explained_variance"] for row in left.policy_steps if row.get("val/explained_variance") is not None]
    if len(seen) < 6:
        raise UnseenError("no value network, or fewer than 6 steps of it")
    later = sorted(seen[len(seen) // 2 :])
    middle = later[len(later) // 2]
    if middle >= line("variance"):
        return None
    steps = [row.get("objective/kl", 0.0) for row in left.policy_steps]
    zero = left.setting("policy.critic.start") == "zero"
    rate = left.setting("policy.value_learning_rate")
    advice = {"policy.critic.start": "reward_model"} if zero else {"policy.critic.warmup_steps": 5}
    return Finding(
        "value",
        "The value network knows nothing: its forecasts are worse than the mean, so advantages are noise.",
        rounded(explained_variance=middle, negative_steps=sum(v < 0 for v in seen), steps=len(seen),
                early_kl_peak=max(steps[: max(1, len(steps) // 3)]), start=left.setting("policy.critic.start"),
                value_learning_rate=rate),
        f"the median of the explained variance over the later half of the steps is below {line('variance')}",
        {**advice, "policy.value_learning_rate": max(1e-3, 2 * rate)},
    )  # fmt: skip


def length(left: Left) -> Finding | None:
    """The gain is one of length: between answers of the same length it is gone."""
    before, after = ends(left)
    gain = change("proxy", before, after)
    left_over, error, then, now = (*known(after, "proxy_at_length", "proxy_at_length_se"), *known(before, "length"),
                                   *known(after, "length"))  # fmt: skip
    if gain is None:
        raise UnseenError("no proxy was measured")
    truth = _gain(left)
    earned = truth is not None and truth > line("earned") * gain[0]
    gone = left_over + error < line("at_length") * gain[0]
    if not _gained(left, "proxy") or earned or not gone or abs(now / then - 1) < line("longer"):
        return None
    return Finding(
        "length",
        f"The reward was earned by writing {'more' if now > then else 'less'}: between answers of the same length hardly "
        "anything of the gain is left.",
        rounded(proxy_gain=gain[0], proxy_gain_at_length=left_over, proxy_gain_at_length_se=error, length=now,
                length_sft=then, truth_gain=truth, truth_gain_at_length=after.get("truth_at_length"),
                length_only_accuracy=left.reward_model.get("length_accuracy"),
                reward_model_accuracy=left.reward_model.get("accuracy"), length_bias=left.setting("comparisons.length_bias")),
        f"the proxy gained, less than {line('at_length'):.0%} of that is left after matching lengths, which changed by more "
        f"than {line('longer'):.0%}, and the truth gained less than {line('earned'):g} of it",
        _against_length(left),
    )  # fmt: skip


def _against_length(left: Left) -> dict[str, Any]:
    """What to change where length was paid: the program, the principle, the annotators, or what they are given to compare."""
    if "judge" in (left.setting("reward.kind"), left.setting("comparisons.source")):
        return {"judge.principles": "one that says that a longer answer is not a better one, and a shorter one neither"}
    if left.setting("reward.kind") not in (None, "reward_model"):
        return {
            "reward.kind": "mix, with the scorer `length` among its parts; or a program that does not pay for length"
        }
    if left.setting("comparisons.length_bias"):
        return {"comparisons.length_bias": 0.0}
    if left.setting("comparisons.source") == "demonstrations":
        return {"data.demonstrations": "some of about the length of SFT's answers: length tells them apart from those"}
    return {"comparisons.path": "pairs of about the same length, or annotators told to ignore it"}


RULES: dict[str, Rule] = {
    "sft": sft,
    "labels": labels,
    "comparisons": comparisons,
    "overfitting": overfitting,
    "tokens": tokens,
    "normalisation": normalisation,
    "anchor": anchor,
    "slack": slack,
    "eos-penalty": eos_penalty,
    "stale": stale,
    "value": value,
    "length": length,
}


def _last_quarter(left: Left, figure: str) -> float:
    steps = left.reward_steps[-max(1, len(left.reward_steps) // 4) :]
    return sum(known(step, figure)[0] for step in steps) / len(steps)


def _misread(left: Left) -> bool:
    now = _rescored(left, "nll")
    return bool(left.reward_steps) and now is not None and now - _last_quarter(left, "loss") > line("rescored")


def _coins(left: Left) -> bool:
    agreement = _agreement(left)
    return agreement is not None and agreement < line("agreement")


def _agreement(left: Left) -> float | None:
    found: float | None = left.comparisons.get("agreement")
    return found


def _rescored(left: Left, figure: str) -> float | None:
    """On fitted comparisons; runs from before the reward model's report kept them under `train`."""
    older = left.reward_model.get("train") or {}
    found: float | None = left.reward_model.get(f"train_{figure}", older.get(figure))
    return found


def _gained(left: Left, key: str) -> bool:
    """Whether the policy is surely above SFT; not, if nothing of the kind was measured."""
    try:
        found = change(key, *ends(left))
    except UnseenError:
        return False
    return found is not None and found[0] > line("gain") and found[0] > SE * found[1]


def _gain(left: Left) -> float | None:
    try:
        found = change("truth", *ends(left))
    except UnseenError:
        return None
    return found and found[0]
