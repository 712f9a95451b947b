"""Attention of packed rows by the package flash-attn (Dao 2023, arXiv 2307.08691), where it is: `runtime.attention`.

torch's own kernels take padded blocks, and a mask where answers follow a shared prompt. This one takes rows of any lengths one
after the other, windows and capped logits included, so nothing is computed for padding. It is CUDA's alone, in bfloat16.
Before it is used it has to give what torch's kernels give, on the device at hand.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trueward import extras, transfers
from trueward.models import precision
from trueward.tracking import beats

Kernel = Callable[..., Tensor]
CLOSE = 0.02  # of mixed values whose size is about 1, in bfloat16

_kernel: Kernel | None = None  # set by `attending_with`


@dataclass(frozen=True)
class Ragged:
    """The real queries and keys of a padded block, as rows one after the other; each row's last query is at its last key."""

    queries: Tensor
    """[Nq], the place of each in the block [n·t]."""
    keys: Tensor
    """[Nk], in [n·keys]."""
    query_starts: Tensor
    """[n + 1], int32: where each row's queries begin, and the end."""
    key_starts: Tensor
    longest: tuple[int, int]
    """The most queries and keys of a row."""


def is_on() -> bool:
    """Whether the packed path attends by this kernel."""
    return _kernel is not None


@contextmanager
def attending_with(kernel: Kernel | None) -> Iterator[None]:
    """Within this scope the packed path attends by this kernel; None: by torch's own."""
    global _kernel
    before, _kernel = _kernel, kernel
    try:
        yield
    finally:
        _kernel = before


def chosen(kind: str, device: torch.device, dtype: torch.dtype) -> Kernel | None:
    """The kernel that `runtime.attention` means here; None for torch's own.

    `ValueError` for "flash" where it can't be: no package, no CUDA, products in float32, or other numbers than torch's.
    """
    if kind == "sdpa":
        return None
    if reason := _missing(device, dtype):
        if kind == "flash":
            raise ValueError(reason)
        return None
    kernel: Kernel = importlib.import_module("flash_attn").flash_attn_varlen_func
    if off := differs(kernel, device, dtype):
        if kind == "flash":
            raise ValueError(f'runtime.attention = "flash": flash-attn gives other numbers than torch here: {off}')
        return None
    return kernel


def _missing(device: torch.device, dtype: torch.dtype) -> str:
    what = 'runtime.attention = "flash"'
    if not extras.is_installed("flash_attn"):
        return str(extras.missing(f"{what} needs flash-attn", "flash"))
    if device.type != "cuda" or dtype is not precision.LOW:
        here = f"{device.type}, {str(dtype).removeprefix('torch.')}"
        return (
            f'{what} needs a CUDA device and products in bfloat16, and here are {here}; "auto" takes torch\'s kernels'
        )
    return ""


def differs(kernel: Kernel, device: torch.device, dtype: torch.dtype) -> str:
    """Why the kernel isn't what torch computes; empty if it is, on rows of several lengths, in a window too."""
    draw = torch.Generator().manual_seed(0)
    heads, kv_heads, size = 4, 2, 64
    block = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    q, k, v = (torch.randn(2, h, 5, size, generator=draw).to(device, dtype) for h in (heads, kv_heads, kv_heads))
    here = ragged(block, block, device)
    at = torch.arange(5, device=device)
    for window in (None, 2):
        near = (
            at[None] <= at[:, None] if window is None else (at[None] <= at[:, None]) & (at[None] > at[:, None] - window)
        )
        try:
            found = attend(q, k, v, here, size**-0.5, window, None, kernel=kernel)
        except (RuntimeError, TypeError, ValueError) as error:
            return " ".join(str(error).split())
        keys, values = (x.repeat_interleave(heads // kv_heads, 1).float() for x in (k, v))
        wanted = F.scaled_dot_product_attention(q.float(), keys, values, attn_mask=near, scale=size**-0.5)
        inside = torch.from_numpy(block).to(device)[:, None, :, None]
        off = float(((found.float() - wanted) * inside).abs().max())
        if not off < CLOSE:
            return f"{off:.3f} off" + (" in a window" if window else "")
    return ""


def ragged(queries: NDArray[np.bool_], keys: NDArray[np.bool_], device: torch.device) -> Ragged:
    """The real places of a block [n, t] and of its keys [n, keys], in order."""
    counts = queries.sum(1), keys.sum(1)
    starts = [np.concatenate([[0], np.cumsum(count)]).astype(np.int32) for count in counts]
    places = [part.ravel().nonzero()[0] for part in (queries, keys)]
    moved = transfers.moved_together(
        [torch.from_numpy(np.ascontiguousarray(x, np.int64)) for x in (*places, *starts)], device
    )
    return Ragged(moved[0], moved[1], moved[2].int(), moved[3].int(), (int(counts[0].max()), int(counts[1].max())))


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rows: Ragged,
    scale: float,
    window: int | None,
    cap: float | None,
    kernel: Kernel | None = None,
) -> Tensor:
    """As fast/attention.py's, q [n, heads, t, size], k and v [n, kv heads, keys, size]; 0 at places that are no query.

    Each query attends to the keys up to its own, the last query of a row to its last key; window: to so many of them at most.
    """
    kernel = kernel or _kernel
    assert kernel is not None, "chosen() comes first"
    beats.attention(lambda: "flash-attn")
    count, heads, length, size = q.shape
    more: dict[str, Any] = {} if cap is None else {"softcap": cap}
    if window is not None:
        more["window_size"] = (window - 1, 0)
    mixed = kernel(
        _rows(q, rows.queries),
        _rows(k, rows.keys),
        _rows(v, rows.keys),
        rows.query_starts,
        rows.key_starts,
        *rows.longest,
        softmax_scale=scale,
        causal=True,
        deterministic=True,
        **more,
    )
    padded = mixed.new_zeros(count * length, heads, size).index_copy(0, rows.queries, mixed)
    return padded.view(count, length, heads, size).transpose(1, 2)


def _rows(x: Tensor, at: Tensor) -> Tensor:
    """[n, heads, t, size] -> those at [N] of its n·t rows, [N, heads, size]."""
    return x.transpose(1, 2).reshape(-1, x.shape[1], x.shape[3]).index_select(0, at)
