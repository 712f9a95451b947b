"""report.json, of a run and of a reward model alone. Format 2."""

from __future__ import annotations

from typing import Any, Literal

from trueward.evaluation.contracts.contract import Contract, Figure
from trueward.evaluation.contracts.doctor import DoctorRow
from trueward.evaluation.contracts.evaluation_row import EvaluationRow, FeatureShiftRow, PolicyRow
from trueward.evaluation.contracts.judge import JudgeRow
from trueward.evaluation.contracts.people import PeopleRow
from trueward.evaluation.contracts.reward_model import FittedRewardModel, LeftOut, NoRewardModel, ReadyRewardModel
from trueward.evaluation.contracts.verdict import VerdictRow


class Policies(Contract):
    """The policies of the final evaluation, on the same prompts."""

    base: PolicyRow | None = None
    """The model that SFT started from. Missing with `sft.model`, and if its vocabulary is another one."""
    sft: PolicyRow
    """The SFT policy."""
    policy: PolicyRow
    """The policy after the last step; with best-of-n the chosen answers."""
    best: PolicyRow | None = None
    """The checkpoint of the highest truth in training. Missing if there is none."""


class Optimiser(Contract):
    """What the policy's stage says of itself."""

    kind: str
    """`policy.kind`."""
    steps: int
    """Steps of training; 0 with `best_of_n`."""
    kl_coef_last: Figure = None
    """β after the last step; null with `dpo` and `sft_on_best`. Missing with `best_of_n`."""
    held_out_accuracy: Figure = None
    """`dpo`: share of the decided held-out comparisons that its implicit reward ranks right. Missing for other kinds."""
    n: int | None = None
    """`best_of_n`: answers to each prompt. Missing for other kinds."""
    kl_bound: Figure = None
    """`best_of_n`: log n − (n − 1)/n, nats. Missing for other kinds."""


class BestOfNRow(Contract):
    """The best of n answers by the proxy, estimated from all that were drawn."""

    n: int
    """Answers to choose from."""
    kl: float
    """log n − (n − 1)/n, nats."""
    proxy: Figure
    """Mean over prompts of the proxy of the best of n, SDs."""
    proxy_se: Figure
    """Its standard error."""
    truth: Figure
    """Mean over prompts of the truth of the same answers, SDs."""
    truth_se: Figure
    """Its standard error."""
    normal: float
    """E[max of n standard normal draws]: the proxy, if it were normal within each prompt."""


class Reward(Contract):
    """The proxy: where it comes from, and its scale."""

    kind: str
    """`reward.kind`."""
    mean: float
    """Mean raw score under SFT: what stands for 0."""
    sd: float
    """SD of raw scores under SFT within a prompt: what stands for 1."""
    judge: JudgeRow | None
    """Of a judge that rates, on the SFT policy's answers; null for other rewards."""


class Sft(Contract):
    """What the SFT stage says of itself."""

    demonstrations: int
    """Demonstrations trained on; 0 with `sft.model`."""
    held_out_nll_before: Figure
    """Nats a token on held-out demonstrations, before SFT; null without demonstrations."""
    held_out_nll_after: Figure
    """After SFT."""
    parameters: int
    """Numbers of the policy."""


class ClassifierFigures(Contract):
    """A classifier inside simulated annotators."""

    examples: int
    """Texts that it was fitted to."""
    accuracy: Figure
    """On long reviews that it hasn't seen; null for one that was fitted to sentences."""
    accuracy_sentences: float
    """On held-out sentences."""


class Annotators(Contract):
    """Who chose between the answers."""

    simulated: bool
    """Programs, not people."""
    ai: bool
    """A judge, not people."""
    judge: JudgeRow | None
    """The judge that labelled the comparisons; null for others."""
    description: str
    """Who, in a sentence."""
    agreement: Figure
    """Share of pairs on which two of them agree; null if no pair was judged twice."""
    temperature: Figure
    """Of simulated choices, in units of utility; null for people."""
    classifiers: dict[str, ClassifierFigures]
    """What is inside simulated annotators, by utility; empty for others."""
    correlations: dict[str, Figure]
    """Of their utility with each other one, on the SFT policy's answers; empty for people."""


class SampleAnswer(Contract):
    """One policy's answer to a sample prompt."""

    response: str
    """The answer."""
    proxy: Figure
    """Its proxy, SDs."""
    truth: Figure
    """Its first truth, SDs."""
    finished: bool
    """Whether it ended by itself and was not cut."""


class Sample(Contract):
    """A prompt of the final evaluation with every policy's answer."""

    prompt: str
    """The prompt as a person reads it."""
    answers: dict[str, SampleAnswer]
    """By policy."""


class EvaluatedOn(Contract):
    """The prompts of the final evaluation."""

    prompts: int
    """How many."""
    used_before: int
    """How many of them evaluations in training used, which picked the best checkpoint on them."""
    missing: int
    """Held-out prompts that are missing for a peak to be measured again; above 0 no alarm of a fall can be given."""


class Report(Contract):
    """A run's report.json."""

    format: Literal[2]
    """Raised when a field changes its meaning or goes."""
    trueward: str
    """The version that wrote it."""
    name: str
    """The recipe's name."""
    command: str
    """The command that wrote the report."""
    recipe: dict[str, Any]
    """The resolved recipe."""
    seed: int
    """`recipe.seed`."""
    seconds: dict[str, float]
    """Seconds by stage."""
    verdict: VerdictRow
    """The verdict on the run."""
    stopped: str | None
    """Why training ended before its last step, if `evaluation.stop_when` ended it."""
    early_warnings: list[str]
    """Of the last policy: what of its answers is unlike SFT's."""
    policies: Policies
    """The final evaluation."""
    evaluated_on: EvaluatedOn
    """The prompts of the final evaluation."""
    best_step: int | None
    """The step of the highest truth in training, step 0 aside; null without truths and with `best_of_n`."""
    optimiser: Optimiser
    """What the policy's stage says of itself."""
    best_of_n: list[BestOfNRow]
    """A row for each of 1, 2, 4, … up to n answers to choose from; empty with other kinds."""
    feature_shift: list[FeatureShiftRow]
    """What the last policy's answers have more often than the SFT policy's."""
    reward_model: FittedRewardModel | ReadyRewardModel | NoRewardModel
    """The reward model; empty where the proxy is none."""
    reward: Reward
    """The proxy."""
    sft: Sft
    """What the SFT stage says of itself."""
    annotators: Annotators | None
    """Who chose; null where there are no comparisons."""
    history: list[EvaluationRow]
    """The rows of policy/evaluations.jsonl; empty with `best_of_n`."""
    samples: list[Sample]
    """The first ten prompts of the final evaluation."""
    left_out: list[LeftOut]
    """Rows of data that could not be used."""
    notes: list[str]
    """What a reader should know before believing the figures."""
    peak_memory_mb: float
    """Peak resident memory of the process that wrote the report, 10⁶ bytes."""
    doctor: DoctorRow
    """The diagnosis."""
    people: PeopleRow | None = None
    """People's preferences. Missing where no people judge the run's answers."""


class RewardReport(Contract):
    """reward_model/report.json: the reward model's part of a report, alone."""

    format: Literal[2]
    """As in `Report`."""
    trueward: str
    """The version that wrote it."""
    name: str
    """`reward model`."""
    recipe: dict[str, Any]
    """The sections that it was made from."""
    seed: int
    """`recipe.seed`."""
    reward_model: FittedRewardModel
    """Its figures."""
