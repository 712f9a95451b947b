"""Measures where the time of a run goes, by beat.

A clock is always in one beat. Sampling is `act`; scoring and every forward pass without a gradient is `judge`; from a loop's
first pass with a gradient to its last optimiser step is `learn`; between the two is `credit`; the time until the next step
begins, logs and checkpoints, is `hand over`; an evaluation is `evaluate`; everything outside a loop and these is `rest`. So
the beats add up to the whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from trueward.batches import Step
from trueward.tracking.beats import Watcher

BEATS = ("act", "judge", "credit", "learn", "hand over", "evaluate", "rest")
WORK = ("act", "judge", "learn", "evaluate")  # the beats in which networks compute


@dataclass
class Counts:
    """Times and counts of one stage."""

    stage: str
    seconds: float = 0.0
    beats: dict[str, float] = field(default_factory=lambda: dict.fromkeys(BEATS, 0.0))
    steps: int = 0
    total: int = 0  # steps that the recipe asks for
    forwards: int = 0  # passes of a network without a gradient, outside the sampler
    trained: int = 0  # passes with one
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WORK, 0))  # needed
    computed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WORK, 0))  # padding included
    flops: dict[str, float] = field(default_factory=lambda: dict.fromkeys(WORK, 0.0))  # of products and attention
    attention: dict[str, int] = field(
        default_factory=dict
    )  # attentions of the fast paths by the kernel that torch took
    written: int = 0  # tokens that the sampler drew
    decodes: int = 0  # its steps
    read: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(WORK, 0.0)
    )  # bytes of weights that decoding read


class Clock(Watcher):
    """Seconds, operations and counts by beat, of the stage that is running."""

    def __init__(self, now: Callable[[], float] = time.perf_counter, flops: Callable[[], int] = lambda: 0) -> None:
        """now: seconds. flops: the operations so far, if they are counted."""
        self.now, self.flops = now, flops
        self.stages: list[Counts] = []
        self.counts = Counts("")
        self.beat, self.since, self.computed, self.stepped = "rest", now(), flops(), 0.0
        self.held = 0  # how many beats of `during` are open
        self.draws = False  # whether the sampler is running
        self.trunk: Any = None  # the transformers network whose pass is running
        self.before = ""  # the beat to go back to after this pass

    def begin(self, beat: str) -> None:
        """Begin a beat, and end the present one."""
        at, computed = self.now(), self.flops()
        self.counts.beats[self.beat] += at - self.since
        self.counts.flops[self.beat if self.beat in WORK else "judge"] += computed - self.computed
        self.beat, self.since, self.computed = beat, at, computed

    @contextmanager
    def during(self, beat: str) -> Iterator[None]:
        """A beat inside another one; beats inside it are counted as it."""
        drew, self.draws = self.draws, self.draws or beat == "act"
        before = self.beat
        if not self.held:
            self.begin(beat)
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1
            self.draws = drew
            if not self.held:
                self.begin(before)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage under its name."""
        self.counts = Counts(name)
        self.beat, self.since, self.computed = "rest", self.now(), self.flops()
        started = self.since
        try:
            yield
        finally:
            self.begin("rest")
            self.counts.seconds = self.since - started
            self.stages.append(self.counts)

    def loop(self, steps: Iterator[Step], total: int) -> Iterator[Step]:
        """The steps of a training loop, timed. total: steps that the recipe asks for."""
        self.counts.total += total
        self.begin("credit")
        for step in steps:
            self.begin("hand over")
            late = self.since - self.stepped if self.stepped else 0.0
            self.counts.beats["learn"] -= late  # the time since the last optimiser step
            self.counts.beats["hand over"] += late
            self.counts.steps += 1
            yield step
            self.stepped = 0.0
            self.begin("credit")
        self.begin("rest")

    def work(self, learns: bool = False) -> str:
        """The kind of work that tokens are counted for."""
        return "evaluate" if self.beat == "evaluate" else "act" if self.draws else "learn" if learns else "judge"

    @contextmanager
    def forward(self, tokens: int) -> Iterator[None]:
        """A forward pass of the packed path of training, which has no padding."""
        learns = torch.is_grad_enabled()
        kind = self.work(learns)
        self.counts.computed[kind] += tokens
        self.counts.tokens[kind] += tokens
        before = self._enter(learns)
        try:
            yield
        finally:
            self._leave(before)

    def attention(self, kernel: Callable[[], str]) -> None:
        """An attention of the fast paths is counted by its kernel."""
        name = kernel()
        self.counts.attention[name] = self.counts.attention.get(name, 0) + 1

    def _enter(self, learns: bool) -> str:
        """A pass begins; returns the beat to go back to after it, "" after a pass with a gradient, which `learn` follows."""
        self.counts.trained += learns
        self.counts.forwards += not learns
        before = "" if learns or self.held else self.beat
        if not self.held:
            self.begin("learn" if learns else "judge")
        return before

    def _leave(self, before: str) -> None:
        if before:
            self.begin(before)

    def decoding(self, decoder: Any, model: Any, quantize: str) -> Any:
        """A decoder whose work is counted. quantize: the precision of its weights."""
        size = {"int8": 1.0, "bfloat16": 2.0}.get(quantize, 4.0)
        return CountingDecoder(decoder, model, self, size)

    def before_pass(self, module: Any, inputs: tuple[Any, ...]) -> None:
        """A hook of torch's before a pass of transformers' modules. While the sampler runs, its decoder counts instead."""
        if self.draws:
            return
        if isinstance(module, PreTrainedModel):
            if module.base_model is module:
                self.trunk, self.before = module, self._enter(torch.is_grad_enabled())
        elif self.trunk is not None and module is self.trunk.get_input_embeddings():
            ids, pad, kind = inputs[0], self.trunk.config.pad_token_id, self.work(torch.is_grad_enabled())
            self.counts.computed[kind] += ids.numel()
            self.counts.tokens[kind] += ids.numel() if pad is None else int((ids != pad).sum())

    def after_pass(self, module: Any, *_: Any) -> None:
        """A hook of torch's after a pass, or after one that failed."""
        if module is self.trunk:
            self.trunk = None
            self._leave(self.before)

    def after_step(self, *_: Any) -> None:
        """A hook after an optimiser's step."""
        self.stepped = self.now()


class CountingDecoder:
    """A decoder that counts tokens, steps and the bytes of the weights that they read."""

    def __init__(self, inner: Any, model: Any, clock: Clock, size: float = 4.0) -> None:
        """size: bytes of a weight."""
        self.inner, self.clock, self.size = inner, clock, size
        self.refills = inner.refills
        sizes = {id(p): p.numel() for p in model.parameters()}
        known = model.get_input_embeddings().weight if hasattr(model, "get_input_embeddings") else None
        head = model.lm_head.weight if hasattr(model, "lm_head") else None
        self.head = 0 if head is None else head.numel()
        self.body = sum(n for i, n in sizes.items() if i not in (id(known), id(head)))
        self.own = type(inner).__name__ != "GeneralDecoder"  # the general path pads

    def start(self, rows: int, width: int) -> None:
        """As the decoder."""
        self.inner.start(rows, width)

    def prefill(self, at: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """As the decoder, counted."""
        needed = int(lengths.sum())
        self._count(needed, needed if self.own else ids.numel(), len(ids))
        out: Tensor = self.inner.prefill(at, ids, lengths)
        return out

    def step(self, ids: Tensor, positions: Tensor, width: int) -> Tensor:
        """As the decoder, counted."""
        self._count(len(ids), len(ids), len(ids))
        self.clock.counts.decodes += 1
        self.clock.counts.read[self.clock.work()] += self.size * (self.body + self.head)
        out: Tensor = self.inner.step(ids, positions, width)
        return out

    def keep(self, rows: Tensor) -> None:
        """As the decoder."""
        self.inner.keep(rows)

    def _count(self, needed: int, computed: int, chosen: int) -> None:
        counts, kind = self.clock.counts, self.clock.work()
        counts.tokens[kind] += needed
        counts.computed[kind] += computed
        counts.written += chosen
