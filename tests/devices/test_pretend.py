"""The pretended device notes what a real one would refuse, and counts what it would cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pretend import Pretended, pretending
from torch import Tensor, nn

CUDA = torch.device("cuda")


def ones() -> Tensor:
    return torch.ones(3, device=CUDA)


FAULTS: dict[str, Callable[[], Any]] = {
    "two devices": lambda: ones() + torch.ones(3),
    "two devices, in place": lambda: ones().add_(torch.ones(3)),
    "two devices, joined": lambda: torch.cat([ones(), torch.ones(3)]),
    "two devices, gathered": lambda: ones().index_select(0, torch.tensor([1])),
    "two devices, a scalar of the device's": lambda: torch.ones(3) * ones().sum(),
    "two devices, backward": lambda: (ones().requires_grad_() * ones()).backward(torch.ones(3)),
    "a tensor of the host's indexed": lambda: torch.ones(3)[torch.zeros(1, dtype=torch.long, device=CUDA)],
    "NumPy": lambda: ones().numpy(),
    "a generator": lambda: torch.rand(3, generator=torch.Generator(), device=CUDA),
}
FINE: dict[str, Callable[[], Any]] = {
    "a scalar of the host's": lambda: ones() * torch.tensor(2.0),
    "a number": lambda: torch.where(ones() > 0, ones(), 0.0),
    "a layer": lambda: nn.Linear(3, 2).to(CUDA)(ones()).sum().backward(),
    "an optimiser": lambda: stepped(nn.Linear(3, 2).to(CUDA)),
    "back again": lambda: ones().cpu().numpy(),
    "like": lambda: torch.zeros_like(ones()) + ones().new_zeros(3),
}
WAITS: dict[str, tuple[int, Callable[[], Any]]] = {
    "launches alone": (0, lambda: (ones() * 2).softmax(-1).sum()),
    "item": (1, lambda: ones().sum().item()),
    "a condition": (1, lambda: bool((ones() > 0).any())),
    "tolist": (1, lambda: ones().tolist()),
    "to the host": (1, lambda: ones().cpu()),
    "a mask": (1, lambda: ones()[ones() > 0]),
    "where": (1, lambda: (ones() > 0).nonzero()),
    "an index of the host's": (1, lambda: ones()[torch.tensor([0])]),
    "a slice": (0, lambda: ones()[1:]),
    "from the host": (1, lambda: torch.ones(3).to(CUDA)),
    "made from numbers": (1, lambda: torch.tensor([1.0], device=CUDA)),
    "pinned": (0, lambda: torch.ones(3).pin_memory().to(CUDA, non_blocking=True)),
    "not pinned": (1, lambda: torch.ones(3).to(CUDA, non_blocking=True)),
}


def stepped(layer: nn.Module) -> None:
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    layer(ones()).sum().backward()
    torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
    optimizer.step()


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_is_noted(what: str) -> None:
    with pretending() as device:
        FAULTS[what]()
    assert any(fault.startswith(what.partition(",")[0]) for fault in device.faults), device.faults


@pytest.mark.parametrize("what", FINE)
def test_what_is_right_is_no_fault(what: str) -> None:
    with pretending() as device:
        FINE[what]()
    assert not device.faults


@pytest.mark.parametrize("what", WAITS)
def test_waits_are_counted(what: str) -> None:
    count, run = WAITS[what]
    with pretending() as device:
        made = ones()  # so that a device that nothing is on doesn't pass
        device.reset()
        run()
    assert device.waited == count, device.waits
    assert len(made) == 3


def test_float64_on_mps() -> None:
    with pretending("mps") as device:
        torch.ones(2, device="mps").double()
        torch.ones(2, dtype=torch.float64, device="mps")
        torch.ones(2, dtype=torch.float64).to("mps")
        assert device.faults.total() >= 3
        device.reset()
        torch.ones(2, device="mps").cpu().double()
        assert not device.faults


def test_numbers_are_those_of_the_host() -> None:
    def loss() -> Tensor:
        torch.manual_seed(0)
        layer = nn.Linear(3, 2).to(place)
        layer(torch.ones(3, device=place)).square().sum().backward()
        assert layer.weight.grad is not None
        return layer.weight.grad.cpu()

    place = torch.device("cpu")
    there = loss()
    with pretending():
        place = CUDA
        assert torch.ones(1, device=place).device == torch.device("cuda", 0)
        assert loss().equal(there)
    assert not torch.cuda.is_available()


def test_a_copy_between_devices_is_counted_once() -> None:
    with pretending() as device:
        here: Pretended = device
        ones().cpu()
        assert (here.to_device, here.to_host) == (0, 1)
