"""What the judges of [[evaluation.judge]] say at an evaluation."""

from __future__ import annotations

from trueward.evaluation.contracts.contract import Contract, Figure


class CriterionRow(Contract):
    """A criterion of the prompts' rubrics: the policy's ratings by it less those of SFT's answers, in points."""

    gain: Figure
    """Mean difference over the prompts that have this criterion."""
    gain_se: Figure
    """Its standard error."""
    gain_z: Figure
    """Its test against 0, as a normal score."""
    items: int
    """Answers that were rated by it."""


class JudgedRow(Contract):
    """A judge that training never sees: how much better it finds the policy's answers than SFT's to the same prompts."""

    gain: Figure
    """Mean difference: from −1 to 1, won less lost; pointwise in SDs of its ratings. Null if it judged none."""
    gain_se: Figure
    """Its standard error."""
    gain_z: Figure
    """Its test against 0, as a normal score."""
    items: int
    """Answers that it judged."""
    missing: int
    """Answers that it did not: no figure counts them."""
    win_rate: Figure
    """Share of the answers that it prefers to SFT's, a tie half."""
    win_rate_low: Figure
    """Lower end of its 95 % interval (score interval of paired shares)."""
    win_rate_high: Figure
    """Upper end."""
    ties: Figure
    """Share of the answers that it finds as good: the two orders cancel, or the texts are the same."""
    win_rate_at_length: Figure
    """The win rate between answers of one length, by a logistic regression on the difference of tokens."""
    win_rate_at_length_low: Figure
    """Lower end of its 95 % interval."""
    win_rate_at_length_high: Figure
    """Upper end."""
    calls: int
    """Calls that it has made in the run so far, those that the cache answered aside."""
    failure: str | None
    """Why the last answer without a judgement has none; null if none is missing."""
    criteria: dict[str, CriterionRow] | None = None
    """By name or text, the criteria of the prompts' rubrics. Missing without `rubric`."""


class JudgePanelRow(Contract):
    """How far several judges agree on which answers are better, equal or worse than SFT's."""

    judges: int
    """How many there are."""
    items: int
    """Answers that two of them or more judged."""
    agreement: Figure
    """Share of pairs of judges that say the same of an answer."""
    kappa: Figure
    """The same beyond chance (Fleiss)."""
    alpha: Figure
    """The same for any number of missing judgements (Krippendorff)."""
    worst: str | None
    """The judge with the lowest mean; null if nobody judged."""
