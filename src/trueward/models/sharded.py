"""A model in parts, one a process: weights, gradients and optimiser state (`runtime.shard = "full"`), by torch's FSDP2.

Each layer's weights are gathered when the layer is computed and dropped after it; gradients are summed into the part that a
process keeps (Zhao et al. 2023, arXiv 2304.11277; Rajbhandari et al. 2020, arXiv 1910.02054, stage 3). The model that a run
knows stays one object: `ShardedModel` makes a second one on its weights, which learns, and takes the first one's memory away
until whole weights are needed. All processes have to make the same passes through a sharded model, in the same order.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial, update_wrapper
from types import MethodType
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor, distributed, nn

from trueward.batches import Lower, Tokens
from trueward.models import checkpointing

P = ParamSpec("P")
R = TypeVar("R")
PASS, LAYER, ROOT = (
    "trueward_pass",
    "trueward_layer",
    "trueward_read",
)  # attributes of a sharded model, and of its layers


@dataclass
class Pass:
    """Whether the outermost weights of a sharded model are gathered, because something reads it."""

    is_open: bool = False


def is_sharded(model: Any) -> bool:
    """Whether the model's weights lie in parts in several processes."""
    return hasattr(model, PASS)


def is_part(tensor: Any) -> bool:
    """Whether a weight or a gradient is this process's part of one."""
    return hasattr(tensor, "full_tensor")


def reads_whole_model(read: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """For functions (model, tokens, …): of a sharded model the outermost weights are gathered, and all others layer by layer.

    Without a row (the other processes have one more micro-batch) the pass is made all the same, on a row that nothing counts.
    """

    def reads(model: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not is_sharded(model) or getattr(model, PASS).is_open:
            return read(model, *args, **kwargs)
        rows: R = getattr(model, ROOT)(partial(_read, read, model, args, kwargs))
        return rows

    return update_wrapper(reads, read)


def layer_output(function: Callable[..., Tensor], layer: Any, spec: Any, gate: str, x: Tensor, *rest: Any) -> Tensor:
    """function(layer, spec, gate, x, *rest), with the weights of a sharded layer gathered; its inputs alone are kept if
    checkpointing is on."""

    def output(x: Tensor) -> Tensor:
        return checkpointing.layer_output(function, layer, spec, gate, x, *rest)

    gathered = getattr(layer, LAYER, None)
    if gathered is None:
        return output(x)
    out: Tensor = gathered(x, output)
    return out


class ShardedModel:
    """A model of which every process holds a part, beside the whole one, which is empty most of the time.

    whole: the model as everything else knows it. parts: the one that learns. Weights in `beside` (ids) are other networks' too:
    they stay whole, in each process.
    """

    def __init__(self, whole: Any, beside: set[int]) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

        refuse(whole)
        self.whole = whole
        self.kept = set(beside)
        self.world, self.is_whole = distributed.get_world_size(), True
        mesh = init_device_mesh(torch.device(whole.device).type, (self.world,))
        self.parts: Any = copy.deepcopy(whole, {id(t): t for t in (*whole.parameters(), *whole.buffers())})
        ignored = {p for p in self.parts.parameters() if id(p) in beside}
        shard = partial(fully_shard, mesh=mesh, reshard_after_forward=True, ignored_params=ignored)
        for layer in checkpointing.layers(self.parts):
            setattr(layer, LAYER, MethodType(_within_layer, layer))
            shard(layer)
            register_fsdp_forward_method(layer, LAYER)
        setattr(self.parts, ROOT, MethodType(_within_root, self.parts))
        setattr(self.parts, PASS, Pass())
        shard(self.parts)
        register_fsdp_forward_method(self.parts, ROOT)
        for module in self.parts.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)  # losses are divided by counts of the whole step
                module.set_force_sum_reduction_for_comms(True)  # gloo has no other

    def keep(self, parameters: Iterable[nn.Parameter]) -> None:
        """Leave these weights whole from now on, because something else reads them between two gatherings."""
        self.kept |= {id(p) for p in parameters}

    def release(self) -> None:
        """Give back the memory of the whole weights."""
        if self.is_whole:
            for _, _, weight in self._pairs():
                weight.data = weight.data.new_empty(0)
        self.is_whole = False

    @torch.no_grad()
    def gather(self) -> None:
        """Put the present weights into the whole model. All processes have to call it."""
        if self.is_whole:
            return
        for group in self._groups():
            for (_, _, weight), full in zip(group, self._gathered([part for _, part, _ in group]), strict=True):
                weight.data = full
        self.is_whole = True

    def renew(self) -> None:
        """Gather once more, although the whole model has weights: those of before an optimiser's step or a resume."""
        self.is_whole = False
        self.gather()

    def _pairs(self) -> Iterator[tuple[str, Any, nn.Parameter]]:
        """Name, part and whole of each weight that is sharded, and isn't read by others."""
        whole = dict(self.whole.named_parameters())
        for name, part in self.parts.named_parameters():
            if is_part(part) and id(whole[name]) not in self.kept:
                yield name, part, whole[name]

    def _groups(self) -> Iterator[list[tuple[str, Any, nn.Parameter]]]:
        """The same, those of one layer and dtype together: one message each."""
        groups: dict[Any, list[tuple[str, Any, nn.Parameter]]] = {}
        layers = {id(p): number for number, layer in enumerate(self._layers()) for p in layer.parameters()}
        for entry in self._pairs():
            groups.setdefault((layers.get(id(entry[1]), -1), entry[1].dtype), []).append(entry)
        yield from groups.values()

    def _layers(self) -> list[nn.Module]:
        return checkpointing.layers(self.parts)

    def _gathered(self, parts: list[Any]) -> list[Tensor]:
        """The whole tensors of some parts of one dtype, which are cut along their first dimension, the last one short."""
        locals_ = [part.to_local() for part in parts]
        sizes = [-(-part.shape[0] // self.world) * part[:1].numel() for part in parts]
        mine = torch.cat(
            [
                nn.functional.pad(local.flatten(), (0, size - local.numel()))
                for local, size in zip(locals_, sizes, strict=True)
            ]
        )
        every = mine.new_empty(self.world, len(mine))
        distributed.all_gather(list(every), mine)
        columns = every.split(sizes, dim=1)
        return [
            rows.flatten()[: part.numel()].clone().view(part.shape) for rows, part in zip(columns, parts, strict=True)
        ]


def refuse(model: Any) -> None:
    """`ValueError` in one line for a model that can't lie in parts: a table."""
    if model.config.model_type == "tabular":
        raise ValueError('runtime.shard = "full": a table has no layers that could be shared out; it takes "none"')


def whole_tensor(tensor: Any) -> Tensor:
    """A weight, a gradient or a moment as a whole; all processes have to call it."""
    full: Tensor = tensor.full_tensor() if is_part(tensor) else tensor
    return full


def like(tensor: Tensor, part: Any) -> Tensor:
    """This process's part of a whole tensor, cut as `part` is; itself where `part` is whole."""
    if not is_part(part):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    local = tensor.to(part.device)
    out: Tensor = distribute_tensor(local, part.device_mesh, part.placements, src_data_rank=None)
    return out


def _within_layer(self: Any, x: Tensor, output: Callable[[Tensor], Tensor]) -> Tensor:
    return output(x)


def _within_root(self: Any, read: Callable[[], Any]) -> Any:
    state = getattr(self, PASS)
    state.is_open = True
    try:
        found = read()
        return tuple(map(_own, found)) if isinstance(found, tuple) else _own(found)
    finally:
        state.is_open = False


def _own(tensor: Tensor) -> Tensor:
    """A tensor that is no view of another: what is hooked to a view is lost where somebody writes into it."""
    return tensor.clone() if tensor._is_view() else tensor


def _read(read: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tokens = next((each for each in args if isinstance(each, Tokens)), None)
    if tokens is None or len(tokens):
        return read(model, *args, **kwargs)
    row = _row_of_no_account(tokens)
    given = [row if each is tokens else _mask_of(row, each) for each in args]
    found = read(model, *given, **kwargs)
    return tuple(each[:0] for each in found) if isinstance(found, tuple) else found[:0]


def _row_of_no_account(tokens: Tokens) -> Tokens:
    one = torch.ones(1, dtype=torch.long)
    row = Tokens(torch.zeros(1, 2, dtype=torch.long), one, one).to(tokens.ids.device)
    if tokens.lower is None:
        return row
    states = tokens.lower.states
    return replace(row, lower=Lower(tokens.lower.layers, states.new_zeros(1, 2, states.shape[-1])))


def _mask_of(row: Tokens, given: Any) -> Any:
    """Which states are wanted, where an argument says that of no row."""
    return row.before if isinstance(given, Tensor) and given.ndim == 2 and not len(given) else given
