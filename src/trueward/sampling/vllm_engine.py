"""Rollouts by vLLM: the policy's weights are pushed to it, every push is checked, and it answers with tokens and log-probs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from trueward.batches import Rollout, Tokens
from trueward.config import EngineConfig
from trueward.data.collate import Collator
from trueward.data.ends import ends
from trueward.models import precision, vocabulary
from trueward.models.network import Network
from trueward.parallel.fabric import ALONE, Fabric
from trueward.records import Prompt
from trueward.sampling import sampler, vllm_files
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine
from trueward.sampling.push_check import SAMPLED, TOKENS, PushCheck
from trueward.sampling.sampler import SamplingParams
from trueward.sampling.vllm_calls import EngineLostError, TokenRequest, Vllm
from trueward.sampling.vllm_colocated import ColocatedVllm, EngineRoom
from trueward.sampling.vllm_server import VllmServer
from trueward.seeds import seed_for
from trueward.tracking import beats

T = TypeVar("T")
RESTARTS = 2  # in a row; an engine that dies again at once is not well
NEVER = -100.0  # nats on the logits of tokens that the tokenizer doesn't know: the most that vLLM takes
TOP_SEED = 2**31


def make_vllm(room: EngineRoom, config: EngineConfig, tell: Callable[[str], None]) -> Vllm:
    """The server at `config.address`, or one that this process starts."""
    if config.address:
        return VllmServer(config.address, room, config.timeout, tell)
    return ColocatedVllm(room)


class VllmEngine(LocalEngine):
    """A rollout engine whose tokens vLLM samples. Each row has a seed of its own; which tokens it gives is vLLM's affair.

    config: [sampler.engine]. longest: tokens of the longest prompt. tell: is told of what takes long or has died. With several
    processes each has its own, or rank 0 pushes to the one server.
    """

    def __init__(
        self,
        params: SamplingParams,
        config: EngineConfig,
        longest: int,
        fabric: Fabric = ALONE,
        tell: Callable[[str], None] = lambda line: None,
        make: Callable[[EngineRoom, EngineConfig, Callable[[str], None]], Vllm] = make_vllm,
    ) -> None:
        super().__init__(params, config.sync_every)
        self.config, self.longest, self.fabric, self.tell, self.make = config, longest, fabric, tell, make
        self.vllm: Vllm | None = None
        self.pushed: int | None = None  # the version that vLLM holds
        self.pushes = 0
        self.largest = 0.0  # difference at the last push, in nats
        self.is_up = False

    def publish(self, policy: Network, version: int) -> None:
        """Push the policy's weights, or its adapter, and see that vLLM holds them. `ValueError` if it doesn't."""
        super().publish(policy, version)
        assert self.network is not None
        self.pushed = None
        self._tried(lambda network: None, self.network, version)

    @torch.no_grad()
    @beats.beat("act")
    def draw(self, network: Network, version: int, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        """As `LocalEngine`. An engine that dies is started again, gets the weights, and is asked again with the same seeds."""
        collator = Collator(network.tokenizer, network.context)
        ids = sampler.prompts_ids(network, collator, prompts)
        params = self.params
        rows = torch.arange(len(ids)) if draws.rows is None else draws.rows
        requests = [
            TokenRequest(
                each,
                min(params.max_new_tokens, network.context - len(each)),
                params.temperature,
                seed_for(draws.seed, "vllm row", row) % TOP_SEED,
                ends(network.tokenizer),
                _bias(network),
            )
            for each, row in zip(ids, rows.tolist(), strict=True)
        ]
        answers = self._tried(lambda vllm: vllm.generate(requests) if requests else [], network, version) or []
        responses = [list(answer.ids) for answer in answers]
        tokens = Tokens.collate(list(zip(ids, responses, strict=True)), collator.pad)
        logprobs = torch.zeros(tokens.ids.shape)
        logprobs[tokens.response_mask] = torch.tensor([x for answer in answers for x in answer.logprobs])
        assert self.vllm is not None
        self.vllm.sleep()
        return Rollout(tokens, logprobs, collator.completions(prompts, responses), version)

    def close(self) -> None:
        """End what this process has started, and remove what it has written for it."""
        if self.vllm is not None:
            self.vllm.close()
            if not self.config.address:
                shutil.rmtree(self.folder, ignore_errors=True)
        self.vllm, self.pushed, self.is_up = None, None, False

    def _tried(self, act: Callable[[Vllm], T], network: Network, version: int) -> T:
        """`act`, with the weights of this version in the engine; again with a new engine where it dies."""
        for attempt in range(RESTARTS + 1):
            try:
                self._ready(network, version)
                assert self.vllm is not None
                return act(self.vllm)
            except EngineLostError as error:
                self.is_up, self.pushed = False, None
                alone = self.fabric.is_alone or not self.vllm.is_shared if self.vllm else True
                if attempt == RESTARTS or not alone:
                    more = f", {RESTARTS + 1} times in a row" if alone else ""
                    raise ValueError(
                        f"sampler.engine: {error}{more}; the same command goes on from the last checkpoint"
                    ) from error
                self.tell(f"{error}: it is started again and gets the weights after step {version}")
        raise AssertionError("it returns or raises")

    def _ready(self, network: Network, version: int) -> None:
        """Start the engine if there is none, and push the weights if it holds others."""
        if self.vllm is None:
            self._prepare(network)
        if self.is_up and self.pushed == version:
            return
        assert self.vllm is not None
        if self.vllm.is_shared:
            self.fabric.led(lambda: self._push(network, version))
        else:
            self._push(network, version)
        self.is_up, self.pushed = True, version

    def _prepare(self, network: Network) -> None:
        model = network.model
        if model.config.model_type == "tabular":
            raise ValueError('sampler.engine.kind = "vllm": the policy is a table, which only the local engine reads')
        low = precision.is_low(model) or self.config.quantize == "bfloat16"
        dtype = torch.bfloat16 if low else torch.float32
        longest = max(self.longest + self.params.max_new_tokens, TOKENS + SAMPLED)
        self.room = EngineRoom(
            network.device,
            dtype,
            min(network.context, longest),
            self.params.max_num_seqs,
            self.config.gpu_memory_utilization,
            vllm_files.adapter_rank(network),
        )
        self.vllm = self.make(self.room, self.config, self.tell)
        self.folder = Path(self.config.directory).absolute() if self.config.address else _memory_folder()
        self.check = PushCheck(network, self.params.temperature, dtype, _bias(network), not self.room.adapter_rank)

    def _push(self, network: Network, version: int) -> None:
        """Hand the weights over, and compare log-probs."""
        assert self.vllm is not None
        rank, dtype = self.room.adapter_rank, self.room.dtype
        if not self.is_up:
            vllm_files.write_model(network, self.folder, dtype)
            self.vllm.start(self.folder)
            self.check.before = None
        if rank:
            before = self.folder / f"adapter-{self.pushes}"
            self.pushes += 1
            fresh = self.folder / f"adapter-{self.pushes}"
            vllm_files.write_adapter(network, fresh)
            self.vllm.load_adapter(fresh, self.pushes)
            shutil.rmtree(before, ignore_errors=True)
        else:
            self.pushes += 1
            vllm_files.write_weights(network, self.folder, dtype)
            self.vllm.load(self.folder)
        self.largest = self.check.compare(self.vllm.generate(self.check.requests()), network, version)


def _bias(network: Network) -> dict[int, float]:
    """What keeps vLLM from tokens that the tokenizer doesn't know."""
    known, size = vocabulary.of(network.model), vocabulary.embeddings(network.model)
    if known is None or size is None:
        return {}
    gaps = [] if known.unknown is None else known.unknown.tolist()
    return dict.fromkeys([*gaps, *range(known.width, size)], NEVER)


def _memory_folder() -> Path:
    """A new directory for the weights: in memory, where the system has a place for that."""
    memory = Path("/dev/shm")  # noqa: S108 (a name of our own is drawn in it)
    return Path(tempfile.mkdtemp(prefix="trueward-vllm-", dir=memory if memory.is_dir() else None))
