"""Act 1: clicks on pairs of responses train a Bradley–Terry reward model of one score a response.

A click is one gradient step on its own loss, −log σ(r̂_w − r̂_l) (Bradley & Terry 1952).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from trueward.lab.chance import PAIRS, SIDES, uniform


@dataclass(frozen=True)
class Click:
    """Response `winner` was preferred to `loser`; in a tie the order means nothing."""

    winner: int
    loser: int
    tie: bool = False


@dataclass(frozen=True)
class LabRewardModel:
    """A score r̂ for each response, and whether the response was ever compared."""

    scores: tuple[float, ...]
    compared: tuple[bool, ...]

    @classmethod
    def blank(cls, responses: int) -> LabRewardModel:
        """All scores 0, nothing compared."""
        return cls((0.0,) * responses, (False,) * responses)


def sigmoid(x: float) -> float:
    """σ(x) = 1 / (1 + e^−x), written so that the exponent is never positive."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def loss(model: LabRewardModel, click: Click) -> float:
    """−log σ(r̂_w − r̂_l) in nats; for a tie the mean of both directions."""
    d = model.scores[click.winner] - model.scores[click.loser]
    win = math.log1p(math.exp(-abs(d))) + max(-d, 0)
    return win + d / 2 if click.tie else win  # −log σ(−d) = −log σ(d) + d


def clicked(model: LabRewardModel, click: Click, lr: float) -> LabRewardModel:
    """One gradient step: r̂_w += lr·g, r̂_l −= lr·g, with g = σ(r̂_l − r̂_w), and ½ less in a tie."""
    g = sigmoid(model.scores[click.loser] - model.scores[click.winner])
    move = lr * (g - 0.5 if click.tie else g)
    scores, compared = list(model.scores), list(model.compared)
    scores[click.winner] += move
    scores[click.loser] -= move
    compared[click.winner] = compared[click.loser] = True
    return LabRewardModel(tuple(scores), tuple(compared))


def trained(clicks: Sequence[Click], responses: int, lr: float = 0.5) -> tuple[LabRewardModel, list[float]]:
    """The reward model after all clicks, from scores of 0, and the loss of each click before its step."""
    model, losses = LabRewardModel.blank(responses), []
    for click in clicks:
        losses.append(loss(model, click))
        model = clicked(model, click, lr)
    return model, losses


def next_pair(
    clicks: Sequence[Click], responses: int, seed: int, skipped: int = 0, left_out: Collection[int] = ()
) -> tuple[int, int]:
    """The next pair to compare, left and right: at random among the pairs compared least.

    skipped: how many pairs were passed over. left_out: responses that are never in the pair.
    """
    eligible = [i for i in range(responses) if i not in left_out]
    if len(eligible) < 2:
        raise ValueError(f"left_out {sorted(left_out)}: expected at least two responses that are not in it")
    counts = {(i, j): 0 for i in eligible for j in eligible if i < j}
    for click in clicks:
        pair = (min(click.winner, click.loser), max(click.winner, click.loser))
        if pair in counts:
            counts[pair] += 1
    least = [pair for pair, count in counts.items() if count == min(counts.values())]
    n = len(clicks) + skipped
    i, j = least[int(uniform(seed, PAIRS, n) * len(least))]
    return (i, j) if uniform(seed, SIDES, n) < 0.5 else (j, i)


def parse(text: str, responses: int = 5) -> list[Click]:
    """Clicks from a link: "BA" is B over A, "B=A" a tie, separated by dots."""
    clicks = []
    for word in filter(None, text.split(".")):
        match = re.fullmatch(r"([A-Z])(=?)([A-Z])", word)
        places = [ord(letter) - ord("A") for letter in (match[1], match[3])] if match else []
        if match is None or places[0] == places[1] or max(places) >= responses:
            raise ValueError(
                f"clicks: {word!r}: expected two different letters up to {chr(64 + responses)}, e.g. BA or B=A"
            )
        clicks.append(Click(places[0], places[1], bool(match[2])))
    return clicks
