"""The doctor's rules about SFT, the comparisons and the reward model: what goes wrong before any policy is optimised.

Each compares figures first; a setting of the recipe names the cause, and is enough only where it is the fault itself.
"""

from __future__ import annotations

from trueward.evaluation.doctor import DoctorInputs, Finding, NotMeasuredError
from trueward.evaluation.doctor_figures import ends, gained, known, rounded, truth_gain
from trueward.evaluation.doctor_thresholds import SE, line


def sft(inputs: DoctorInputs) -> Finding | None:
    """SFT learned nothing from the demonstrations, and answers don't end."""
    start = inputs.policies.get("sft") or (inputs.history[0] if inputs.history else {})
    (ended,) = known(start, "eos_rate")
    before, after = inputs.sft.get("held_out_nll_before"), inputs.sft.get("held_out_nll_after")
    if before is None or after is None:
        raise NotMeasuredError("no demonstrations to measure the SFT policy on")
    if ended >= line("ended") or before - after >= line("learned"):
        return None
    ready = inputs.setting("sft.model")
    advice = {"sft.model": ""} if ready else {"sft.epochs": 2.0, "sft.learning_rate": 1e-3}
    return Finding(
        "sft",
        "The policy that everything starts from was never fine-tuned: its answers run on until they are cut.",
        rounded(
            ended=ended,
            held_out_nll_before=before,
            held_out_nll_after=after,
            echo_rate=start.get("echo_rate"),
            reward_model_accuracy=inputs.reward_model.get("accuracy"),
            sft_model=ready or None,
        ),
        f"fewer than {line('ended'):.0%} of the SFT policy's answers end by themselves, and its loss on held-out "
        f"demonstrations is not {line('learned')} nats below the base model's",
        advice,
    )


def labels(inputs: DoctorInputs) -> Finding | None:
    """Annotators hardly agree with each other, so there is little to learn."""
    (agreement,), (low,) = known(inputs.comparisons, "agreement"), known(inputs.reward_model, "accuracy_low")
    accuracy = inputs.reward_model.get("accuracy")
    if not _coins(inputs) or low > 0.5:
        return None
    people = inputs.setting("comparisons.source") == "file"
    return Finding(
        "labels",
        "Two annotators agree hardly more often than two coins: the labels are noise.",
        rounded(agreement=agreement, accuracy=accuracy, accuracy_low=low, truth_gain=truth_gain(inputs)),
        f"agreement is below {line('agreement'):.0%}, and the accuracy's interval on held-out comparisons reaches 50 %",
        {"comparisons.path": "clearer instructions, or several annotators for each pair"} if people
        else {"comparisons.agreement": 0.73},
    )  # fmt: skip


def comparisons(inputs: DoctorInputs) -> Finding | None:
    """The reward model can't tell good answers from bad, and the policy gained nothing by it."""
    reward = inputs.reward_model
    fitted, low, high = known(reward, "comparisons", "accuracy_low", "accuracy_high")
    accuracy = reward.get("accuracy")
    measured = accuracy is not None and low > 0.5
    weak = accuracy is None or accuracy < line("accuracy") or high - low > line("gain")
    lucky = gained(inputs, "truth") and fitted >= line("few")
    if measured or not weak or lucky or _coins(inputs) or _misread(inputs) or _probe_is_ahead(inputs):
        return None  # where a straight line learnt something from them, they aren't too few
    curve = reward.get("learning_curve") or []
    return Finding(
        "comparisons",
        f"The reward model was fitted to {fitted:,.0f} comparisons, too few to tell a good answer from a bad one.",
        rounded(
            comparisons=int(fitted),
            accuracy=accuracy,
            accuracy_low=low,
            accuracy_high=high,
            agreement=_agreement(inputs),
            half_accuracy=curve[-2].get("accuracy") if len(curve) > 1 else None,
            truth_gain=truth_gain(inputs),
        ),
        f"accuracy on held-out comparisons is below {line('accuracy'):.0%} or not known to {line('gain'):.0%}, its "
        f"interval reaches 50 %, and no policy gained truth by it, or fewer than {line('few'):.0f} were fitted to",
        {"comparisons.count": max(2000, int(4 * fitted))},
    )


def overfitting(inputs: DoctorInputs) -> Finding | None:
    """The reward model has memorised the comparisons: margins are far larger than its accuracy justifies."""
    nll, fitted = known({**inputs.reward_model, "train_nll": _rescored(inputs, "nll")}, "nll", "train_nll")
    slope, slope_high = inputs.reward_model.get("slope"), inputs.reward_model.get("slope_high")
    too_sure = nll > 0.6931 if slope is None or slope_high is None else slope < line("slope") and slope_high < 1
    if nll - fitted <= line("nll_gap") or not too_sure:
        return None
    epochs = float(inputs.setting("reward.epochs") or 1.0)
    return Finding(
        "overfitting",
        "The reward model knows its comparisons by heart and is far too sure of itself on others.",
        rounded(nll=nll, train_nll=fitted, slope=slope, slope_high=slope_high, epochs=epochs,
                comparisons=inputs.reward_model.get("comparisons")),
        f"held-out loss is more than {line('nll_gap')} nats above that on fitted comparisons, and labels follow margins "
        f"with a slope below {line('slope')} (without a slope: held-out loss above that of a coin)",
        {"reward.epochs": 1.0} if epochs > 1 else {"reward.learning_rate": inputs.setting("reward.learning_rate") / 4},
    )  # fmt: skip


def probe(inputs: DoctorInputs) -> Finding | None:
    """A straight line through the states that the reward model began with does better than it, on the same unseen prompts."""
    reward = inputs.reward_model
    if reward.get("probe_ahead") is None:
        raise NotMeasuredError("no probe was fitted beside the reward model")
    ahead, low, accuracy, probed = known(reward, "probe_ahead", "probe_ahead_low", "accuracy", "probe_accuracy")
    if not _probe_is_ahead(inputs):
        return None
    rate = float(inputs.setting("reward.learning_rate"))
    return Finding(
        "probe",
        "The reward model knows less than it began with: a straight line through its first states does better.",
        rounded(accuracy=accuracy, probe_accuracy=probed, probe_ahead=ahead, probe_ahead_low=low,
                probe_layer=reward.get("probe_layer"), probe_comparisons=reward.get("probe_comparisons"),
                comparisons=reward.get("comparisons")),
        f"a linear probe is ahead of it by more than {line('ahead'):.0%} of the held-out comparisons, surely (95 %)",
        {**({} if inputs.setting("reward.start") == "probe" else {"reward.start": "probe"}),
         "reward.learning_rate": rate * 3, "reward.epochs": 2.0},
    )  # fmt: skip


def tokens(inputs: DoctorInputs) -> Finding | None:
    """The reward model scores the comparisons that it was fitted to worse than it did while it was fitted."""
    if not inputs.reward_steps:
        raise NotMeasuredError("the reward model was not fitted in this run")
    then = _last_quarter(inputs, "loss")
    now = _rescored(inputs, "nll")
    if now is None:
        raise NotMeasuredError("no comparisons were scored again")
    if not _misread(inputs):
        return None
    return Finding(
        "tokens",
        "The reward model reads other tokens when it scores than it did when it was fitted.",
        rounded(
            loss_in_training=then,
            loss_scored_again=now,
            accuracy_in_training=_last_quarter(inputs, "accuracy"),
            accuracy_scored_again=_rescored(inputs, "accuracy"),
        ),
        f"the loss on fitted comparisons, scored as PPO scores, is more than {line('rescored')} nats above that of the "
        "last quarter of training",
        {"reward.model": "none: fit it again with the code that scores; the end of the sequence is what is often lost"},
    )


def normalisation(inputs: DoctorInputs) -> Finding | None:
    """The proxy is not in SDs under the SFT policy, so β doesn't mean what it means in other runs."""
    if inputs.setting("policy.kind") == "dpo" and not inputs.setting("policy.dpo.online"):
        raise NotMeasuredError("dpo optimises no proxy")
    reward = inputs.reward_model
    off = inputs.setting("reward.normalize") is False
    if not off and reward.get("raw_sd") is not None:
        used, sd = known(reward, "sd", "raw_sd")
        off = max(used / sd, sd / used) > line("unit")
    elif not off:  # a run of a version that didn't store the raw figures
        proxy, error = known(ends(inputs)[0], "proxy", "proxy_se")
        off = abs(proxy) > line("centre") and abs(proxy) > SE * error
    if not off:
        return None
    kl_coef, measured = float(inputs.setting("policy.kl_coef")), reward.get("raw_sd")
    return Finding(
        "normalisation",
        "The proxy is as the network gives it, so β means something else in every run.",
        rounded(sd_under_sft=measured, mean_under_sft=reward.get("raw_mean"), kl_coef=kl_coef,
                kl_coef_in_sds=kl_coef / measured if measured else None),
        "scores are not divided by their SD under the SFT policy (reward.normalize is false), or by one that is off by "
        f"more than a factor of {line('unit')}",
        {"reward.normalize": True},
    )  # fmt: skip


def _last_quarter(inputs: DoctorInputs, figure: str) -> float:
    """Mean of a training figure over the last quarter of the reward model's steps."""
    steps = inputs.reward_steps[-max(1, len(inputs.reward_steps) // 4) :]
    return sum(known(step, figure)[0] for step in steps) / len(steps)


def _misread(inputs: DoctorInputs) -> bool:
    """Whether the loss on fitted comparisons is higher when they are scored again than it was in training."""
    now = _rescored(inputs, "nll")
    return bool(inputs.reward_steps) and now is not None and now - _last_quarter(inputs, "loss") > line("rescored")


def _probe_is_ahead(inputs: DoctorInputs) -> bool:
    """Whether a linear probe surely ranks more of the held-out comparisons right; False if there is none."""
    ahead, low = (inputs.reward_model.get(key) for key in ("probe_ahead", "probe_ahead_low"))
    return ahead is not None and low is not None and low > 0 and ahead >= line("ahead")


def _coins(inputs: DoctorInputs) -> bool:
    """Whether annotators agree hardly more often than by chance."""
    agreement = _agreement(inputs)
    return agreement is not None and agreement < line("agreement")


def _agreement(inputs: DoctorInputs) -> float | None:
    agreement: float | None = inputs.comparisons.get("agreement")
    return agreement


def _rescored(inputs: DoctorInputs, figure: str) -> float | None:
    """A figure on comparisons that it was fitted to; older runs have it under `train`. None if it wasn't measured."""
    older = inputs.reward_model.get("train") or {}
    value: float | None = inputs.reward_model.get(f"train_{figure}", older.get(figure))
    return value
