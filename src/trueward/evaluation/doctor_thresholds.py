"""The doctor's thresholds, each with its reason. docs/doctor.md shows the same table."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """A threshold and the reason for its value."""

    value: float
    why: str


SE = 3.0  # standard errors that a change has to be away from nothing: one in 370 by chance
LINES = {
    "ended": Line(0.5, "a policy that was shown endings ends more than half of its answers"),
    "learned": Line(0.05, "nats a token; a single epoch on a few hundred demonstrations wins ten times that"),
    "accuracy": Line(0.6, "below it, best of 2 gains less than a third of an SD, even on labels without noise"),
    "few": Line(100, "comparisons to fit to; with fewer a gain was luck, and the next seed has another"),
    "agreement": Line(0.58, "two annotators; at this share no reward model can be right more often than in 70 %"),
    "gain": Line(0.3, "SDs under SFT; what is smaller is hard to see in a few dozen answers"),
    "nll_gap": Line(
        0.3, "nats between held-out and fitted comparisons; a tenth is common, at 0.3 it knows them by heart"
    ),
    "slope": Line(0.4, "of labels on margins; 1 is right, here margins are 2.5 times too large"),
    "unit": Line(1.25, "the proxy's SD under SFT is 1 by construction; so far off, β is off by a quarter"),
    "centre": Line(0.5, "SDs; the proxy's mean under SFT is 0 by construction"),
    "ahead": Line(0.02, "accuracy; less is within what another seed of the reward model changes"),
    "rescored": Line(0.15, "nats by which the loss on fitted comparisons may be above training's own last quarter"),
    "explained": Line(0.5, "of the reward's variance over SFT's answers; more of the scale is then that than all else"),
    "no_anchor": Line(0.01, "β; at the optimum a proxy gain of 1 SD is then worth 100 nats"),
    "far": Line(50.0, "nats; hardly an answer of SFT's is left at that distance"),
    "alike": Line(0.5, "of SFT's share of different answers, or of different words"),
    "tight": Line(2.0, "β; a normal proxy can then gain 1/β = 0.5 SD at most, at 1/(2β²) = 0.125 nats"),
    "floor": Line(
        0.5, "nats; PPO's own noise moves a policy about that far, whatever the reward; a control measures it"
    ),
    "room": Line(
        5.0, "nats; with the best proxy a normal policy uses 1/(2β²), with a loose β more than training reaches"
    ),
    "cut": Line(0.2, "growth of the share of answers that were cut"),
    "outliers": Line(0.3, "growth of the share of answers beyond the 99 % quantile of SFT's"),
    "fallen": Line(
        0.5, "SDs of truth below its own peak; the highest of many evaluations is a little lucky, not that much"
    ),
    "variance": Line(-0.5, "explained variance, median of the later half of the steps; guessing the mean has 0"),
    "at_length": Line(
        0.33, "of the proxy's gain that is left between answers of the same length, with its standard error"
    ),
    "longer": Line(0.1, "change of the mean length, of SFT's; matching what hardly changed says nothing"),
    "earned": Line(0.5, "of the proxy's gain; where the truth gains more, longer answers are better ones"),
}


def line(name: str) -> float:
    """The value of a threshold."""
    return LINES[name].value
