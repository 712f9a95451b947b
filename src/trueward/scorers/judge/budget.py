"""A judge's costs, and a cap on them."""

from __future__ import annotations

from dataclasses import dataclass, field

MILLION = 1e6


class CapError(ValueError):
    """A request could bring the cost above the cap."""


@dataclass
class Budget:
    """The cost of a judge's requests so far, and a cap on it, in one currency.

    A request is only made if its largest possible cost fits under the cap with all that is spent or held, so the cap is
    never passed. A token is at least one byte, so a text has at most as many tokens as bytes.
    """

    price_input: float = 0.0
    """Of a million tokens read."""
    price_output: float = 0.0
    """Of a million tokens written."""
    cap: float | None = None
    """The most that may be spent; None: no cap."""
    spent: float = 0.0
    held: float = field(default=0.0, init=False)
    """The largest possible cost of all requests under way."""

    def bound(self, sent: bytes, most_written: int) -> float:
        """The largest possible cost of a request. sent: its bytes. most_written: the most tokens that the service may write."""
        return (len(sent) * self.price_input + most_written * self.price_output) / MILLION

    def cost(self, read: int, written: int) -> float:
        """The cost of so many tokens read and written."""
        return (read * self.price_input + written * self.price_output) / MILLION

    def fits(self, bound: float) -> bool:
        """Whether a request with this largest cost stays under the cap."""
        return self.cap is None or self.spent + self.held + bound <= self.cap

    def hold(self, bound: float) -> None:
        """Reserve the largest cost of a request that is about to be made."""
        assert self.fits(bound)
        self.held += bound

    def settle(self, bound: float, spent: float) -> None:
        """End a request: release what it held. spent: the new total."""
        self.held -= bound
        self.spent = spent

    def refuse(self, bound: float) -> CapError:
        """The error for a request that does not fit under the cap."""
        return CapError(
            f"runtime.judge.cap: {self.spent:.4f} is spent, and the next request may cost up to {bound:.4f}, which would "
            f"pass the cap of {self.cap:g}; all answers so far are kept, so raise the cap and run the same command again"
        )
