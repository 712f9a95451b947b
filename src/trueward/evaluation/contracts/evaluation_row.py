"""One evaluation of a policy: the figures of policies in report.json and of the rows of policy/evaluations.jsonl."""

from __future__ import annotations

from trueward.evaluation.contracts.contract import Contract, Figure
from trueward.evaluation.contracts.guard import GuardRow
from trueward.evaluation.contracts.judged import JudgedRow, JudgePanelRow
from trueward.evaluation.features import Kind
from trueward.evaluation.verdict import Word


class PolicyRow(Contract):
    """A policy's answers to held-out prompts, beside the SFT policy's, whose mean is 0. Standard errors are over prompts."""

    proxy: Figure
    """Mean score of the proxy above that of SFT's answers to the same prompts, SDs."""
    proxy_raw: Figure
    """The same before it was put on its scale; of a verifier of 0 and 1, the share of right answers."""
    proxy_se: Figure
    """Standard error of `proxy`; null for the SFT policy."""
    truth: Figure
    """Mean of the first truth above that of SFT's answers to the same prompts, SDs; null without truths."""
    truth_se: Figure
    """Standard error of `truth`; null for the SFT policy."""
    truths: dict[str, Figure]
    """Each truth's mean by name above that of SFT's answers, SDs of its own."""
    truth_gain: Figure
    """Mean over prompts of the truth of the policy's answer less the mean of SFT's answers, SDs: the same as `truth`."""
    truth_gain_se: Figure
    """Standard error of `truth_gain`."""
    truth_gain_z: Figure
    """Its test against 0, as a normal score."""
    proxy_gain: Figure
    """The same of the proxy, SDs."""
    proxy_gain_se: Figure
    """Standard error of `proxy_gain`."""
    proxy_gain_z: Figure
    """Its test against 0, as a normal score."""
    win_rate: Figure
    """Share of SFT's answers to the same prompts that have a lower truth, ties half; null for the SFT policy itself."""
    win_rate_low: Figure
    """Lower end of its 95 % interval (score interval; a tie is no coin flip)."""
    win_rate_high: Figure
    """Upper end."""
    kl: Figure
    """Mean KL of whole answers to the SFT policy, exact at each position, nats; of best-of-n its bound."""
    kl_se: Figure
    """Standard error of `kl`; null for best-of-n."""
    kl_k1: Figure
    """Mean over answers of Σ_t log π(t)/π_ref(t), nats; null for best-of-n."""
    kl_k1_se: Figure
    """Standard error of `kl_k1`."""
    length: Figure
    """Mean tokens of an answer, end-of-sequence included."""
    eos_rate: Figure
    """Share of answers that ended by themselves."""
    distinct_1: Figure
    """Distinct words / words, over all answers together."""
    distinct_2: Figure
    """Distinct pairs of neighbouring words / pairs."""
    longest_repeat: Figure
    """Words of the longest phrase that an answer says twice, mean over answers."""
    unique: Figure
    """Distinct answers / answers."""
    echo_rate: Figure
    """Share of answers that say the prompt again, word for word."""
    entropy: Figure
    """Mean over tokens of the entropy of their distribution, nats."""
    sft_nll: Figure
    """−mean over tokens of log π_ref(token) on the policy's answers, nats."""
    base_nll: Figure = None
    """The same under the base model. Missing in training, with `sft.model`, and if the base has another vocabulary."""
    outlier_share: Figure
    """Share of answers whose last hidden state in the reward model is an outlier of the SFT policy's."""
    member_sd: Figure = None
    """Mean over answers of the SD between an ensemble's members, SDs. Missing for one reward model."""
    member_sd_relative: Figure = None
    """`member_sd` over that of the SFT policy's answers. Missing for one reward model."""
    second_gain: Figure = None
    """Gain over SFT by the second reward model, SDs of its own. Missing without `reward.cross_check`, like the next five."""
    second_gain_se: Figure = None
    """Its standard error; null for the SFT policy."""
    second_gain_z: Figure = None
    """Its test against 0, as a normal score."""
    second_shortfall: Figure = None
    """Half of `proxy_gain` less `second_gain`, paired by prompt: above 0, the second model sees less than half of it."""
    second_shortfall_se: Figure = None
    """Its standard error; null for the SFT policy."""
    second_shortfall_z: Figure = None
    """Its test against 0, as a normal score."""
    proxy_truth_correlation: Figure
    """Pearson's, over the policy's answers."""
    length_correlation: Figure
    """Pearson's, of the proxy with tokens."""
    proxy_at_length: Figure
    """Gain of the proxy over SFT between answers of about the same length, SDs; null if no lengths are shared."""
    truth_at_length: Figure
    """The same of the truth."""
    proxy_at_length_se: Figure
    """Standard error of `proxy_at_length`."""
    truth_at_length_se: Figure
    """Standard error of `truth_at_length`."""
    length_matched: Figure
    """Share of the policy's answers that have an SFT answer of about their length."""
    prompts: int
    """Held-out prompts that were answered."""
    truth_prompts: int | None = None
    """Those of them of which the truth said something. Missing if it did of all."""
    truth_missing: int | None = None
    """Those of which it said nothing: a judge that is down, or over its cap. Missing if there are none."""
    judges: dict[str, JudgedRow] | None = None
    """By name, what the judges of [[evaluation.judge]] say. Missing without one, and for the SFT policy."""
    judge_panel: JudgePanelRow | None = None
    """How far they agree. Missing for fewer than two."""


class FeatureShiftRow(Contract):
    """A feature that the policy's answers have more often than the SFT policy's, and what it is worth."""

    feature: str
    """In words, after "the answer": `starts with “you”`."""
    kind: Kind
    """What it is about: an opener, a phrase, a repeat, punctuation, the length or the format."""
    before: float
    """Share of the SFT policy's answers that have it."""
    after: float
    """Share of the policy's."""
    proxy: Figure
    """How much higher such answers score than others of the same policy, SDs."""
    proxy_low: Figure
    """Lower end of its 95 % interval (errors by HC3)."""
    proxy_high: Figure
    """Upper end."""
    truth: Figure
    """The same of the first truth; null without truths."""
    truth_low: Figure
    """Lower end of its 95 % interval."""
    truth_high: Figure
    """Upper end."""
    hacked: bool
    """The proxy's interval is above 0 and the truth's below."""


class Fall(Contract):
    """A peak of the truth, measured again beside the present policy on fresh answers to both."""

    peak_step: int
    """The step of the peak's checkpoint."""
    drop: Figure
    """Its truth less the present policy's, SDs."""
    drop_se: Figure
    """Standard error of `drop`."""
    drop_low: Figure
    """Lower end of its 95 % interval (bootstrap by prompt)."""
    drop_high: Figure
    """Upper end."""
    drop_z: Figure
    """Its test against 0, as a normal score."""
    drop_needed_z: float
    """The score that this test has to reach."""
    drop_least: float
    """The smallest drop that counts, SDs: `evaluation.least_fall` of the gain at the peak."""
    prompts: int
    """Prompts that both answered."""
    test: int
    """Which test of a peak in this run it is, from 1."""
    is_fall: bool
    """Whether it is a fall: significant, and not below `drop_least`."""


class EvaluationRow(PolicyRow):
    """A row of policy/evaluations.jsonl: step 0, every `evaluation.every` steps, and the last."""

    step: int
    """Steps done."""
    feature_shift: list[FeatureShiftRow]
    """What the policy's answers have more often than the SFT policy's, the most telling first."""
    kl_coef: float
    """β that the next step will use; of `dpo` and `sft_on_best` the recipe's."""
    fall: Fall | None
    """What came of measuring the peak again at this evaluation; null if the truth did not seem to be down."""
    verdict: Word
    """The verdict so far."""
    rule: str
    """The rule that gave it, in words."""
    prompts_missing: int
    """Held-out prompts that are missing for a peak to be measured again; above 0 no alarm of a fall can be given."""
    early_warnings: list[str]
    """What of the answers is unlike SFT's; these warn and decide nothing."""
    guards: dict[str, GuardRow] | None = None
    """By name, what the guards say. Missing where none was due."""
    seconds: float
    """Seconds of the training loop so far, evaluations included."""
