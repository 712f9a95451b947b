"""Networks that share their frozen weights: each base is in memory once, for as long as something stands on it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
from transformers import AutoConfig, PreTrainedTokenizerBase

from trueward.artifacts import sha256
from trueward.config import Lora
from trueward.models import loading, lora
from trueward.models.loading import Network


class Base:
    """A frozen model that others are made from. Nobody changes it; what is handed out are its twins."""

    def __init__(self, place: str, network: Network) -> None:
        self.place, self.model = place, network.model.requires_grad_(False)
        self.tokenizer: PreTrainedTokenizerBase = network.tokenizer

    @cached_property
    def digest(self) -> str:
        """Of its weights on disk; empty for one by name."""
        return digest(self.place)

    def network(self) -> Network:
        return Network(lora.twin(self.model).eval(), self.tokenizer, self)


_living: WeakValueDictionary[tuple[Any, ...], Base] = WeakValueDictionary()


def policy(place: str, seed: int, device: torch.device) -> Network:
    """As `loading.causal` gives it, frozen; what was trained as an adapter stands on its base again."""
    adapter = _usable(Path(place))
    if adapter is None:
        return _base("causal", place, seed, device, lambda: loading.causal(place, seed, device)).network()
    network = policy(lora.base_of(adapter), seed, device)
    assert network.base is not None
    lora.attach(network.model, adapter, network.base.digest)
    return network


def adapted(network: Network, config: Lora, seed: int) -> Network:
    """A network with a fresh adapter, to be trained; one that has an adapter goes on with it."""
    if not lora.is_adapted(network.model):
        lora.adapt(network.model, config, seed)
    return Network(network.model, network.tokenizer, network.base, config.save)


def whole(network: Network) -> Network:
    """The same network with its adapter in its weights; one that has none is whole."""
    return Network(lora.merged(network.model), network.tokenizer) if lora.is_adapted(network.model) else network


def reward_from_policy(place: str, config: Lora, seed: int, device: torch.device) -> Network:
    """The policy's trunk with an adapter and a scalar head of zeros: where a reward model starts."""
    standing = policy(place, seed, device)
    assert standing.base is not None
    lora.refuse_table(standing.model)
    settings = copy.deepcopy(standing.model.config)
    settings.num_labels = 1
    network = Network(lora.with_scalar_head(standing.model, settings), standing.tokenizer, standing.base)
    return adapted(network, config, seed)


def reward(place: Path, device: torch.device, template: str = "auto") -> Network:
    """As `loading.reward` gives it, frozen but for the adapter and the head of one that stands on a policy."""
    adapter = _usable(place)
    if adapter is None:
        kind = ("reward", template)
        return _base(kind, str(place), 0, device, lambda: loading.reward(place, device, template)).network()
    standing = policy(lora.base_of(adapter), 0, device)
    assert standing.base is not None
    settings = AutoConfig.from_pretrained(place / lora.MODEL if adapter == place else place)
    model = lora.with_scalar_head(standing.model, settings)
    lora.attach(model, adapter, standing.base.digest)
    return Network(model, standing.tokenizer, standing.base)


def _usable(place: Path) -> Path | None:
    """A directory's adapter, unless it is a whole model too whose base is gone."""
    adapter = lora.beside(place)
    if adapter is None or adapter == place:
        return adapter
    try:
        lora.base_of(adapter)
    except ValueError:
        return None
    return adapter


def _base(kind: Any, place: str, seed: int, device: torch.device, load: Callable[[], Network]) -> Base:
    path = Path(place)
    files = [(f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in _weights(path)]
    key = (kind, str(path.resolve()) if files else (place, seed), tuple(files), str(device))
    if (found := _living.get(key)) is None:
        found = _living[key] = Base(str(path.absolute()) if files else place, load())
    return found


def _weights(path: Path) -> list[Path]:
    return sorted(path.glob("*.safetensors")) if path.is_dir() else []


def digest(place: str) -> str:
    """sha256 of a directory's weights, or nothing for a name."""
    found = [sha256(f) for f in _weights(Path(place))]
    return hashlib.sha256("".join(found).encode()).hexdigest() if found else ""
