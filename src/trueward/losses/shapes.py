"""Shapes of a loss's arguments. Broadcasting would make 3 × 3 of [3] and [3, 1] without a word, so it is refused."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def require(shape: Sequence[int], *tensors: Tensor | float, rank: int | None = None) -> None:
    """Assert that every tensor has this shape, and that the shape has `rank` dimensions if that is given.

    Plain numbers have no shape and pass. Nothing is read but `.shape`: no kernel, no synchronisation with a GPU.
    """
    assert rank is None or len(shape) == rank, f"expected {rank} dimensions, got {list(shape)}"
    for tensor in tensors:
        if isinstance(tensor, Tensor):
            assert tensor.shape == shape, f"expected {list(shape)}, got {list(tensor.shape)}"
