"""Marks of what a run is doing, for torch's profiler and `trueward profile`.

Each beat is a span in a trace of torch's profiler, by the name `trueward/act` and so on (`record_function`), and is
reported to the watcher of the process, if there is one. Nothing that a run does depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch.profiler import record_function

from trueward.batches import Step


class Watcher:
    """The interface that receives the marks. This one ignores them."""

    def during(self, beat: str) -> AbstractContextManager[None]:
        """A beat that runs as long as the scope is open: `act`, `judge` or `evaluate`."""
        return nullcontext()

    def forward(self, tokens: int) -> AbstractContextManager[None]:
        """A pass of the fast path over `tokens` tokens, without padding, as long as the scope is open."""
        return nullcontext()

    def loop(self, steps: Iterator[Step], total: int) -> Iterator[Step]:
        """A training loop's steps; total: how many the recipe asks for."""
        return steps

    def attention(self, kernel: Callable[[], str]) -> None:
        """An attention of the fast paths; kernel: finds out the name of torch's kernel."""

    def decoding(self, decoder: Any, model: Any, quantize: str) -> Any:
        """The sampler's decoder of a model: the same one, or one around it."""
        return decoder


_watcher = Watcher()


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Within this scope the watcher receives the marks of this process; afterwards the one before it does."""
    global _watcher
    before, _watcher = _watcher, watcher
    try:
        yield
    finally:
        _watcher = before


@contextmanager
def beat(name: str) -> Iterator[None]:
    """Marks what runs in this scope as the beat `name`."""
    with record_function(f"trueward/{name}"), _watcher.during(name):
        yield


@contextmanager
def forward(tokens: int) -> Iterator[None]:
    """Marks what runs in this scope as a pass of the fast path over so many tokens."""
    with record_function("trueward/forward"), _watcher.forward(tokens):
        yield


def loop(steps: Iterator[Step], total: int) -> Iterator[Step]:
    """A training loop's steps, seen by the watcher."""
    return _watcher.loop(steps, total)


def attention(kernel: Callable[[], str]) -> None:
    """An attention of the fast paths, seen by the watcher."""
    _watcher.attention(kernel)


def decoding(decoder: Any, model: Any, quantize: str) -> Any:
    """The decoder to sample with, seen by the watcher."""
    return _watcher.decoding(decoder, model, quantize)
