"""Iterated RLHF: between the steps of a policy's loop the annotators compare its newest answers, and the reward model is
fitted again, from the SFT policy, to all comparisons so far.

A reward model is right about answers like those it was fitted to, and the policy leaves them. Asking people again where it
has come to is how Christiano et al. 2017 (arXiv 1706.03741) trained, Ziegler et al. 2019 (arXiv 1909.08593, "online"), and
Bai et al. 2022 (arXiv 2204.05862, section 4.5), a week at a time. Labelling, fitting and use are given as functions.
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
    """The present reward model, and all comparisons (`known`) that it was fitted to."""

    proxy: Proxy
    known: list[Comparison]
    held_out: float
    """Share of the compared prompts that is never fitted to."""
    ask: Callable[[int], list[Comparison]]
    """step -> comparisons of the policy's answers after that step."""
    fit: Callable[[int, Sequence[Comparison]], Proxy]
    """(step, comparisons) -> a reward model fitted to them, on the reference policy's scale."""
    examine: Callable[[Proxy, Sequence[Comparison]], float | None]
    """Accuracy of a reward model on comparisons, ties left out; None if all are ties."""
    use: Callable[[Proxy], None]
    """Makes a reward model the one that the loop scores with."""
    rows: list[dict[str, Any]] = field(default_factory=list)

    def at(self, step: int) -> None:
        """Get fresh comparisons, fit a new reward model, log the accuracy of both on them, go on with the new one."""
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
        """Go on with this reward model, fitted to `known`, and log the row."""
        self.proxy, self.known = proxy, known
        self.rows.append(row)
        self.use(proxy)

    def between(self, make_loop: Callable[[], Iterator[Step]], state: State, every: int, total: int) -> Iterator[Step]:
        """The loop's steps, with `at` after every `every` of them, but not after the last (`total`)."""
        due = min(state.step, total - 1) // every * every
        for back in (due - every, due):  # a resumed run was through with the first, and maybe with the second
            if back > 0:
                self.at(back)
        for step in make_loop():
            step.metrics["objective/comparisons"] = float(len(self.known))
            yield step
            if step.number % every == 0 and step.number < total:
                self.at(step.number)
