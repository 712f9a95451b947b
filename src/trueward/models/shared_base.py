"""Networks that share their frozen weights: each base is in memory once, for as long as a network uses it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
from transformers import PreTrainedTokenizerBase

from trueward.config import LoraConfig
from trueward.models import adapter_base, adapter_files, loading, lora, nf4, precision, run_precision
from trueward.models.network import Network
from trueward.models.quiet import quiet


class Base:
    """A frozen model that networks are made from: each shares its weights and can have an adapter of its own."""

    def __init__(self, place: str, network: Network) -> None:
        self.place, self.model = place, precision.keep(network.model.requires_grad_(False))
        self.tokenizer: PreTrainedTokenizerBase = network.tokenizer

    @cached_property
    def digest(self) -> str:
        """sha256 of its weights on disk; empty for one by name."""
        return adapter_base.weights_digest(self.place)

    def network(self) -> Network:
        """A network of its own on these weights, in evaluation mode."""
        return Network(lora.clone_sharing_frozen(self.model).eval(), self.tokenizer, self)


_living: WeakValueDictionary[tuple[Any, ...], Base] = WeakValueDictionary()


def policy(
    place: str, seed: int, device: torch.device, dtype: torch.dtype | None = None, kept: str = "plain"
) -> Network:
    """As `loading.causal` gives it, frozen; one saved as an adapter shares its base again.

    kept: `nf4` keeps the linear layers in four bits; an adapter's base is kept as it was when the adapter learned.
    """
    adapter, dtype = _usable(Path(place)), dtype or run_precision.pick(place, device)
    if adapter is None:
        return _base(
            ("causal", dtype, kept), place, seed, device, lambda: _loaded(place, seed, device, dtype, kept)
        ).network()
    network = policy(adapter_base.base_of(adapter), seed, device, dtype, adapter_base.base_kept(adapter))
    assert network.base is not None
    tokenizer = adapter_files.with_tokenizer(Path(place), network)
    lora.attach(network.model, adapter, network.base.digest)
    return Network(network.model, tokenizer, network.base)


def _loaded(place: str, seed: int, device: torch.device, dtype: torch.dtype, kept: str) -> Network:
    if kept != nf4.KIND:
        return loading.causal(place, seed, device, dtype)
    network = loading.causal(place, seed, torch.device("cpu"), dtype)  # the device never holds the plain weights
    return in_four_bits(Network(network.model.requires_grad_(False), network.tokenizer), device)


def in_four_bits(network: Network, device: torch.device) -> Network:
    """The same frozen network with its linear layers in four bits, on a device; the other stays as it is."""
    model = nf4.quantize(lora.clone_sharing_frozen(network.model), device)
    return Network(nf4.placed(model, device).eval(), network.tokenizer)


def adapted(network: Network, config: LoraConfig, seed: int, layers: Sequence[int] = ()) -> Network:
    """A network with a fresh adapter, to be trained; one that has an adapter keeps it.

    layers: the numbers of those that get one; empty: all.
    """
    if not lora.is_adapted(network.model):
        lora.adapt(network.model, config, seed, layers)
    return Network(network.model, network.tokenizer, network.base, config.save)


def merge_adapter(network: Network) -> Network:
    """The same network with its adapter merged into its weights; unchanged without one."""
    return Network(lora.merged(network.model), network.tokenizer) if lora.is_adapted(network.model) else network


def reward_from_policy(
    place: str, config: LoraConfig, seed: int, device: torch.device, dtype: torch.dtype | None = None
) -> Network:
    """The policy's trunk with an adapter and a scalar head of zeros: where a reward model starts."""
    standing = policy(place, seed, device, dtype, config.base)
    assert standing.base is not None
    lora.refuse_table(standing.model)
    settings = copy.deepcopy(standing.model.config)
    settings.num_labels = 1
    network = Network(lora.with_scalar_head(standing.model, settings), standing.tokenizer, standing.base)
    return adapted(network, config, seed)


@quiet()
def reward(place: Path, device: torch.device, template: str = "auto", dtype: torch.dtype | None = None) -> Network:
    """As `loading.reward` gives it, frozen but for the adapter and the head of one that shares a policy's weights."""
    adapter, dtype = _usable(place), dtype or run_precision.pick(place, device)
    if adapter is None:
        kind = ("reward", template, dtype)
        return _base(kind, str(place), 0, device, lambda: loading.reward(place, device, template, dtype)).network()
    return loading.adapted_reward(
        place, policy(adapter_base.base_of(adapter), 0, device, dtype, adapter_base.base_kept(adapter))
    )


def _usable(place: Path) -> Path | None:
    """A directory's adapter, unless it is a whole model too and the adapter's base is gone."""
    adapter = adapter_base.find_adapter(place)
    if adapter is None or adapter == place:
        return adapter
    try:
        adapter_base.base_of(adapter)
    except ValueError:
        return None
    return adapter


def _base(kind: Any, place: str, seed: int, device: torch.device, load: Callable[[], Network]) -> Base:
    path = Path(place)
    files = [(f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in adapter_base.weight_files(path)]
    key = (kind, str(path.resolve()) if files else (place, seed), tuple(files), str(device))
    if (base := _living.get(key)) is None:
        base = _living[key] = Base(str(path.absolute()) if files else place, load())
    return base
