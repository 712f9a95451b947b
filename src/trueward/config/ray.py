"""[runtime.ray]: the actors of `trueward run --launch ray`, and where they lie."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trueward.config.engine import EngineConfig
from trueward.config.policy import PolicyConfig
from trueward.config.section import Positive, Section

COUNT = Annotated[int, Field(ge=0)]


class RayConfig(Section):
    """[runtime.ray]: how many processes `trueward run --launch ray` places on a Ray cluster, and where."""

    ranks: Positive = 1
    """Training processes, each an actor; what --nproc-per-node is to torchrun."""
    samplers: COUNT = 0
    """Actors that sample the rollouts for all training processes; 0: each samples its share itself."""
    scorers: COUNT = 0
    """Actors that score the rollouts for all training processes; 0: each scores its share itself."""
    placement: Literal["split", "colocated"] = "split"
    """split: every actor has a GPU of its own; colocated: samplers and scorers lie on the training processes' GPUs."""
    cpus: Positive = 1
    """Cores of an actor, and the threads that it computes with unless runtime.threads says so."""
    max_restarts: COUNT = 3
    """How often the training processes are started again from the last checkpoint when one has died."""

    @property
    def is_default(self) -> bool:
        """Whether nothing in it differs from one training process that does everything."""
        return self == RayConfig()


ONLINE = ("ppo", "grpo", "rloo", "dpo")  # kinds with a loop that samples, DPO where it is online


def samples(policy: PolicyConfig) -> bool:
    """Whether a loop samples what it learns from, by a rollout engine."""
    return policy.is_own or (policy.kind in ONLINE and (policy.kind != "dpo" or policy.dpo.online))


def why_idle(name: str, ray: RayConfig, policy: PolicyConfig) -> str:
    """Why this field of [runtime.ray] does nothing; empty if it does something."""
    if name == "samplers" and ray.samplers and not samples(policy):
        return f'policy.kind = "{policy.kind}" learns from no rollouts'
    if name == "scorers" and ray.scorers and not samples(policy) and policy.kind != "sft_on_best":
        return f'policy.kind = "{policy.kind}" scores nothing while it learns'
    if name == "placement" and ray.placement == "colocated" and not (ray.samplers or ray.scorers):
        return "there are no runtime.ray.samplers and no runtime.ray.scorers to be placed"
    return ""


def refuse_contradictions(ray: RayConfig, engine: EngineConfig, policy: PolicyConfig) -> None:
    """`ValueError` for actors that could not do what the rest of the recipe asks of them."""
    if ray.samplers and engine.is_server:
        raise ValueError(
            "runtime.ray.samplers: rollouts are asked for at sampler.engine.address; set one of the two (without an address "
            "each sampler starts a vLLM of its own)"
        )
    if ray.scorers and policy.relabel.every:
        raise ValueError(
            "runtime.ray.scorers: with policy.relabel.every the reward model is fitted again in the training processes, and "
            "scorers elsewhere would keep the old one; set one of the two"
        )
