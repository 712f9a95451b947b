"""How far a judge can be believed, as report.json has it."""

from __future__ import annotations

from trueward.evaluation.contracts.contract import Contract, Figure


class JudgeRow(Contract):
    """A judge's requests, failures, position bias and agreement."""

    model: str
    """`judge.model`."""
    endpoint: str
    """`judge.endpoint`; empty: it runs here."""
    principles: int
    """How many there are."""
    requests: int
    """Pairs, or answers, that it was given to judge."""
    failed: int
    """Those without a judgement."""
    failure: str | None
    """What was wrong with the first of them."""
    mass: Figure
    """Mean probability that its answer is one of the choices at all; null without log-probs."""
    cost: float
    """What its answers cost, in the currency of `runtime.judge`'s prices."""
    position_bias: Figure
    """Mean log-odds for the answer in the first place, over both orders; null for a judge that rates."""
    position_bias_se: Figure
    """Its standard error over pairs."""
    flipped: Figure
    """Share of the pairs where the order alone decides."""
    agreement: Figure
    """Share of the pairs where it picks the same answer as `agreement_with`; null without pairs."""
    agreement_low: Figure
    """Lower end of its 95 % interval (Wilson)."""
    agreement_high: Figure
    """Upper end."""
    agreement_pairs: int
    """Pairs that this is about."""
    agreement_with: str
    """Whom it is compared with; empty: nobody."""
