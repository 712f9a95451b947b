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


class PoweredRow(Contract):
    """People's win rate over all pairs of the evaluation, from a judge on all and people on some. Null before a vote."""

    judge: str
    """Who judged all pairs."""
    pairs: int
    """Pairs of different answers."""
    same: int
    """Pairs of two equal answers, which nobody judges and which count half."""
    judged: int
    """Pairs that people judged, too."""
    unjudged: int
    """Pairs without a judgement of the judge's; they count as its ties."""
    points: float
    """Half the width of the interval, in percentage points, that `needed` is about."""
    win_rate: Figure
    """Share of pairs in which people prefer the policy's answer, or would."""
    win_rate_low: Figure
    """Lower end of its 95 % interval, for when people judged all that they were asked about; null below 10 judged prompts."""
    win_rate_high: Figure
    """Upper end."""
    any_time_low: Figure
    """Lower end of its 95 % interval that holds however often and whenever it is read, for many pairs."""
    any_time_high: Figure
    """Upper end."""
    alone_low: Figure
    """Lower end of the interval without the judge, by the same method."""
    alone_high: Figure
    """Upper end."""
    weight: Figure
    """The judge's weight, 0 where it tells nothing of what people say."""
    correlation: Figure
    """Of people and judge on the pairs that both judged; 0 where it is negative."""
    needed: int | None
    """Pairs that people have to judge in all for ± `points`; null if all pairs are not enough, or too few are judged to say."""


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
    powered: PoweredRow | None = None
    """People's win rate with a judge's help. Missing if no judge was asked beside them."""
    is_truth: bool | None = None
    """Whether they are the recipe's first truth, so that the run's verdict is theirs. Missing in people/people.json."""
