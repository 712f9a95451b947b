"""The decoder made last, while its model's weights are what they were: to lay them out takes as long as some tokens."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

Weights = tuple[tuple[int, int, int], ...]


def weights(model: torch.nn.Module) -> Weights:
    """Which tensors a model consists of, and how often each has been written to (torch counts it for autograd)."""
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
        """The decoder of this model as it is now; None if there isn't one. It is out then."""
        if self._model is None or self._model() is not model or self._what != (quantize, weights(model)):
            return None
        found = self._decoder
        self.forget()
        return found

    def put(self, model: torch.nn.Module, quantize: str, decoder: Any) -> None:
        """Keep it until another one comes, or the model goes, or anything learns: then it's stale, and memory is dear."""
        self._model = weakref.ref(model, lambda _: self.forget())
        self._what, self._decoder = (quantize, weights(model)), decoder

    def forget(self) -> None:
        """Let it go."""
        self._model = self._what = self._decoder = None


ALL: weakref.WeakSet[DecoderPool] = weakref.WeakSet()


def _after_learning(*_: Any) -> None:
    for pool in tuple(ALL):
        pool.forget()


register_optimizer_step_post_hook(_after_learning)
