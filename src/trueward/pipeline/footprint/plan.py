"""The plan of a recipe's memory: shapes from the model's configuration, lengths from the data, arithmetic for the rest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from trueward.config import Recipe
from trueward.data.collate import Collator
from trueward.data.lengths import nearly_all
from trueward.data.truncation import prompt_lengths
from trueward.models import loading, precision
from trueward.parallel.launched import cores
from trueward.pipeline import sources
from trueward.pipeline.footprint import model_shape
from trueward.pipeline.footprint.arithmetic import FLOAT, LOW, Widths, kept_by_layer
from trueward.pipeline.footprint.changes import fitting_changes
from trueward.pipeline.footprint.cluster_plan import plan_cluster
from trueward.pipeline.footprint.stage_memory import Plan, SequenceLengths, StageMemory, UsualDemonstration
from trueward.pipeline.parts import Parts
from trueward.pipeline.surroundings import token_budget

SOME = 1000  # demonstrations that are read for their mean length
KEPT = (
    "this is what is in use; on a CPU malloc keeps what is freed for the next step, with gaps, so the process may hold half as "
    "much again"
)


@dataclass(frozen=True)
class MemoryPlan:
    """What a recipe's stages hold, and what that was computed from. Memory and disk in bytes."""

    plan: Plan | None
    """None for a table, which takes next to nothing."""
    model: str
    device: str
    stages: tuple[StageMemory, ...]

    @property
    def peak(self) -> float:
        """The most that any stage holds."""
        return max((stage.peak for stage in self.stages), default=0.0)

    def cluster(self) -> dict[str, Any]:
        """What the actors of [runtime.ray] hold; empty where it sets none, and for a table."""
        if self.plan is None or self.plan.recipe.runtime.ray.is_default:
            return {}
        return plan_cluster(self.plan, self.stages, on_gpus=self.plan.recipe.runtime.device != "cpu").table()

    def changes(self, memory: float) -> list[dict[str, Any]]:
        """Settings with which all stages fit into `memory` bytes, and the peak with them; empty if none is known."""
        return [] if self.plan is None else [c._asdict() for c in fitting_changes(self.plan, memory)]

    def table(self) -> dict[str, Any]:
        """The plan as JSON has it."""
        stages = [{key: round(v) if isinstance(v, float) else v for key, v in asdict(s).items()} for s in self.stages]
        table: dict[str, Any] = {"model": self.model, "device": self.device, "stages": stages, "notes": []}
        if self.plan is None:
            return table
        plan = self.plan
        checkpointing = plan.recipe.runtime.checkpointing
        return {
            **table,
            "weights": plan.shape.weights,
            "trained": plan.trained,
            "prompt": plan.lengths.prompt,
            "answer": plan.lengths.answer,
            "tokens": plan.tokens,
            "kept": round(kept_by_layer(plan.shape, checkpointing) * plan.widths.kept),
            "checkpointing": checkpointing,
            "notes": [*notes(plan), *([KEPT] if self.device == "cpu" else [])],
        }


def plan_memory(recipe: Recipe, widths: Widths | None = None, processes: int = 1) -> MemoryPlan:
    """The plan, without a weight being read. widths: bytes of a frozen weight and of what layers keep; default: two of a frozen
    weight where products are in bfloat16 (`model.dtype`), else four. processes: that run it; the numbers are one's.

    `ValueError` in one line for a model whose configuration isn't there, or data that can't be read.
    """
    device = loading.pick_device(recipe.runtime.device)
    tokens = int(token_budget(recipe.runtime, device))
    start = recipe.sft.model or recipe.model.base
    shape = model_shape.read(start)
    if shape is None:
        return MemoryPlan(None, start, device.type, ())
    lengths, demonstration = _lengths(recipe, start)
    is_low = precision.pick(recipe.model.dtype, device) is precision.LOW
    parts = processes if recipe.runtime.shard == "full" else 1
    threads = recipe.runtime.threads or cores()
    plan = Plan(recipe, shape, lengths, tokens, widths or (LOW if is_low else Widths()), demonstration, threads, parts)
    return MemoryPlan(plan, start, device.type, tuple(plan.stages()))


def notes(plan: Plan) -> list[str]:
    """What the numbers leave out or take for granted in this recipe, a sentence each."""
    recipe, said = plan.recipe, []
    if plan.parts > 1:
        said.append(
            f"every number is that of one of {plan.parts} processes, which hold a part each of what learns (runtime.shard); "
            "the peak counts whole weights where they are loaded, sampled from or evaluated"
        )
    elif recipe.runtime.shard == "full":
        said.append('runtime.shard = "full" has no effect in one process: add --launch torchrun --nproc-per-node N')
    if plan.widths == LOW:
        said.append(
            "frozen weights, the sampler's copy, keys and values are counted in bfloat16; what layers keep in float32, "
            "and the copy as one of all weights, which is more than they take"
        )
    if plan.is_nf4:
        said.append(
            f"the weights go through the host's memory as {plan.shape.weights * FLOAT / 1e9:.1f} GB of float32 when they are "
            "loaded, and again when SFT's adapter is merged; sampling multiplies in four bits, without a copy laid out"
        )
    if Parts(recipe).fits and plan.states:
        said.append(
            f"{plan.states / 1e6:,.0f} MB of the reward model's activations are what its frozen layers make of the answers "
            "(reward.trainable_layers), kept while it is fitted"
        )
    if recipe.reward.model and Parts(recipe).is_model:
        said.append("reward.model is counted at the policy's size")
    others = [name for name in recipe.evaluation.truths if name.startswith("model:")]
    if others or recipe.evaluation.guards:
        said.append("models of evaluation.truths and guards are not counted")
    if not plan.shape.is_packed:
        said.append("of this family's own code, which learns and samples here, what layers keep is a rougher estimate")
    return said


def _lengths(recipe: Recipe, start: str) -> tuple[SequenceLengths, UsualDemonstration | None]:
    """Of prompts as the model reads them and of the longest answers that are sampled; of a demonstration, in the mean."""
    tokenizer, context = loading.tokenizer(start)
    source, answer = sources.read(recipe), recipe.sampler.max_new_tokens
    every = sorted(prompt_lengths(Collator(tokenizer, context), source.prompts))
    longest = recipe.data.max_prompt_tokens or nearly_all(every)
    kept = [n for n in every if n <= longest]
    mean = sum(kept) / max(1, len(kept))
    room = min(answer, context)
    lengths = SequenceLengths(max(kept, default=longest), room, mean + room)
    some = source.demonstrations[:SOME]
    if not some:
        return lengths, None
    text = "".join(d.response for d in some)
    written = len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) / len(some)
    batches = max(1, len(some) // recipe.sft.batch_size)  # every so many, since prompts may stand in order
    prompts = [[d.prompt.model_dump_json() for d in some[i::batches]] for i in range(batches)]
    return lengths, UsualDemonstration(mean, written + 1, len(some) / sum(len(set(batch)) for batch in prompts))


def parse_memory(text: str) -> float:
    """Bytes of "24GB", "24 GiB" or "8000MB". `ValueError` for anything else."""
    units = {"MB": 1e6, "GB": 1e9, "TB": 1e12, "MIB": 2.0**20, "GIB": 2.0**30, "TIB": 2.0**40}
    plain = text.strip().upper()
    unit = next((unit for unit in sorted(units, key=len, reverse=True) if plain.endswith(unit)), "")
    try:
        size = float(plain.removesuffix(unit)) * units[unit]
    except (ValueError, KeyError):
        size = 0.0
    if not 0 < size < float("inf"):
        raise ValueError(f"--memory {text}: expected a size such as 24GB or 8000MB")
    return size
