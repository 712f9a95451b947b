"""The state that a training loop resumes from: networks, optimisers, the step, and a few numbers.

Random generators are no part of it: whatever is drawn at a step comes from a generator seeded by the run's seed, what
it is for, and the step's number. Nor are schedules or cursors: they are functions of the step.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from trueward import transfers
from trueward.artifacts import flush, sync_directory, write_json
from trueward.models.lora import own_parameters
from trueward.models.sharded import is_part, like, whole_tensor
from trueward.training import digests

BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass
class State:
    """A loop's state after `step` steps. Of a network in which something learns that alone is saved, of others their own."""

    networks: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    step: int = 0
    numbers: dict[str, float] = field(default_factory=dict)

    def zero_grad(self) -> None:
        """Throw away the gradients of all that is optimised."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()

    def files(self, keeps: bool = True) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
        """The tensors of each of a checkpoint's files, whole whatever part of them a process holds: (name, by key).

        keeps: whether this process has a use for them; where weights are sharded, the others take part in gathering them.
        """
        for name, network in self.networks.items():
            yield f"{name}.safetensors", _whole(_saved(network), keeps)
        for name, optimizer in self.optimizers.items():
            entries = optimizer.state_dict()["state"].items()
            tensors = {f"{i}.{k}": v for i, entry in entries for k, v in entry.items() if isinstance(v, torch.Tensor)}
            yield f"{name}.optimizer.safetensors", _whole(tensors, keeps)

    def save(self, path: Path, more: dict[str, Any]) -> None:
        """Write a directory, whole or not at all; `more` is the driver's, JSON. The same files whatever lies where."""
        fresh = path.with_name(f".{path.name}.tmp")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for file, tensors in self.files():
            save_file(tensors, fresh / file)
        plain: dict[str, Any] = {}
        for name, optimizer in self.optimizers.items():
            entries = optimizer.state_dict()["state"].items()
            plain[name] = {
                f"{i}.{k}": v for i, entry in entries for k, v in entry.items() if not isinstance(v, torch.Tensor)
            }
        write_json(
            fresh / "state.json",
            {"step": self.step, "numbers": self.numbers, "optimizers": plain, "more": more},
        )
        digests.write(fresh)
        for written in fresh.iterdir():
            flush(written)
        shutil.rmtree(path, ignore_errors=True)
        fresh.replace(path)
        sync_directory(path.parent)

    def fingerprint(self) -> str:
        """Of what is trained, compared between processes at every step: each parameter's bits, added up as whole numbers.

        Of sharded weights each process holds another part, and there is no second one to compare.
        """
        sums = [
            parameter.detach().view(BITS[parameter.element_size()]).sum(dtype=torch.int64)
            for network in self.networks.values()
            for parameter in network.parameters()
            if parameter.requires_grad and not is_part(parameter)
        ]
        return " ".join(str(int(each)) for each in transfers.read(sums))

    def load(self, path: Path) -> dict[str, Any]:
        """Take over a saved state, which the journal has checked; returns the `more` that it was saved with."""
        table = json.loads((path / "state.json").read_text(encoding="utf-8"))
        for name, network in self.networks.items():
            saved = load_file(path / f"{name}.safetensors")
            with torch.no_grad():
                for key, weight in _saved(network).items():
                    weight.copy_(like(saved[key], weight))
        for name, optimizer in self.optimizers.items():
            entries: dict[int, dict[str, Any]] = {}
            weights = [p for group in optimizer.param_groups for p in group["params"]]
            for key, value in load_file(path / f"{name}.optimizer.safetensors").items():
                index, part = key.split(".", 1)
                own = weights[int(index)]
                entries.setdefault(int(index), {})[part] = like(value, own) if value.shape == own.shape else value
            for key, value in table["optimizers"][name].items():
                index, part = key.split(".", 1)
                entries.setdefault(int(index), {})[part] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})
        self.step, self.numbers = table["step"], table["numbers"]
        more: dict[str, Any] = table["more"]
        return more


def _saved(network: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of a network that a checkpoint holds: those that learn, or its own where none does (a sampler's copy)."""
    own = own_parameters(network)
    return {name: p for name, p in own.items() if p.requires_grad} or own


def _whole(tensors: Mapping[str, torch.Tensor], keeps: bool) -> dict[str, torch.Tensor]:
    """Tensors as wholes, one after the other; those that were in parts go to the host's memory."""
    out: dict[str, torch.Tensor] = {}
    for key, tensor in tensors.items():
        full = whole_tensor(tensor.detach())
        if keeps:
            out[key] = (full.cpu() if is_part(tensor) else full).contiguous()
    return out


def clip(network: nn.Module, limit: float) -> torch.Tensor:
    """Gradients scaled so that their norm is at most `limit`, as torch.nn.utils.clip_grad_norm_ does; the norm before, [].

    On the CPU a gradient that is short enough is left alone, where the library multiplies all of it by 1: that is one pass
    over memory less. On an accelerator looking at the norm would take longer than the product.
    """
    trained = [p for p in network.parameters() if p.grad is not None]
    norm = whole_tensor(torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None]))
    if norm.device.type != "cpu" or float(norm) + 1e-6 > limit:
        torch.nn.utils.clip_grads_with_norm_(trained, limit, norm)
    return norm


def adam(
    network: nn.Module, rate: float, weight_decay: float = 0.0, apart: Sequence[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019); matrices decay, vectors don't.

    apart: parameters of the network that are the last group, whose rate may be another one; they decay as matrices do.
    """
    own = {id(p) for p in apart}
    trained = [p for p in network.parameters() if p.requires_grad and id(p) not in own]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        {"params": list(apart), "weight_decay": weight_decay},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=rate, betas=(0.9, 0.95), fused=True)
