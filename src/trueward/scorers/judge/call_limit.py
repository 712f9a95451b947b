"""How many calls a judge may make in a run, by its own cap and by that of all judges together."""

from __future__ import annotations

from dataclasses import dataclass, field

REACHED = "over the cap of calls"
UNLIMITED = 1 << 62


@dataclass
class CallLimit:
    """Calls that were made, and how many may be. A question that the cache answers is no call."""

    most: int | None = None
    """Calls in all; None: no cap."""
    reserve: int = 0
    """Calls that are kept for later, at most half of `most`: a run's last evaluation is its most important one."""
    of_all: CallLimit | None = None
    """The cap of all judges together."""
    made: int = field(default=0)

    @property
    def left(self) -> int:
        """Calls that may still be made."""
        kept = min(self.reserve, (self.most or 0) // 2)
        own = UNLIMITED if self.most is None else max(0, self.most - kept - self.made)
        return own if self.of_all is None else min(own, self.of_all.left)

    def count(self, calls: int) -> None:
        """Add calls, also to those of all judges."""
        self.made += calls
        if self.of_all is not None:
            self.of_all.count(calls)
