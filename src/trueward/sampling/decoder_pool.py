"""Reuse of the last decoder while its model's weights are unchanged: laying them out costs as much as several tokens."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

Weights = tuple[tuple[int, int, int], ...]


def weights(model: torch.nn.Module) -> Weights:
    """The identity of a model's tensors, and how often each has been written to (torch counts it for autograd)."""
    return tuple((id(p), p.data_ptr(), p._version) for p in model.parameters())


class DecoderPool:
    """Holds one decoder, or none. It is taken out while it's used, so that two never use the same."""

    _model: weakref.ref[torch.nn.Module] | None
    _what: tuple[str, Weights] | None
    _decoder: Any

    def __init__(self) -> None:
        self.forget()
        ALL.add(self)

    def take(self, model: torch.nn.Module, quantize: str) -> Any:
        """The decoder of this model with its present weights, which leaves the pool; None if there is none."""
        if self._model is None or self._model() is not model or self._what != (quantize, weights(model)):
            return None
        found = self._decoder
        self.forget()
        return found

    def put(self, model: torch.nn.Module, quantize: str, decoder: Any) -> None:
        """Hold a decoder until another replaces it, its model is freed or an optimiser steps. Outside of
        `forgotten_after_steps` nothing is held: a fused optimiser's steps leave the tensors' versions as they are, so a
        stale decoder would go unnoticed."""
        if not _watching:
            return
        self._model = weakref.ref(model, lambda _: self.forget())
        self._what, self._decoder = (quantize, weights(model)), decoder

    def forget(self) -> None:
        """Drop the decoder."""
        self._model = self._what = self._decoder = None


ALL: weakref.WeakSet[DecoderPool] = weakref.WeakSet()
_watching: list[object] = []  # the hooks of the scopes that are open


@contextmanager
def forgotten_after_steps() -> Iterator[None]:
    """Within this scope every optimiser step drops all decoders: they are stale then, and their memory is needed."""

    def forget(*_: Any) -> None:
        for pool in tuple(ALL):
            pool.forget()

    handle = register_optimizer_step_post_hook(forget)
    _watching.append(handle)
    try:
        yield
    finally:
        handle.remove()
        _watching.remove(handle)
        forget()
