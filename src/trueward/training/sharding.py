"""A loop's networks in parts, one a process (`runtime.shard = "full"`), and when their whole weights are there.

What learns is in parts, and the reference policy: weights, gradients, AdamW's moments. Whole in each process are the weights
that other networks read too (the base under adapters, in a loop that has a reference), the scorer's, and a sampler's copy. The
policy's whole weights are there while answers are sampled from it and while it is evaluated; the reference's while the policy
is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from trueward.batches import Step
from trueward.models.lora import is_adapted
from trueward.models.network import Network
from trueward.models.sharded import ShardedModel
from trueward.parallel.fabric import Fabric
from trueward.sampling.sharded import ShardedEngine
from trueward.training.setup import Online, Setup

NAMES = ("policy", "reference", "network")  # the fields of a setup that hold networks


@dataclass
class Shards:
    """The sharded networks of one loop, by name; none where nothing is sharded."""

    fabric: Fabric
    models: dict[str, ShardedModel] = field(default_factory=dict)
    is_sampled: bool = False
    """Whether answers are sampled at every step from the policy itself, which gives back its whole weights after that."""

    @property
    def is_on(self) -> bool:
        """Whether anything is sharded."""
        return bool(self.models)

    def resume(self, step: int) -> None:
        """Whole weights after a checkpoint was loaded into the parts; at step 0 they are there."""
        if step:
            for model in self.models.values():
                model.renew()

    def steps(self, every: Iterator[Step], is_read: Callable[[int], bool]) -> Iterator[Step]:
        """The loop's steps; whole weights are there after those of which rank 0's `is_read` is true, until the loop goes on."""
        if not self.is_on:
            yield from every
            return
        self._release()
        for step in every:
            if self.fabric.led(partial(is_read, step.number), bool):
                self.gather()
            yield step
            self._release()

    def gather(self) -> None:
        """Whole weights everywhere. All processes call it."""
        for model in self.models.values():
            model.gather()

    def is_due(self, is_due: bool) -> bool:
        """What rank 0 thinks is due, on every rank: the others take part in it."""
        due: bool = self.fabric.led(lambda: is_due, bool)
        return due

    def _release(self) -> None:
        for name, model in self.models.items():
            if not (self.is_sampled and name == "policy" and model.is_whole):
                model.release()


def sharded(setup: Any, fabric: Fabric, is_on: bool) -> tuple[Any, Shards]:
    """A loop's setup with its networks in parts, and these; as it is with one process, or if `is_on` is false.

    `ValueError` for a network that can't lie in parts.
    """
    if not is_on or fabric.is_alone:
        return setup, Shards(fabric)
    assert isinstance(setup, Setup)
    networks: dict[str, Network] = {name: getattr(setup, name) for name in NAMES if hasattr(setup, name)}
    critic = getattr(setup, "critic", None)
    if critic is not None and critic.trunk is None:
        networks["value"] = critic.network
    beside = _read_by_others(networks, setup)
    models = {name: ShardedModel(n.model, beside) for name, n in networks.items() if _owns(n, beside)}
    made = {name: replace(networks[name], model=model.parts) for name, model in models.items()}
    changes: dict[str, Any] = {name: network for name, network in made.items() if name != "value"}
    if critic is not None:
        trunk = made["policy"].model if critic.trunk is not None else None
        changes["critic"] = replace(critic, network=made.get("value", critic.network), trunk=trunk)
    if isinstance(setup, Online):
        changes["sampler"] = ShardedEngine(setup.sampler, setup.policy, models["policy"])
    sampled = isinstance(setup, Online) and setup.sampler.sync_every == 1
    return replace(setup, fabric=replace(setup.fabric, is_sharded=True), **changes), Shards(fabric, models, sampled)


def _owns(network: Network, beside: set[int]) -> bool:
    """Whether a network has weights that no other one reads."""
    return any(id(p) not in beside for p in network.model.parameters())


def _read_by_others(networks: dict[str, Network], setup: Setup) -> set[int]:
    """Weights (ids) that something else than their network reads while the loop goes on: they stay whole."""
    counts: dict[int, int] = {}
    found: set[int] = set()
    for name, network in networks.items():
        has_base = isinstance(setup, Online) and is_adapted(network.model)
        is_sampled = isinstance(setup, Online) and setup.scorer_samples_reference and name == "reference"
        for parameter in network.model.parameters():
            counts[id(parameter)] = counts.get(id(parameter), 0) + 1
            if is_sampled or (has_base and not parameter.requires_grad):
                found.add(
                    id(parameter)
                )  # of a base: the reference's, the value network's and the reward model's too, maybe
    return found | {key for key, count in counts.items() if count > 1}
