"""The other processes as rank 0's helpers: while it evaluates, and they wait, they sample and read their shares of the answers.

Rank 0 says what in a word beside its others (`ControlLine.ask`); whoever waits for its next word does that first. A network is
known by the directory that it was loaded from, which all processes see, or by a name for as long as all of them hold it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from torch import nn

from trueward.batches import Rollout
from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.parallel.fabric import ALONE, Fabric
from trueward.records import Prompt
from trueward.sampling import sampler
from trueward.sampling.decoder_pool import DecoderPool
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams
from trueward.sampling.shared import sample_shares


class RankPool:
    """Rank 0 asks it to sample; on the others it does its share. Of one process, or without a control line, nobody helps."""

    acts: dict[str, Callable[[dict[str, Any], Mapping[str, Network]], None]]
    """What else the others do, by name: given what was requested, and the networks that were named."""

    def __init__(self, fabric: Fabric = ALONE) -> None:
        self.fabric = fabric
        self.load: Callable[[str, int], Network] | None = None
        """Loads a network from (place, seed), where this process has none of that key."""
        self.pool: DecoderPool | None = None
        self._keys: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
        self._networks: WeakValueDictionary[str, nn.Module] = WeakValueDictionary()
        self._tokenizers: dict[str, Any] = {}
        self._last: list[Network] = []  # of the last request: the next one may need them again
        self.acts = {"sample": self._sample}
        if fabric.line is not None and not fabric.leads:
            fabric.line.helps = self.help

    def note(self, place: str, seed: int, network: Network) -> None:
        """A network that was loaded: other processes can load it too."""
        if not self.fabric.is_alone:
            self._take(json.dumps([place, seed]), network)

    @contextmanager
    def holding(self, name: str, network: Network) -> Iterator[None]:
        """Within this scope, which all processes enter and leave together, all hold this network, with the same weights."""
        if self.fabric.is_alone:
            yield
            return
        self._take(name, network)
        try:
            yield
        finally:
            self._keys.pop(network.model, None)
            self._networks.pop(name, None)

    def knows(self, *networks: Network) -> bool:
        """Whether the others can help with these networks: on rank 0, if they have them or can load them."""
        has_line = self.fabric.line is not None and self.fabric.leads
        return has_line and all(network.model in self._keys for network in networks)

    def ask(self, act: str, networks: Mapping[str, Network], **given: Any) -> None:
        """On rank 0: have all others do `act` before they hear its next word. given: JSON."""
        assert self.fabric.line is not None
        keys = {name: self._keys[network.model] for name, network in networks.items()}
        self.fabric.line.ask({"act": act, "networks": keys, **given})

    def can_sample(self, network: Network, prompts: Sequence[Prompt], draws: Draws) -> bool:
        """Whether the others can help to sample: if they know the network and there is something to share."""
        return draws.rows is None and len(prompts) > 1 and self.knows(network)

    def sample(self, network: Network, prompts: Sequence[Prompt], params: SamplingParams, draws: Draws) -> Rollout:
        """On rank 0: the answers that it would sample alone; the others have to wait for its word meanwhile."""
        given = {"seed": draws.seed, "of": draws.of, "params": asdict(params)}
        rows = [prompt.model_dump(mode="json") for prompt in prompts]
        self.ask("sample", {"network": network}, prompts=rows, **given)
        return self._shares(network, prompts, params, draws)

    def help(self, request: dict[str, Any]) -> None:
        """On another rank: do a share. What comes of it is rank 0's."""
        networks = {name: self._of(key) for name, key in request["networks"].items()}
        self._last = list(networks.values())
        self.acts[request["act"]](request, networks)

    def _sample(self, request: dict[str, Any], networks: Mapping[str, Network]) -> None:
        prompts = [Prompt.model_validate(row) for row in request["prompts"]]
        params, draws = SamplingParams(**request["params"]), Draws(request["seed"], request["of"])
        self._shares(networks["network"], prompts, params, draws)

    def _shares(self, network: Network, prompts: Sequence[Prompt], params: SamplingParams, draws: Draws) -> Rollout:
        def own(prompts: Sequence[Prompt], draws: Draws) -> Rollout:
            return sampler.sample(network, prompts, params, draws, pool=self.pool)

        pad = Collator(network.tokenizer, network.context).pad
        return sample_shares(self.fabric, own, prompts, draws, pad)

    def _take(self, key: str, network: Network) -> None:
        self._keys[network.model], self._networks[key], self._tokenizers[key] = key, network.model, network.tokenizer

    def _of(self, key: str) -> Network:
        model = self._networks.get(key)
        if model is not None:
            return Network(model, self._tokenizers[key])
        assert self.load is not None
        assert key.startswith("["), f"{key}: a network that this process doesn't hold"
        place, seed = json.loads(key)
        return self.load(place, seed)
