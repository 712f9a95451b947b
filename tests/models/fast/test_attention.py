"""Attention of the fast paths: the numbers of a softmax by hand, no grouped heads where CUDA's kernels lack them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trueward.models.fast import attention
from trueward.tracking.beats import Watcher, watched_by


class Kernels(Watcher):
    def __init__(self) -> None:
        self.names: list[str] = []

    def attention(self, kernel: Callable[[], str]) -> None:
        self.names.append(kernel())


def by_hand(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
    times = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(times, 1), v.repeat_interleave(times, 1)
    return (q @ k.transpose(2, 3) * scale + mask).softmax(-1) @ v


class Elsewhere(torch.Tensor):
    """A tensor that says it's on CUDA."""

    @property
    def device(self) -> Any:  # type: ignore[override]
        return torch.device("cuda")


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("cuda", [True, False])
def test_by_hand(kv_heads: int, masked: bool, cuda: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(0)
    q = torch.randn(2, 4, 5, 8, generator=draw)
    k, v = (torch.randn(2, kv_heads, 5, 8, generator=draw) for _ in range(2))
    causal = torch.zeros(5, 5).masked_fill(~torch.ones(5, 5, dtype=torch.bool).tril(), -torch.inf)
    mask = causal[None, None].expand(2, 1, 5, 5).clone()
    grouped: list[bool] = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def watched(*args: Any, enable_gqa: bool, **kwargs: Any) -> Tensor:
        grouped.append(enable_gqa)
        return plain(
            *(a.as_subclass(Tensor) if isinstance(a, Tensor) else a for a in args), enable_gqa=enable_gqa, **kwargs
        )

    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", watched)
    asked = q.as_subclass(Elsewhere) if cuda else q
    found = attention.attend(asked, k, v, mask if masked else None, 0.3)
    torch.testing.assert_close(found, by_hand(q, k, v, mask, 0.3), rtol=1e-5, atol=1e-6)
    assert grouped == [kv_heads < 4 and not cuda]


def test_the_kernel_is_told_to_who_watches() -> None:
    kernels = Kernels()
    q = torch.randn(1, 2, 3, 8)
    with watched_by(kernels):
        attention.attend(q, q, q, None, 1.0)
        attention.attend(q.double(), q.double(), q.double(), None, 1.0)
    attention.attend(q, q, q, None, 1.0)
    assert len(kernels.names) == 2
    assert set(kernels.names) <= set(attention.KERNELS.values())


def test_capped_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernel of torch's caps logits, so it's written out, and said so."""
    draw = torch.Generator().manual_seed(0)
    q, mask = torch.randn(2, 4, 3, 8, generator=draw), torch.zeros(2, 1, 3, 3)
    mask[1, :, 2, 0] = -torch.inf
    k, v = (torch.randn(2, 2, 3, 8, generator=draw) for _ in range(2))
    said: list[str] = []
    monkeypatch.setattr(attention.beats, "attention", lambda kernel: said.append(kernel()))
    for given in (None, mask):
        found = attention.attend(q, k, v, given, 0.5, 0.7)
        logits = 0.7 * (q @ k.repeat_interleave(2, 1).mT * 0.5 / 0.7).tanh()
        hidden = torch.full((3, 3), -torch.inf).triu(1) if given is None else given
        expected = (logits + hidden).softmax(-1) @ v.repeat_interleave(2, 1)
        torch.testing.assert_close(found, expected)
    assert said == ["capped"] * 2
    assert attention.capped(q, None) is q
