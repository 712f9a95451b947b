"""Which layout for which size: arithmetic alone, for docs/scaling.md.

    python benchmarks/layouts.py

For models of 0.5 to 70 billion weights and 1, 8 and 64 devices of 80 GB, the recipe `instruct`: what a device holds at most,
in which stage, and what a step of the policy sends and receives. Whole networks on every device, where that fits, else
`runtime.shard = "full"`; products in bfloat16, checkpointing, 64 answers of 256 tokens to prompts of 512 on each device, 4,096
tokens at once. Gradients are summed around a ring: twice their bytes, less a share.
"""

from __future__ import annotations

import math
from typing import Any

import memory

from trueward import config
from trueward.pipeline.footprint.arithmetic import LOW
from trueward.pipeline.footprint.model_shape import of_config
from trueward.pipeline.footprint.stage_memory import Plan, SequenceLengths

SIZES = {  # as their config.json has them
    **{name: memory.HUB[name] for name in ("Qwen2.5-0.5B", "Qwen2.5-3B", "Qwen2.5-7B")},
    "Qwen2.5-32B": ("qwen2", (5120, 64, 40, 8, 27648), 152064, False),
    "Llama-3.1-70B": ("llama", (8192, 80, 64, 8, 28672), 128256, False),
}
LEARNS = {"all weights": ["lora.rank=0"], "adapters, rank 16": ["lora.rank=16"]}
DEVICES, CARD, ANSWERS = (1, 8, 64), 80e9, 64  # how many, bytes of one, answers of a step on each


HEAD = (
    "model",
    "what learns",
    "devices",
    "layout",
    "a device holds at most, in",
    "fits 80 GB",
    "a step moves, a device",
)


def fits(made: Plan) -> bool:
    """Whether a device's process does, with a gigabyte to spare."""
    return max(stage.peak for stage in made.stages()) + memory.RESERVE <= CARD


def plan(shape: Any, changes: list[str], parts: int) -> Plan:
    """The plan of one device's process."""
    batch = f"policy.batch_size={ANSWERS}"  # of a process: the arithmetic is one's
    recipe = config.read("instruct", [*changes, batch, "runtime.checkpointing=true"])
    return Plan(recipe, shape, SequenceLengths(512, 256), memory.TOKENS, LOW, parts=parts)


def moved(made: Plan, devices: int) -> float:
    """Bytes that a step sends and receives, a device: gradients, and whole weights where they lie in parts."""
    ring, gradients = (devices - 1) / devices, made.trained * 4.0
    if made.parts == 1:
        return 2 * ring * gradients
    passes = math.ceil(ANSWERS * made.lengths.longest / memory.TOKENS)
    weights = made.shape.weights * (made.widths.frozen if made.rank else 4.0)
    return ring * (passes * (2 * weights + gradients) + weights)  # gathered twice a micro-batch, once for the rollout


def main() -> None:
    """The table."""
    print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|")
    for name, (family, sizes, vocabulary, tied) in SIZES.items():
        shape = of_config(memory.config_of(family, sizes, vocabulary, tied))
        for what, changes in LEARNS.items():
            for devices in DEVICES:
                made = plan(shape, changes, 1)
                if not fits(made) and devices > 1:
                    made = plan(shape, changes, devices)
                largest = max(made.stages(), key=lambda stage: stage.peak)
                layout = "one process" if devices == 1 else "parts" if made.parts > 1 else "whole"
                holds = f"{largest.peak / 1e9:.0f} GB, `{largest.stage}`"
                traffic = f"{moved(made, devices) / 1e9:.2f} GB" if devices > 1 else "nothing"
                row = [name, what, str(devices), layout, holds, "yes" if fits(made) else "no", traffic]
                print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
