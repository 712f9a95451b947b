"""Iterated RLHF: between the steps of a policy's loop the annotators compare its newest answers, and the reward model is
fitted again, from the SFT policy, to all comparisons so far.

A reward model is right about answers like those it was fitted to, and the policy leaves them. Asking people again where it
has come to is how Christiano et al. 2017 (arXiv 1706.03741) trained, Ziegler et al. 2019 (arXiv 1909.08593, "online"), and
Bai et al. 2022 (arXiv 2204.05862, section 4.5), a week at a time. What is asked, fitted and used is given as functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from trueward import seeds
from trueward.batches import Step
from trueward.records import Comparison
from trueward.scorers.ensemble import Proxy
from trueward.training.state import State


@dataclass
class Relabelling:
    """The reward model as it changes. `known`: all comparisons that it has been fitted to."""

    proxy: Proxy
    known: list[Comparison]
    held_out: float
    """Share of the compared prompts that is never fitted to."""
    ask: Callable[[int], list[Comparison]]
    """Comparisons of the policy's answers as it is after so many steps."""
    fit: Callable[[int, Sequence[Comparison]], Proxy]
    """A reward model of these comparisons, on the reference policy's scale."""
    examine: Callable[[Proxy, Sequence[Comparison]], float | None]
    """Share of the decided comparisons that it gets right."""
    use: Callable[[Proxy], None]
    """Puts it where the loop looks for its reward."""
    rows: list[dict[str, Any]] = field(default_factory=list)

    def at(self, step: int) -> None:
        """Ask, fit and go on with the new one. What the old one is worth shows on the fresh comparisons."""
        fresh = self.ask(step)
        out = [seeds.fraction("examined:" + c.prompt.id) < self.held_out for c in fresh]
        unseen = [c for c, o in zip(fresh, out, strict=True) if o]
        known = [*self.known, *(c for c, o in zip(fresh, out, strict=True) if not o)]
        new = self.fit(step, known)
        row = {
            "step": step,
            "comparisons": len(known),
            "fresh": len(fresh),
            "held_out": len(unseen),
            "accuracy": self.examine(self.proxy, fresh),
            "accuracy_before": self.examine(self.proxy, unseen),
            "accuracy_after": self.examine(new, unseen),
        }
        self.take(new, known, row)

    def take(self, proxy: Proxy, known: list[Comparison], row: dict[str, Any]) -> None:
        self.proxy, self.known = proxy, known
        self.rows.append(row)
        self.use(proxy)

    def between(self, make_loop: Callable[[], Iterator[Step]], state: State, every: int, total: int) -> Iterator[Step]:
        """The loop, and after every so many steps, the last one aside, another reward model."""
        due = min(state.step, total - 1) // every * every
        for back in (due - every, due):  # a resumed run had been at the first, and was at the second or about to be
            if back > 0:
                self.at(back)
        for step in make_loop():
            step.metrics["objective/comparisons"] = float(len(self.known))
            yield step
            if step.number % every == 0 and step.number < total:
                self.at(step.number)
