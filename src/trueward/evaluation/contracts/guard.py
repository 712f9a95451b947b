"""What a guard says at an evaluation."""

from __future__ import annotations

from trueward.evaluation.contracts.contract import Contract, Figure


class GuardRow(Contract):
    """A suite that the policy must not get worse at: its scores of the policy beside SFT's, item by item."""

    policy: Figure
    """Mean score of the policy over the items that both have; null if it was not measured."""
    sft: Figure
    """The same of the SFT policy."""
    gain: Figure
    """Mean difference, in the suite's own unit; below 0: the policy is worse."""
    gain_se: Figure
    """Its standard error."""
    gain_z: Figure
    """Its test against 0, as a normal score."""
    items: int
    """Items that both have a score of."""
    missing: int
    """Items that one of them has none of: no figure counts them."""
    failure: str | None
    """Why it was not measured; null if it was."""
