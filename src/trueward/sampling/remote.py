"""A rollout engine whose answers are sampled elsewhere: by samplers that hold an engine and a copy of the policy each.

Sampler i of S gets every S-th row, so which rows are drawn together doesn't depend on who is quick, or has died: with our own
engine a rollout is the same to the bit whenever it is sampled. Every request carries the weights (a reference to them), so a
sampler that was started anew has what it needs to answer the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

from trueward.batches import Rollout, Tokens
from trueward.data.collate import Collator
from trueward.models import precision
from trueward.models.lora import own_parameters
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine
from trueward.sampling.push_check import PushCheck
from trueward.sampling.sampler import SamplingParams
from trueward.sampling.shared import packed, unpacked
from trueward.sampling.vllm_calls import TokenAnswer
from trueward.tracking import beats

Request = Mapping[str, Any]
Reply = Mapping[str, Any]


class SamplerPool(Protocol):
    """Samplers elsewhere. One that dies is started anew and asked again; `ValueError` in one line where that doesn't help."""

    count: int

    def put(self, weights: Mapping[str, np.ndarray]) -> Any:
        """A reference to the weights, by which all samplers get them; they are there as long as it is."""

    def load(self, request: Request, weights: Any) -> list[Reply]:
        """Every sampler takes the weights; its reply says how it reads the request's fixed tokens, and who it is."""

    def sample(self, requests: Mapping[int, Request], weights: Any) -> dict[int, Reply]:
        """The answers to the request of each sampler, by its number."""


class RemoteEngine(LocalEngine):
    """Wraps the samplers. Every push is checked: each sampler's log-probs of fixed tokens are the policy's own.

    policy: what they need to make their copy of it (JSON). tell: is told of who has died.
    """

    def __init__(
        self,
        params: SamplingParams,
        sync_every: int,
        samplers: SamplerPool,
        policy: Request,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        super().__init__(params, sync_every)
        self.samplers, self.policy, self.tell = samplers, policy, tell
        self.name = uuid4().hex  # versions of other engines, or of a run before it was resumed, are other ones
        self.held: int | None = None  # the version that samplers hold
        self.weights: Any = None
        self.bytes = 0  # of the last push
        self.checks: list[PushCheck] = []
        self.processes: dict[int, Any] = {}

    def publish(self, policy: Network, version: int) -> None:
        """Push the policy's own weights to every sampler, and see that it holds them. `ValueError` if one doesn't."""
        super().publish(policy, version)
        assert self.network is not None
        self._push(self.network, version)

    @torch.no_grad()
    @beats.beat("act")
    def draw(self, network: Network, version: int, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        """As `LocalEngine`."""
        if self.held != version:
            self._push(network, version)
        rows = torch.arange(len(prompts)) if draws.rows is None else draws.rows
        of = draws.of or len(prompts)
        shares = {i: list(range(i, len(prompts), self.samplers.count)) for i in range(self.samplers.count)}
        requests = {
            i: {
                **self._request(version),
                "prompts": [prompts[j].model_dump(mode="json") for j in mine],
                "draws": {"seed": draws.seed, "of": of, "rows": rows[mine].tolist()},
            }
            for i, mine in shares.items()
            if mine
        }
        replies = self.samplers.sample(requests, self.weights)
        answers: list[Any] = [None] * len(prompts)
        for i, reply in replies.items():
            self._greet(i, reply, network, version)
            for j, row in zip(shares[i], reply["rows"], strict=True):
                answers[j] = row
        return unpacked(answers, prompts, version, Collator(network.tokenizer, network.context).pad)

    def _push(self, network: Network, version: int) -> None:
        weights = {name: _array(weight) for name, weight in own_parameters(network.model).items()}
        self.bytes = sum(weight.nbytes for weight in weights.values())
        if not self.checks:
            dtype = torch.bfloat16 if precision.is_low(network.model) else torch.float32
            self.checks = [PushCheck(network, 1.0, dtype, {}, name=f"sampler {i}") for i in range(self.samplers.count)]
        self.weights, self.held = self.samplers.put(weights), version
        for i, reply in enumerate(self.samplers.load(self._request(version), self.weights)):
            self._greet(i, reply, network, version)

    def _request(self, version: int) -> Request:
        """What every request says: which policy, which version of it, and the fixed tokens that are read when it's new."""
        return {"policy": self.policy, "version": f"{self.name} {version}", "fixed": self.checks[0].ids.tolist()}

    def _greet(self, number: int, reply: Reply, network: Network, version: int) -> None:
        """Compare log-probs where a sampler has taken weights, and say so where it is another process than before."""
        before, self.processes[number] = self.processes.get(number), reply["process"]
        if before is not None and before != reply["process"]:
            self.tell(f"sampler {number} had ended: it was started again, and got the weights after step {version}")
        if reply["read"] is not None:
            self.checks[number].compare([TokenAnswer((), (), row) for row in reply["read"]], network, version)


class IdleEngine(LocalEngine):
    """Of a process for which another one samples: it keeps the copies that checkpoints need, and draws nothing."""

    def draw(self, network: Network, version: int, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        """No rows."""
        return Rollout(Tokens.collate([], 0), torch.zeros(0, 0), [], version)


def answered(rollout: Rollout) -> list[dict[str, Any]]:
    """A sampler's rows of a reply, as JSON."""
    return [packed(rollout, row) for row in range(len(rollout.completions))]


def _array(weight: Tensor) -> np.ndarray:
    """The weight in the host's memory; bfloat16, which numpy doesn't have, as float32, which holds all of its numbers."""
    here = weight.detach().cpu()
    return (here.float() if here.dtype is torch.bfloat16 else here).numpy()
