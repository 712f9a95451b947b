"""Where the time of a run goes, by beat: nothing in the loops knows of it.

A clock is always in one beat. Sampling is `act`; scoring and every pass without a gradient is `judge`; from a loop's first
pass with a gradient to its last optimiser step is `learn`; between the two is `credit`; what follows until the next step
begins, logs and checkpoints, is `hand over`; an evaluation is `evaluate`; what is in no loop and in none of these is
`rest`. So the beats add up to the whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from trueward.batches import Step

BEATS = ("act", "judge", "credit", "learn", "hand over", "evaluate", "rest")
WORK = ("act", "judge", "learn", "evaluate")  # the beats in which networks compute


@dataclass
class Counts:
    """What one stage did."""

    stage: str
    seconds: float = 0.0
    beats: dict[str, float] = field(default_factory=lambda: dict.fromkeys(BEATS, 0.0))
    steps: int = 0
    total: int = 0  # steps that the recipe asks for
    forwards: int = 0  # passes of a network without a gradient, outside the sampler
    trained: int = 0  # passes with one
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WORK, 0))  # needed
    computed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WORK, 0))  # padding included
    products: dict[str, float] = field(default_factory=lambda: dict.fromkeys(WORK, 0.0))  # FLOP
    written: int = 0  # tokens that the sampler drew
    decodes: int = 0  # its steps
    read: dict[str, float] = field(default_factory=lambda: dict.fromkeys(WORK, 0.0))  # bytes of weights, by those


class Clock:
    """Seconds by beat, and counts, of the stage that is being run."""

    def __init__(self, steps: int, now: Callable[[], float] = time.perf_counter) -> None:
        self.most, self.now = steps, now
        self.stages: list[Counts] = []
        self.counts = Counts("")
        self.beat, self.since, self.stepped = "rest", now(), 0.0
        self.held = 0  # beats that hold on to their name, whatever happens inside
        self.draws = False  # whether the sampler is at work
        self.trunk: Any = None  # the network that a pass is in
        self.before = ""  # the beat that a pass without a gradient stands in
        self.packed = False  # whether a pass of the fast path is at work, whose products are counted whole

    def begin(self, beat: str) -> None:
        """The beat that runs from now on."""
        at = self.now()
        self.counts.beats[self.beat] += at - self.since
        self.beat, self.since = beat, at

    @contextmanager
    def during(self, beat: str) -> Iterator[None]:
        """A beat inside another one; while one runs, others inside it are not told apart."""
        if self.held:
            yield
            return
        before = self.beat
        self.begin(beat)
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1
            self.begin(before)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.counts = Counts(name)
        self.beat, self.since = "rest", self.now()
        started = self.since
        try:
            yield
        finally:
            self.begin("rest")
            self.counts.seconds = self.since - started
            self.stages.append(self.counts)

    def loop(self, steps: Iterator[Step]) -> Iterator[Step]:
        """The first steps of a training loop."""
        self.begin("credit")
        for step in islice(steps, self.most):
            self.begin("hand over")
            late = self.since - self.stepped if self.stepped else 0.0
            self.counts.beats["learn"] -= late  # what came after the last optimiser step
            self.counts.beats["hand over"] += late
            self.counts.steps += 1
            yield step
            self.stepped = 0.0
            self.begin("credit")
        self.begin("rest")

    def work(self, learns: bool = False) -> str:
        """What a product counts for."""
        return "evaluate" if self.beat == "evaluate" else "act" if self.draws else "learn" if learns else "judge"

    def before_packed(self, model: Any, tokens: int) -> None:
        """A pass of the fast path of training, which pads nothing. Products are those of its layers with every token."""
        learns = torch.is_grad_enabled()
        kind, counts = self.work(learns), self.counts
        counts.trained += learns
        counts.forwards += not learns
        counts.computed[kind] += tokens
        counts.tokens[kind] += tokens
        body = sum(p.numel() for layer in model.base_model.layers for p in layer.parameters() if p.ndim == 2)
        counts.products[kind] += 2.0 * body * tokens * (3 if learns else 1)
        if not self.held:
            self.before = "" if learns else self.beat
            self.begin("learn" if learns else "judge")

    def after_packed(self) -> None:
        if self.before:
            self.begin(self.before)
            self.before = ""

    def before_head(self, weight: Tensor, rows: int) -> None:
        """Logits where a token was chosen."""
        learns = torch.is_grad_enabled()
        self.counts.products[self.work(learns)] += 2.0 * weight.numel() * rows * (3 if learns else 1)

    def before_pass(self, module: Any, inputs: tuple[Any, ...]) -> None:
        if self.packed:
            return
        learns = torch.is_grad_enabled()
        if isinstance(module, PreTrainedModel):
            if module.base_model is not module or self.draws:
                return
            self.trunk = module
            self.counts.trained += learns
            self.counts.forwards += not learns
            if not self.held:
                self.before = "" if learns else self.beat
                self.begin("learn" if learns else "judge")
        elif isinstance(module, torch.nn.Linear) and inputs:
            rows = inputs[0].numel() / module.in_features
            product = 2.0 * rows * module.in_features * module.out_features
            # Backward: once for the input's gradient, once for the weights'.
            self.counts.products[self.work(learns)] += product * (3 if learns else 1)
        elif self.trunk is not None and module is self.trunk.get_input_embeddings():
            ids, pad, kind = inputs[0], self.trunk.config.pad_token_id, self.work(learns)
            self.counts.computed[kind] += ids.numel()
            self.counts.tokens[kind] += ids.numel() if pad is None else int((ids != pad).sum())

    def after_pass(self, module: Any, *_: Any) -> None:
        if module is self.trunk:
            self.trunk = None
            if self.before:
                self.begin(self.before)
                self.before = ""

    def after_step(self, *_: Any) -> None:
        self.stepped = self.now()


class CountingDecoder:
    """A decoder that counts. Products are those of its weights with every token, and of its head where one is chosen."""

    def __init__(self, inner: Any, model: Any, clock: Clock, size: float = 4.0) -> None:
        self.inner, self.clock, self.size = inner, clock, size
        self.refills = inner.refills
        sizes = {id(p): p.numel() for p in model.parameters()}
        known = model.get_input_embeddings().weight if hasattr(model, "get_input_embeddings") else None
        head = model.lm_head.weight if hasattr(model, "lm_head") else None
        self.head = 0 if head is None else head.numel()
        self.body = sum(n for i, n in sizes.items() if i not in (id(known), id(head)))
        self.own = type(inner).__name__ != "GeneralDecoder"  # the general path's products are seen as modules

    def start(self, rows: int, width: int) -> None:
        self.inner.start(rows, width)

    def prefill(self, at: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        needed = int(lengths.sum())
        self._count(needed, needed if self.own else ids.numel(), len(ids))  # the general path pads
        out: Tensor = self.inner.prefill(at, ids, lengths)
        return out

    def step(self, ids: Tensor, positions: Tensor) -> Tensor:
        self._count(len(ids), len(ids), len(ids))
        self.clock.counts.decodes += 1
        self.clock.counts.read[self.clock.work()] += self.size * (self.body + self.head)
        out: Tensor = self.inner.step(ids, positions)
        return out

    def keep(self, rows: Tensor) -> None:
        self.inner.keep(rows)

    def _count(self, needed: int, computed: int, chosen: int) -> None:
        counts, kind = self.clock.counts, self.clock.work()
        counts.tokens[kind] += needed
        counts.computed[kind] += computed
        counts.written += chosen
        if self.own:
            counts.products[kind] += 2.0 * (self.body * computed + self.head * chosen)
