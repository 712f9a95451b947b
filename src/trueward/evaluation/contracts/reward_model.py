"""The reward model's figures, as report.json has them."""

from __future__ import annotations

from typing import Literal

from trueward.evaluation.contracts.contract import Contract, Figure


class LeftOut(Contract):
    """Rows of data that were given and not used."""

    what: str
    """`demonstrations`, `prompts`, `comparisons` or what else they are."""
    reason: str
    """Why, in words."""
    rows: int
    """How many."""


class ReliabilityBin(Contract):
    """Held-out comparisons of about the same confidence."""

    confidence: Figure
    """Mean of σ(margin) of the response that the reward model prefers."""
    won: Figure
    """Share in which the annotator preferred that one too, a tie half."""
    won_se: Figure
    """Its standard error."""
    comparisons: int
    """In the bin."""


class AccuracyGroup(Contract):
    """Accuracy on a part of the decided held-out comparisons."""

    by: Literal["margin", "length", "annotator", "strength"]
    """What the parts differ in."""
    name: str
    """The part, in words."""
    at: Figure
    """Mean of what it is sorted by; null for annotators and strengths."""
    comparisons: int
    """In the part."""
    accuracy: Figure
    """On them."""
    low: Figure
    """Lower end of its 95 % interval, clustered by prompt."""
    high: Figure
    """Upper end."""


class PromisedGain(Contract):
    """The gain of best-of-n that the accuracy promises."""

    n: int
    """Answers to choose from."""
    gain: Figure
    """SDs of the truth within a prompt."""
    low: Figure
    """From the lower end of the accuracy's interval."""
    high: Figure
    """From the upper end."""


class LearningCurvePoint(Contract):
    """A reward model that was fitted to a part of the comparisons, on the same held-out ones."""

    comparisons: int
    """Fitted to."""
    accuracy: Figure
    """Share of the decided held-out comparisons ranked right."""
    accuracy_low: float
    """Lower end of its 95 % interval, clustered by prompt."""
    accuracy_high: float
    """Upper end."""
    nll: float
    """Loss on the held-out comparisons, nats."""


class SecondRewardModel(Contract):
    """The reward model that was fitted to the comparisons of other prompts than the proxy's (`reward.cross_check`)."""

    comparisons: int
    """Fitted to."""
    accuracy: Figure
    """Share of the decided held-out comparisons ranked right: the same ones as the proxy's."""
    accuracy_low: float
    """Lower end of its 95 % interval, clustered by prompt."""
    accuracy_high: float
    """Upper end."""
    nll: float
    """Loss on the held-out comparisons, nats."""
    mean: float
    """Mean raw reward of the SFT policy's answers: its 0."""
    sd: float
    """SD of raw rewards within a prompt: its 1."""
    correlation: Figure
    """Pearson's with the proxy, of the difference between two SFT answers to a prompt; null if one is constant."""


class StartedMember(Contract):
    """A member of a reward model with `reward.start = "probe"`: the head in closed form, and what became of it."""

    kept: Literal["probe", "fine-tuned"]
    """`probe`: the closed form on SFT's frozen layers; `fine-tuned`: what training made of it."""
    layers: int | None
    """The base's lowest layers that it has (`reward.layers`); null: all."""
    ridge: float
    """Of the closed form: half of it times the squared weights of states of variance 1 is added to the mean loss."""
    cross_validated_nll: float
    """Its loss in five folds of prompts, nats."""
    comparisons: int
    """That the closed form was fitted to, and the fine-tuned model with it."""
    validation: int
    """Comparisons that were set aside to compare the two; 0 where nothing was fine-tuned."""
    probe_nll: Figure
    """The closed form's loss on these, nats."""
    tuned_nll: Figure
    """The fine-tuned model's."""
    accuracy: Figure
    """Of the closed form alone on the held-out comparisons."""
    accuracy_low: float
    """Lower end of its 95 % interval, clustered by prompt."""
    accuracy_high: float
    """Upper end."""
    nll: float
    """Its loss there, nats."""


class NoRewardModel(Contract):
    """The object that stands in a report for a reward model where the proxy is a program or a judge: empty."""


class ReadyRewardModel(Contract):
    """A reward model that was not fitted in this run (`reward.model`)."""

    mean: float
    """Mean raw reward of the SFT policy's answers: the proxy's 0."""
    sd: float
    """SD of raw rewards within a prompt: the proxy's 1."""
    raw_mean: float
    """`mean` as measured, also where `reward.normalize` is false."""
    raw_sd: float
    """`sd` as measured, also where `reward.normalize` is false."""
    members: int
    """Reward models in it (`reward.members`)."""
    member_sd: Figure
    """Mean SD between them on the SFT policy's answers, SDs; null for one, or for averaged weights."""
    unit_answers: int | None = None
    """SFT answers that `mean` and `sd` are of, those of pairs that end. Missing with `comparisons.unfinished` = "keep"."""
    explained_by_ending: Figure = None
    """Share of its variance over the SFT policy's answers that is whether they end; null where all or none do."""
    explained_by_length: Figure = None
    """Share over those that end that is their number of words; null where fewer than 20 do."""
    left_out: list[LeftOut] | None = None
    """SFT answers that it cuts. Missing if there are none."""
    agreement: Figure
    """Share of pairs on which two annotators agree; null if no pair was judged twice."""


class FittedRewardModel(ReadyRewardModel):
    """A reward model that was fitted in this run, and measured on comparisons of prompts that it was not fitted to."""

    comparisons: int
    """Fitted to."""
    held_out: int
    """Measured on."""
    accuracy: Figure
    """Share of the decided held-out comparisons ranked right; null if all are ties."""
    accuracy_low: float
    """Lower end of its 95 % interval, clustered by prompt."""
    accuracy_high: float
    """Upper end."""
    nll: float
    """Mean Bradley–Terry loss on held-out comparisons, nats."""
    train_accuracy: Figure
    """Accuracy on as many comparisons that it was fitted to."""
    train_nll: float
    """Loss on those, nats."""
    nll_floor: Figure
    """The loss that nothing gets below, nats; null unless a program chose, like the next two."""
    best_accuracy: Figure
    """Accuracy of a perfect reward model on these comparisons."""
    true_accuracy: Figure
    """Share of held-out comparisons ranked as the annotators' utility does."""
    slope: Figure
    """Of the label on the margin: 1 is right, below it is too sure; null if margins separate all labels."""
    slope_low: Figure
    """Lower end of its 95 % interval, clustered by prompt."""
    slope_high: Figure
    """Upper end."""
    ece: Figure
    """Expected calibration error."""
    ece_floor: Figure
    """What a perfectly calibrated model shows on average with these margins."""
    ece_floor_high: Figure
    """And in at most 19 of 20 cases."""
    reliability: list[ReliabilityBin]
    """Bins by confidence, of equal mass."""
    groups: list[AccuracyGroup]
    """Accuracy by margin, length, annotator and strength."""
    length_accuracy: Figure
    """Accuracy of the rule that reads nothing but the number of words."""
    length_accuracy_low: Figure
    """Lower end of its 95 % interval, clustered by prompt."""
    length_accuracy_high: Figure
    """Upper end."""
    length_prefers: Literal["longer", "shorter"]
    """What the comparisons that were fitted to favour."""
    warning: str | None
    """A sentence if it was fitted to fewer than 2,000 comparisons."""
    clean_accuracy: Figure
    """Accuracy with the annotators' noise taken out; null without an agreement."""
    promised: list[PromisedGain]
    """Gains of best-of-n that this accuracy promises; empty without an agreement."""
    gain: Figure
    """Best of 2 by the reward, measured by the annotators' utility, SDs; null for people."""
    gain_se: Figure
    """Its standard error."""
    gain_prompts: int
    """Prompts that it was measured on."""
    probe_accuracy: Figure
    """Share of the decided held-out comparisons that a linear probe of the SFT policy's frozen states ranks right; null without
    one (`reward.probe` = 0, a table, too few prompts), like all that begin so."""
    probe_accuracy_low: Figure
    """Lower end of its 95 % interval, clustered by prompt."""
    probe_accuracy_high: Figure
    """Upper end."""
    probe_layer: int | None
    """After which layer the states were read: half of them or all, whichever had the lower loss in cross-validation."""
    probe_comparisons: int | None
    """Fitted to."""
    probe_ahead: Figure
    """The probe's accuracy less the reward model's, on the same comparisons."""
    probe_ahead_low: Figure
    """Lower end of its 95 % interval."""
    probe_ahead_high: Figure
    """Upper end."""
    learning_curve: list[LearningCurvePoint]
    """Of `reward.learning_curve`; empty without it."""
    starts: list[StartedMember] | None = None
    """Of each member. Missing with `reward.start` = "zero"."""
    second: SecondRewardModel | None = None
    """Missing without `reward.cross_check`."""
