"""People's preferences, as report.json and people/people.json have them."""

from __future__ import annotations

from trueward.evaluation.contracts.contract import Contract, Figure
from trueward.evaluation.contracts.verdict import VerdictRow


class PreferenceRow(Contract):
    """The share of pairs in which people prefer the policy's answer to SFT's. Null before the first vote."""

    pairs: int
    """Pairs of different answers that people judge."""
    judged: int
    """Pairs that have a vote."""
    same: int
    """Pairs of two equal answers, which nobody judges."""
    complete: bool
    """Whether all pairs are judged."""
    win_rate: Figure
    """Share of pairs in which the policy's answer is preferred, equal answers a half."""
    win_rate_low: Figure
    """Lower end of its 95 % interval (score interval), for when all pairs are judged."""
    win_rate_high: Figure
    """Upper end."""
    any_time_low: Figure
    """Lower end of its 95 % interval that holds however often and whenever it is read."""
    any_time_high: Figure
    """Upper end."""


class StepPreferenceRow(PreferenceRow):
    """The same of an evaluation during training."""

    step: int
    """Steps done."""


class PeopleRow(PreferenceRow):
    """People as a truth of the final evaluation."""

    project: str
    """The studio's project in which they judge."""
    votes: int
    """Votes that count, those on evaluations during training included."""
    steps: list[StepPreferenceRow]
    """The same at the evaluations during training, with `evaluation.step_pairs`."""
    verdict: VerdictRow
    """The verdict with people as the truth."""
    is_truth: bool | None = None
    """Whether they are the recipe's first truth, so that the run's verdict is theirs. Missing in people/people.json."""
