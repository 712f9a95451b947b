"""What each actor of [runtime.ray] holds, and what a step sends, by the same arithmetic as the plan of the stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trueward.config.ray import samples
from trueward.parallel.placement import Placement
from trueward.pipeline.footprint.arithmetic import FLOAT, compared
from trueward.pipeline.footprint.stage_memory import Plan, StageMemory


@dataclass(frozen=True)
class ActorMemory:
    """The actors of one role: how many, and the bytes that one holds in the stage `policy`, at its peak."""

    role: str
    count: int
    cpus: int
    gpus: float
    weights: float
    working: float
    """Gradients, the optimiser, activations, caches: what isn't weights."""

    @property
    def peak(self) -> float:
        """Both together."""
        return self.weights + self.working


@dataclass(frozen=True)
class ClusterPlan:
    """The actors by role, and what a step moves."""

    actors: Sequence[ActorMemory]
    bundles: int
    placement: str
    device: float
    """Bytes of the fullest device, or of the fullest bundle where there is no GPU."""
    tokens: float
    """Prompt and answer together, of a step."""
    pushed: int
    """Bytes of one push of the weights: once into the object store, from which each machine with samplers takes them."""
    reserved: float
    """The share of its device that each sampler's vLLM takes on top; 0 without one."""

    def table(self) -> dict[str, Any]:
        """As JSON has it."""
        rows = [{**asdict(each), "peak": each.peak} for each in self.actors]
        return {**asdict(self), "actors": rows}


def plan_cluster(plan: Plan, stages: Sequence[StageMemory], on_gpus: bool = True) -> ClusterPlan:
    """The plan of a recipe's actors. stages: those of `plan`. on_gpus: whether every bundle has a GPU."""
    recipe = plan.recipe
    ray, policy, engine = recipe.runtime.ray, recipe.policy, recipe.sampler.engine
    placed = Placement.of(ray, on_gpus)
    stage = next((each for each in stages if each.stage == "policy"), stages[-1])
    sequences = policy.batch_size * (2 if policy.kind == "dpo" else 1)
    rollouts = 0.0 if ray.samplers else stage.sampler
    working = {
        "rank": stage.gradients + stage.optimizer + max(stage.activations, rollouts, stage.evaluation),
        "sampler": 0.0
        if engine.kind == "vllm"
        else plan.sampled(-(-sequences // max(1, ray.samplers)), engine.quantize),
        "scorer": compared(plan.shape, plan.tokens, 1),
    }
    weights = {
        "rank": stage.weights,
        "sampler": plan.frozen + plan.network(learns=True),
        "scorer": plan.frozen + plan.proxy,
    }
    actors = [
        ActorMemory(role, len(those), those[0].cpus, those[0].gpus, weights[role], working[role])
        for role in ("rank", "sampler", "scorer")
        if (those := placed.of_role(role))
    ]
    peaks = {each.role: each.peak for each in actors}
    bundles = len(placed.bundles())
    return ClusterPlan(
        actors=actors,
        bundles=bundles,
        placement=ray.placement,
        device=max(sum(peaks[each.role] for each in placed.actors if each.bundle == i) for i in range(bundles)),
        tokens=sequences * plan.lengths.usual if samples(policy) else 0.0,
        pushed=plan.trained * FLOAT if ray.samplers else 0,
        reserved=engine.gpu_memory_utilization
        if engine.kind == "vllm" and ray.samplers and not engine.address
        else 0.0,
    )
