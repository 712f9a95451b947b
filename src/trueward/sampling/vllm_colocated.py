"""A vLLM that trueward starts and ends: a process of its own on the learner's device, asleep while the policy learns.

vLLM is imported where it is started, and nowhere else.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

import torch

from trueward.extras import require
from trueward.parallel.launched import NESTED
from trueward.sampling.vllm_calls import EngineLostError, TokenAnswer, TokenRequest, checked

T = TypeVar("T")
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # of adapters that vLLM makes room for
BLOCK = 128  # tokens: the cache's unit on the CPU, the largest that there is
ADAPTER = "policy"
LOOK, GRACE = (
    0.25,
    3.0,
)  # seconds between two looks at the engine's process; and for vLLM to say itself that it has died


@dataclass(frozen=True)
class EngineRoom:
    """How large an engine has to be. longest: tokens of a prompt with its answer. adapter_rank: 0 without adapters."""

    device: torch.device
    dtype: torch.dtype
    longest: int
    max_num_seqs: int
    memory: float
    adapter_rank: int = 0

    def adapter_room(self) -> int:
        """The rank that vLLM makes room for. `ValueError` if the adapters' is larger than any."""
        fitting = next((rank for rank in RANKS if rank >= self.adapter_rank), 0)
        if not fitting:
            raise ValueError(f"lora.rank = {self.adapter_rank}: vLLM takes adapters up to rank {RANKS[-1]}")
        return fitting


class ColocatedVllm:
    """vLLM's `LLM`, whose engine runs in a child process."""

    is_shared = False

    def __init__(self, room: EngineRoom) -> None:
        self.room = room
        self.llm: Any = None
        self.adapter: Any = None
        self.sleeps = False
        self.processes: list[BaseProcess] = []

    def start(self, folder: Path) -> None:
        """Start it on the model in `folder`. `ValueError` if vLLM isn't there, or can't run this model here."""
        require('sampler.engine.kind = "vllm" needs', "vllm")
        self.close()
        with _surroundings(self.room.device), self._named("doesn't start"):
            from vllm import LLM

            before = multiprocessing.active_children()
            self.llm = LLM(str(folder), **self._settings(folder))
            self.processes = [each for each in multiprocessing.active_children() if each not in before]

    def _settings(self, folder: Path) -> dict[str, Any]:
        room = self.room
        on_cpu = room.device.type == "cpu"
        settings: dict[str, Any] = {
            "dtype": str(room.dtype).removeprefix("torch."),
            "max_model_len": room.longest,
            "max_num_seqs": room.max_num_seqs,
            "logprobs_mode": "processed_logprobs",  # at the rollouts' temperature
            "generation_config": "vllm",  # not what the model's directory says of sampling
            "enable_sleep_mode": room.device.type == "cuda",
            "enforce_eager": on_cpu,
            "gpu_memory_utilization": room.memory,
            "use_tqdm_on_load": False,
        }
        if on_cpu:
            settings["kv_cache_memory_bytes"] = self._cache_bytes(folder)
        if room.adapter_rank:
            settings |= {"enable_lora": True, "max_lora_rank": room.adapter_room(), "max_loras": 1, "max_cpu_loras": 1}
        return settings

    def _cache_bytes(self, folder: Path) -> int:
        """What the keys and values of all rows take, up to the share of the memory that it may have."""
        from trueward.artifacts import read_json

        table = read_json(folder / "config.json")
        heads = table.get("num_key_value_heads") or table.get("num_attention_heads") or table.get("n_head") or 1
        size = table.get("head_dim") or (table.get("hidden_size") or table.get("n_embd") or 1) // (
            table.get("num_attention_heads") or table.get("n_head") or 1
        )
        layers = table.get("num_hidden_layers") or table.get("n_layer") or 1
        token = 2 * layers * heads * size * self.room.dtype.itemsize
        blocks = (self.room.max_num_seqs + 1) * -(-self.room.longest // BLOCK)
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return min(max(64 << 20, blocks * BLOCK * token), int(self.room.memory * whole))

    def load(self, folder: Path) -> None:
        """As `Vllm`."""
        with self._named("can't load the policy's weights"):
            self._wake()
            where = {"weights_path": str(folder)}
            self._while_alive(lambda: self.llm.collective_rpc("reload_weights", kwargs=where))
        self._forget_prefixes()

    def load_adapter(self, folder: Path, version: int) -> None:
        """As `Vllm`."""
        from vllm.lora.request import LoRARequest

        self.adapter = LoRARequest(f"{ADAPTER}-{version}", version + 1, str(folder))
        self._forget_prefixes()

    def _forget_prefixes(self) -> None:
        with self._named("can't empty its cache"):
            self._wake()
            if not self._while_alive(lambda: self.llm.reset_prefix_cache()):
                raise ValueError("vLLM keeps the states of the old weights: its prefix cache can't be emptied")

    def generate(self, requests: Sequence[TokenRequest]) -> list[TokenAnswer]:
        """As `Vllm`."""
        from vllm import SamplingParams

        params = [
            SamplingParams(
                temperature=request.temperature,
                max_tokens=request.max_tokens,
                seed=request.seed,
                stop_token_ids=list(request.stops),
                ignore_eos=True,  # the model's own end is among the stops
                logprobs=0,
                prompt_logprobs=0 if request.reads_prompt else None,
                logit_bias=dict(request.bias) or None,
                detokenize=False,
            )
            for request in requests
        ]
        prompts = [{"prompt_token_ids": list(request.ids)} for request in requests]
        with self._named("can't sample"):
            self._wake()
            outputs = self._while_alive(
                lambda: self.llm.generate(prompts, params, use_tqdm=False, lora_request=self.adapter)
            )
        return checked(requests, [_read(request, output) for request, output in zip(requests, outputs, strict=True)])

    def sleep(self) -> None:
        """Weights into the host's memory, the cache dropped; on a CPU there is nothing to leave."""
        if self.room.device.type != "cuda" or self.sleeps:
            return
        with self._named("can't sleep"):
            self._while_alive(lambda: self.llm.sleep(level=1))
        self.sleeps = True

    def _wake(self) -> None:
        if self.sleeps:
            self._while_alive(lambda: self.llm.wake_up())
            self.sleeps = False

    def close(self) -> None:
        """End its process."""
        llm, self.llm, self.adapter, self.sleeps, self.processes = self.llm, None, None, False, []
        core = getattr(getattr(llm, "llm_engine", None), "engine_core", None)
        if core is not None:
            core.shutdown()

    def _while_alive(self, act: Callable[[], T]) -> T:
        """What `act` gives. vLLM 0.32 waits for ever for a process that was killed, so it's looked at here, too."""
        results: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(act())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(LOOK)
            if thread.is_alive() and any(not each.is_alive() for each in self.processes):
                thread.join(GRACE)
                if thread.is_alive():
                    raise EngineLostError("its process has ended")
        if errors:
            raise errors[0]
        return results[0]

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        """What vLLM raises, as one line; what says that the engine is dead or broken as `EngineLostError`."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # those of vLLM and its packages
                yield
        except ValueError as error:  # what it was given doesn't suit it: the same again would not, either
            raise ValueError(f"vLLM {what}: {_line(error)}") from error
        except Exception as error:
            if self.llm is None:
                raise ValueError(f"vLLM {what}: {_line(error)}; its own lines above say more") from error
            raise EngineLostError(f"vLLM {what}: {_line(error)}") from error


@contextmanager
def _surroundings(device: torch.device) -> Iterator[None]:
    """The environment that vLLM's processes start in: no launcher's variables, this process's device alone."""
    here = {
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "TQDM_DISABLE": "1",
    }
    if device.type == "cuda":
        seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        index = device.index or 0
        here["CUDA_VISIBLE_DEVICES"] = seen[index] if index < len(seen) else str(index)
    for name, usual in (("VLLM_LOGGING_LEVEL", "ERROR"), ("VLLM_CPU_OMP_THREADS_BIND", "nobind")):
        here[name] = os.environ.get(name, usual)
    before = {name: os.environ.get(name) for name in (*here, *NESTED)}
    try:
        os.environ.update(here)
        for name in NESTED:
            os.environ.pop(name, None)
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _read(request: TokenRequest, output: Any) -> TokenAnswer:
    answer = output.outputs[0]
    ids = list(answer.token_ids)
    logprobs = [float(each[token].logprob) for token, each in zip(ids, answer.logprobs, strict=True)]
    read: tuple[float, ...] = ()
    if request.reads_prompt:
        rows = zip(request.ids[1:], output.prompt_logprobs[1:], strict=True)
        read = tuple(float(each[token].logprob) for token, each in rows)
    return TokenAnswer(ids, logprobs, read)


def _line(error: BaseException) -> str:
    """The first line of what an error says, or its name."""
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__
