"""A device that isn't there: real loops run on the CPU's numbers while tensors claim to be on it.

A `TorchFunctionMode` answers `.device`, `.to` and factories; a `TorchDispatchMode` keeps each storage's claim and follows it
through every operator, backward passes included. What a real device would refuse is noted (`faults`): two devices in one
operator, NumPy of a device's tensor, a generator or an index on the wrong side, an operator that only the CPU has, float64 on
MPS. What it would cost is counted: launches, copies, and the times that the host waits.

It can't know which operators lack a kernel on a real device, nor how its kernels round.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from trueward.models import precision

CPU = torch.device("cpu")
FACTORY_NAMES = (
    "zeros", "ones", "empty", "full", "arange", "tensor", "as_tensor", "rand", "randn", "randperm", "randint", "linspace",
    "eye", "empty_strided", "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "scalar_tensor",
)  # fmt: skip
FACTORIES = {getattr(torch, name) for name in FACTORY_NAMES}
FROM_HOST = (torch.tensor, torch.as_tensor)
INDEXED = (
    "aten.index.Tensor",
    "aten._unsafe_index.Tensor",
    "aten.index_put",
    "aten._index_put_impl_",
    "aten._unsafe_index_put",
)
COPIES = ("aten.copy_", "aten._to_copy", "aten._foreach_copy")
COUNTED = (  # their result's shape is known only when it is there
    "aten.nonzero", "aten.masked_select", "aten._unique", "aten.unique", "aten.repeat_interleave.Tensor", "aten.equal.",
    "aten.bincount", "aten._local_scalar_dense",
)  # fmt: skip
ONLY_CPU = ("mkldnn", "onednn", "quantized", "mkl")
VIEWS = (
    "view", "reshape", "select.int", "slice.", "transpose", "permute", "expand", "unsqueeze", "squeeze", "aten.t.", "detach",
    "alias", "split", "unbind", "as_strided", "narrow", "chunk", "unflatten", "aten.real", "diagonal", "is_pinned",
    "lift_fresh",
)  # fmt: skip


def where() -> str:
    """The line of trueward that is running, or else the nearest one outside of torch."""
    frame: Any = sys._getframe(1)
    nearest = ""
    while frame is not None:
        name = frame.f_code.co_filename
        if "/trueward/" in name and "/tests/" not in name:
            return f"{name.split('/trueward/')[-1]}:{frame.f_lineno}"
        if not nearest and "/torch/" not in name and name != __file__:
            nearest = f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return nearest


class Kind(NamedTuple):
    """What is to know of an operator."""

    name: str
    indexes: bool
    copies: bool
    waits: bool
    only_cpu: bool
    is_view: bool


@cache
def kind_of(func: Any) -> Kind:
    name = str(func)
    return Kind(
        name,
        name.startswith(INDEXED),
        name.startswith(COPIES),
        name.startswith(COUNTED),
        name.partition(".")[0] in ONLY_CPU,
        any(view in name for view in VIEWS),
    )


def leaves(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among an operator's arguments or results."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from leaves(value)


class Pretended:
    """The claims, the faults that were noted and the counts."""

    def __init__(self, kind: str) -> None:
        self.device = torch.device(kind, 0)
        self.claims: dict[int, tuple[torch.device, StorageWeakRef, bool]] = {}
        self.reset()

    def reset(self) -> None:
        self.faults: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.to_device = self.to_host = self.launches = 0

    @property
    def waited(self) -> int:
        return sum(self.waits.values())

    def claim(self, x: Any, device: torch.device, pinned: bool = False) -> Any:
        if isinstance(x, Tensor):
            storage = x.untyped_storage()
            self.claims[storage._cdata] = (device, StorageWeakRef(storage), pinned)
        return x

    def entry(self, x: Tensor) -> tuple[torch.device, Any, bool]:
        found = self.claims.get(x.untyped_storage()._cdata)
        return (CPU, None, False) if found is None or found[1].expired() else found

    def of(self, x: Tensor) -> torch.device:
        return self.entry(x)[0]

    def there(self, x: Any) -> bool:
        return isinstance(x, Tensor) and self.of(x) == self.device

    def names(self, device: Any) -> bool:
        """Whether a device that was asked for is this one."""
        return device is not None and torch.device(device).type == self.device.type

    def fault(self, what: str) -> None:
        self.faults[f"{what} at {where()}"] += 1

    def wait(self, what: str) -> None:
        self.waits[f"{what} at {where()}"] += 1

    def move(self, x: Tensor, device: torch.device, free: bool = False) -> Tensor:
        """A copy on another device. free: the host doesn't wait for it."""
        if device == CPU:
            self.to_host += 1
            self.wait("a copy to the host")
        else:
            self.to_device += 1
            if not free:
                self.wait("a copy from the host")
        out: Tensor = _Move.apply(x, device, self)
        return out


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, device: torch.device, pretended: Pretended) -> Tensor:
        ctx.source, ctx.pretended = pretended.of(x), pretended
        out: Tensor = pretended.claim(x.clone(), device)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return ctx.pretended.claim(grad.clone(), ctx.source), None, None


class _Dispatch(TorchDispatchMode):
    def __init__(self, pretended: Pretended) -> None:
        super().__init__()
        self.pretended = pretended

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():  # what is asked of tensors here is no part of the loop
            return self.operator(func, args, kwargs or {})

    def operator(self, func: Any, args: Any, kwargs: Any) -> Any:
        mine, tensors = self.pretended, list(leaves(args))
        tensors += leaves(kwargs.values())
        there = [mine.there(t) for t in tensors]
        device = CPU
        if any(there):
            device = self.examine(kind_of(func), args, tensors, there)
        out = func(*args, **kwargs)
        before = {t.untyped_storage()._cdata for t in tensors}
        for made in leaves((out,)):
            if made.untyped_storage()._cdata not in before:
                mine.claim(made, device)
                if device.type == "mps" and made.dtype == torch.float64:
                    mine.fault(f"float64 on MPS: {func}")
        return out

    def examine(self, kind: Kind, args: Any, tensors: list[Tensor], there: list[bool]) -> torch.device:
        """Note faults and costs of an operator that sees the device; where its result is."""
        mine, device, name = self.pretended, self.pretended.device, kind.name
        if kind.indexes:
            device = mine.of(args[0])
            indices = [i for i in args[1] if isinstance(i, Tensor)]
            if device == CPU and any(mine.there(i) for i in indices):
                mine.fault(f"a tensor of the host's indexed by one of the device's: {name}")
            if device != CPU and not all(mine.there(i) for i in indices):
                mine.to_device += 1
                mine.wait("an index copied from the host")
            if device != CPU and any(i.dtype == torch.bool for i in indices):
                mine.wait("an index by a mask")
            if "put" in name and args[2].ndim and mine.of(args[2]) != device:
                mine.fault(f"two devices: {name}")
        elif kind.copies:
            device = mine.of(args[0]) if isinstance(args[0], Tensor) else device
            if name.startswith("aten.copy_") and mine.of(args[0]) != mine.of(args[1]):
                mine.wait("a copy between devices")
        else:
            sides = {on for t, on in zip(tensors, there, strict=True) if t.ndim}
            if len(sides) == 2 or (sides == {False} and any(there)):
                mine.fault(f"two devices: {name}")
            if sides == set() and len(set(there)) == 2 and name.startswith(("aten.cat", "aten.stack")):
                mine.fault(f"two devices: {name}")
        if kind.waits:
            mine.wait(name)
        if kind.only_cpu:
            mine.fault(f"an operator of the CPU alone: {name}")
        mine.launches += not kind.is_view
        return device


class _Function(TorchFunctionMode):
    def __init__(self, pretended: Pretended) -> None:
        super().__init__()
        self.pretended = pretended
        self.own: dict[Any, Callable[..., Any]] = {
            Tensor.device.__get__: lambda x: pretended.of(x),  # type: ignore[attr-defined]
            Tensor.is_cuda.__get__: lambda x: pretended.of(x).type == "cuda",  # type: ignore[attr-defined]
            Tensor.is_mps.__get__: lambda x: pretended.of(x).type == "mps",  # type: ignore[attr-defined]
            Tensor.is_cpu.__get__: lambda x: pretended.of(x) == CPU,  # type: ignore[attr-defined]
            Tensor.get_device: lambda x: pretended.of(x).index or 0,
            Tensor.cpu: lambda x, **_: pretended.move(x, CPU) if pretended.there(x) else x,
            Tensor.pin_memory: self.pin,
            Tensor.is_pinned: lambda x, *_: pretended.entry(x)[2],
            Tensor.to: self.to,
            Tensor.cuda: lambda x, *_, **more: self.to(x, "cuda", **more),
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, mine = dict(kwargs or {}), self.pretended
        if func in self.own:
            return self.own[func](*args, **kwargs)
        if func in (Tensor.numpy, Tensor.__array__) and mine.there(args[0]):
            mine.fault("NumPy of a tensor of the device's")
        if func is Tensor.tolist and mine.there(args[0]):
            mine.wait("tolist")
            return args[0].detach().numpy().tolist()
        if func is Tensor.__deepcopy__:
            return mine.claim(func(*args, **kwargs), mine.of(args[0]))
        if func in FACTORIES or getattr(func, "__name__", "").startswith("new_"):
            return self.make(func, args, kwargs)
        if (generator := kwargs.get("generator")) is not None and mine.there(args[0]):
            mine.fault(f"a generator on {generator.device}: {func.__name__}")
        return func(*args, **kwargs)

    def pin(self, x: Tensor, *_: Any) -> Tensor:
        if self.pretended.there(x):
            self.pretended.fault("pin_memory of a tensor of the device's")
        made: Tensor = self.pretended.claim(x.clone(), CPU, pinned=True)
        return made

    def to(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        mine, target, rest = self.pretended, None, []
        free = bool(kwargs.pop("non_blocking", False)) and mine.entry(x)[2]
        for a in [*args, kwargs.pop("device", None)]:
            if isinstance(a, torch.device | str):
                target = torch.device(a)
            elif isinstance(a, Tensor):
                target = mine.of(a)
                rest.append(a.dtype)
            elif isinstance(a, torch.dtype):
                rest.append(a)
        out = x
        if target is not None and target.type == "mps" and torch.float64 in [*rest, kwargs.get("dtype") or x.dtype]:
            mine.fault("float64 to MPS")
        if rest or kwargs:
            out = Tensor.to(out, *rest, **kwargs)
        if target is not None and target.type not in (mine.of(x).type, "meta"):
            out = mine.move(out, mine.device if mine.names(target) else CPU, free)
        return Tensor.to(out, "meta") if target is not None and target.type == "meta" else out

    def make(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        mine, asked = self.pretended, kwargs.get("device")
        like = args[0] if args and isinstance(args[0], Tensor) else None
        if asked is None and like is not None:
            if func is torch.as_tensor:
                return func(*args, **kwargs)
            device = mine.of(like)
        else:
            device = mine.device if mine.names(asked) else CPU
        if asked is not None and torch.device(asked).type == "meta":
            return func(*args, **kwargs)
        if device != CPU:
            kwargs["device"] = "cpu"
            if kwargs.get("generator") is not None:
                mine.fault(f"a generator of the CPU's for the device: {func.__name__}")
        out = func(*args, **kwargs)
        if device.type == "mps" and out.dtype == torch.float64:
            mine.fault(f"float64 on MPS: {func.__name__}")
        if device != CPU and func in FROM_HOST:
            mine.to_device += 1
            mine.wait("a copy from the host")
        return mine.claim(out, device) if out.device != torch.device("meta") else out


@contextmanager
def pretending(kind: str = "cuda") -> Iterator[Pretended]:
    """Within this scope there is a device of this kind, "cuda" or "mps"."""
    mine = Pretended(kind)
    with ExitStack() as stack:
        for module in ("cuda", "mps"):
            target = "torch.cuda.is_available" if module == "cuda" else "torch.backends.mps.is_available"
            stack.enter_context(mock.patch(target, lambda module=module: module == kind))
        group = torch._C._group_tensors_by_device_and_dtype  # torch groups a list of tensors by where they really are

        def grouped(tensors: Any, with_indices: bool = False) -> Any:
            found = group(tensors, with_indices)
            return {(mine.of(lists[0][0]), dtype): (lists, at) for (_, dtype), (lists, at) in found.items()}

        # The numbers are the CPU's, so autocast has to be its, too, and products that CUDA sums wide are summed otherwise.
        stack.enter_context(mock.patch.object(precision, "kind_of", return_value="cpu"))
        stack.enter_context(mock.patch.object(precision, "WIDE", frozenset()))
        stack.enter_context(mock.patch.object(torch._C, "_group_tensors_by_device_and_dtype", grouped))
        stack.enter_context(_Function(mine))
        stack.enter_context(_Dispatch(mine))
        yield mine


def listed(counter: Counter[str]) -> str:
    """A counter's lines, the most frequent first."""
    return "\n".join(f"{n:>6}  {what}" for what, n in counter.most_common())
