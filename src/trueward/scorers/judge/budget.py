"""A judge's costs, and a cap on them."""

from __future__ import annotations

from dataclasses import dataclass, field

MILLION = 1e6


class CapError(ValueError):
    """A request that could bring the cost above the cap."""


@dataclass
class Budget:
    """Prices of a million tokens, read and written, in one currency; `spent` so far; `cap`, if there is one; `held`, the
    largest possible cost of the requests under way.

    A request is only made if its largest possible cost fits under the cap with all that is spent or held, so the cap is
    never passed. A token is at least one byte, so a text has at most as many tokens as bytes.
    """

    price_input: float = 0.0
    price_output: float = 0.0
    cap: float | None = None
    spent: float = 0.0
    held: float = field(default=0.0, init=False)

    def bound(self, sent: bytes, most_written: int) -> float:
        """The most that a request can cost."""
        return (len(sent) * self.price_input + most_written * self.price_output) / MILLION

    def cost(self, read: int, written: int) -> float:
        return (read * self.price_input + written * self.price_output) / MILLION

    def fits(self, bound: float) -> bool:
        return self.cap is None or self.spent + self.held + bound <= self.cap

    def hold(self, bound: float) -> None:
        assert self.fits(bound)
        self.held += bound

    def settle(self, bound: float, spent: float) -> None:
        """A request is over: its hold is released. spent: the new total."""
        self.held -= bound
        self.spent = spent

    def refuse(self, bound: float) -> CapError:
        return CapError(
            f"runtime.judge.cap: {self.spent:.4f} is spent, and the next request may cost up to {bound:.4f}, which would "
            f"pass the cap of {self.cap:g}; all answers so far are kept, so raise the cap and run the same command again"
        )
