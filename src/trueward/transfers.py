"""Copies between the host's memory and an accelerator's: few, many tensors at once, and without waiting where that can be.

Launching work on an accelerator takes the host no time; waiting for a result stops both until it is there. So lengths, token
ids and row numbers stay on the host, and what is read back is read together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def moved(x: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host's on `device`; itself if that is the host. CUDA copies it while the host goes on."""
    if device.type == "cpu":
        return x
    if device.type == "cuda":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


def moved_together(parts: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Several tensors of the host's, of one type and any shapes, on `device` in one copy."""
    if device.type == "cpu":
        return list(parts)
    whole = moved(torch.cat([part.reshape(-1) for part in parts]), device)
    pieces = whole.split([part.numel() for part in parts])
    return [piece.view(part.shape) for piece, part in zip(pieces, parts, strict=True)]


def read(parts: Sequence[Tensor]) -> list[Tensor]:
    """Several tensors of any types and shapes in the host's memory, without gradient, in one copy: one wait."""
    parts = [part.detach() for part in parts]
    if all(part.device.type == "cpu" for part in parts):
        return parts
    raw = [part.contiguous().view(-1).view(torch.uint8) for part in parts]
    whole = torch.cat(raw).cpu()
    pieces = whole.split([len(piece) for piece in raw])
    # a copy of its own each: a view of another type needs a beginning that fits that type
    return [piece.clone().view(part.dtype).view(part.shape) for piece, part in zip(pieces, parts, strict=True)]
