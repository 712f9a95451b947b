"""[sampler.engine]: where and from which weights the rollouts are sampled that the policy learns from."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from trueward.config.policy import PolicyConfig
from trueward.config.section import Positive, Rate, Section, without_newer

WEIGHTED = ("ppo", "grpo", "rloo")  # whose losses have weights for rollouts of another policy


class EngineConfig(Section):
    """[sampler.engine]: the engine that samples the rollouts that the policy learns from."""

    newer: ClassVar[tuple[str, ...]] = ("max_staleness", "address", "directory", "gpu_memory_utilization", "timeout")

    kind: Literal["local", "vllm"] = "local"
    """Where the engine runs: `local`, in the training process; `vllm`, in a vLLM of its own, or one at `address`."""
    max_num_seqs: Positive = 128
    """Completions sampled at once."""
    sync_every: Positive = 1
    """Sync the sampler's weights every N steps (1: on-policy)."""
    max_staleness: Annotated[int, Field(ge=0)] = 0
    """If K > 0, the rollout of step t is sampled from the weights of step t − K while the steps between are learned."""
    quantize: Literal["none", "int8", "bfloat16"] = "none"
    """Precision of the rollout engine's weights; coarser ones sample off-policy and need policy.importance_sampling_cap."""
    address: str = Field("", pattern=r"^https?://[^\s/]+/?$|^$")
    """With kind = "vllm": the base address of a vLLM server that runs already or soon; empty: trueward starts vLLM itself."""
    directory: str = ""
    """With an address: the directory, seen by this process and the server, in which the weights are handed over."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, lt=1)] = 0.4
    """With a vLLM that trueward starts: the share of the device's memory that it may take for weights and cache."""
    timeout: Rate = 600.0
    """With an address: seconds that the server may take for one rollout or push, and until it's there; then the run stops."""

    @model_serializer(mode="wrap")
    def _without_newer(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields that came later are left out at their defaults, so that what was made before them keeps its fingerprint."""
        return without_newer(self, dump(self), self.newer)

    @property
    def is_server(self) -> bool:
        """Whether rollouts are asked for at an address."""
        return self.kind == "vllm" and bool(self.address)

    @model_validator(mode="after")
    def _fields_agree(self) -> EngineConfig:
        if self.kind == "vllm" and self.quantize == "int8":
            raise ValueError('quantize = "int8" is the local engine\'s; with kind = "vllm" use "none" or "bfloat16"')
        if self.kind == "vllm" and self.address and not self.directory:
            raise ValueError(
                "directory: weights go to a server through a directory that both see; on one machine one in memory is quick, "
                'such as "/dev/shm/policy"'
            )
        if self.max_staleness and self.sync_every > 1:
            raise ValueError(
                "max_staleness and sync_every both say from which older weights to sample; use one of them"
            )
        return self


NO_RESULT = ("address", "directory", "gpu_memory_utilization", "timeout")
"""Fields that no result depends on."""
OF_VLLM = {
    "address": 'it is for sampler.engine.kind = "vllm"',
    "directory": "it is where weights go to a server, sampler.engine.address",
    "gpu_memory_utilization": 'it is for sampler.engine.kind = "vllm" without an address, which trueward starts itself',
    "timeout": "it is for a server, sampler.engine.address",
}
"""Why a field does nothing where `is_unread` says so."""


def is_unread(engine: EngineConfig, name: str) -> bool:
    """Whether nothing reads this field of vLLM's."""
    reads = {
        "address": engine.kind == "vllm",
        "directory": engine.is_server,
        "timeout": engine.is_server,
        "gpu_memory_utilization": engine.kind == "vllm" and not engine.address,
    }
    return not reads.get(name, True)


def refuse_unweighted(engine: EngineConfig, policy: PolicyConfig) -> None:
    """`ValueError` where rollouts come from another policy than the one that learns, and nothing makes up for that."""
    off_policy = {
        f"sampler.engine.quantize = {engine.quantize!r}": engine.quantize != "none",
        f"sampler.engine.kind = {engine.kind!r}": engine.kind != "local",
        f"sampler.engine.max_staleness = {engine.max_staleness}": engine.max_staleness > 0,
    }
    for setting in (name for name, is_set in off_policy.items() if is_set):
        if policy.kind not in WEIGHTED:
            raise ValueError(
                f"{setting.partition(' ')[0]}: {policy.kind} has no rollouts that weights make up for; "
                "it is for ppo, grpo and rloo"
            )
        if policy.importance_sampling_cap is None:
            raise ValueError(
                f"{setting}: rollouts then come from a policy that is not quite the one that learns, so set "
                "policy.importance_sampling_cap, to 2 or so"
            )
