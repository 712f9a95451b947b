"""Every way to make a matrix product, against F.linear."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trueward.sampling import linear_kernels
from trueward.sampling.linear_kernels import Bfloat16, Int8, Packed, Transposed, linear_kernel


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", [Transposed, Packed])
@pytest.mark.parametrize("with_bias", [False, True])
def test_float_products_are_those_of_linear(kind: type, with_bias: bool) -> None:
    weight, bias, x = numbers(33, 20), numbers(33, seed=1) if with_bias else None, numbers(2, 7, 20, seed=2)
    made = kind(weight, bias)
    torch.testing.assert_close(made(x), F.linear(x, weight, bias), rtol=0, atol=1e-5)
    other = numbers(7, 33, seed=3)
    expected = other + F.linear(x[0], weight, bias)
    torch.testing.assert_close(made.onto(x[0], other.clone()), expected, rtol=0, atol=1e-5)


def test_large_matrices_are_packed_where_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    large = numbers(600, 600)
    assert Packed.is_there() == isinstance(linear_kernel(large), Packed)
    assert isinstance(linear_kernel(numbers(8, 8)), Transposed)
    assert isinstance(linear_kernel(large.double()), Transposed)
    monkeypatch.setattr(Packed, "is_there", lambda: False)
    assert isinstance(linear_kernel(large), Transposed)


def test_operators_that_are_gone_or_lie_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*arguments: object) -> None:
        raise AttributeError("no such operator")

    for found in (gone, lambda x, *rest: torch.ones(len(x), 5)):
        monkeypatch.setattr(linear_kernels, "_packed_linear", found)
        monkeypatch.setattr(linear_kernels, "_int8_linear", found)
        assert not Packed.is_there.__wrapped__()
        assert not Int8.is_there.__wrapped__()
        assert not Bfloat16.is_there.__wrapped__()


@pytest.mark.parametrize("rows", [1, 5, 63, 64, 90])
@pytest.mark.parametrize("fast", [True, False])
def test_whole_numbers_by_hand(rows: int, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both digits of x, each row's step, and the weights' steps; summed in float64."""
    if not fast:
        monkeypatch.setattr(Int8, "is_there", staticmethod(lambda: False))
    weight, bias, x = numbers(9, 40), numbers(9, seed=1), 3 * numbers(rows, 40, seed=2)
    made = Int8(weight, bias)
    assert made.fast == (fast and Int8.is_there())  # else what every processor can
    rough = weight.abs().amax(1, keepdim=True) / 127
    digits = (weight / rough).round().double() * rough.double()
    step = x.abs().amax(1, keepdim=True) / 127
    first = (x / step).trunc()
    second = ((x / step - first) * 127).trunc()
    expected = (first.double() + second.double() / 127) * step.double() @ digits.T + bias.double()
    torch.testing.assert_close(made(x).double(), expected, rtol=0, atol=2e-5)
    assert (made(x) - F.linear(x, weight, bias)).abs().max() > 1e-4, "quantised indeed"
    other = numbers(rows, 9, seed=3)
    torch.testing.assert_close(made.onto(x, other.clone()), other + made(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_by_hand(fast: bool, with_bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides rounded, summed in float64, the sum rounded: at most one unit in the last of its 8 bits beside it."""
    if not fast:
        monkeypatch.setattr(Bfloat16, "is_there", staticmethod(lambda: False))
    weight, x, other = numbers(33, 40), numbers(2, 7, 40, seed=2), numbers(7, 33, seed=3)
    bias = numbers(33, seed=1) if with_bias else None
    made = Bfloat16(weight, bias)
    assert made.fast == (fast and Bfloat16.is_there())
    exact = x.bfloat16().double() @ weight.bfloat16().double().T
    if bias is not None:
        exact = exact.bfloat16().double() + bias.double()
    found = made(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, rtol=2**-7, atol=2**-9)
    assert (found.float() - F.linear(x, weight, bias)).abs().max() > 1e-3, "coarser indeed"
    summed = made.onto(x[0], other.clone())
    assert summed.dtype == torch.float32, "what is added up over the layers stays fine"
    torch.testing.assert_close(summed, other + made(x[0]).float(), rtol=0, atol=1e-6)


def test_rows_of_zeros_and_rows_that_are_not_numbers() -> None:
    made = Int8(torch.cat([numbers(3, 8), torch.zeros(1, 8)]))
    x = torch.stack([torch.zeros(8), torch.full((8,), torch.nan), numbers(8)])
    out = made(x)
    assert (out[0] == 0).all()
    assert out[1].isnan().any(), "a number that is none is not hidden"
    assert out[2].isfinite().all()
    assert out[2, 3] == 0
