"""Some steps of every training loop with sharded networks: `python sharded_steps.py FOLDER WORLD…`; one process has them whole.

Writes the whole weights after `FEW` and after `STEPS` steps, and the figures of each step, into FOLDER/WORLD.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import group
import torch
from one_step import STEPS, Loops
from safetensors.torch import save_file

from trueward.models import checkpointing
from trueward.models.sharded import is_part, whole_tensor
from trueward.parallel.fabric import Fabric
from trueward.training.sharding import sharded

FEW = 3
LIMIT = 20  # seconds a loop may take before it is taken to wait for ever
SINGLE = (
    "sft",
    "sft, lora",
    "reward_model",
    "dpo",
    "sft, the top layer",
    "reward_model, the top layer",
)  # in float32, on the packed path


def weights(networks: dict[str, torch.nn.Module]) -> dict[str, torch.Tensor]:
    named = {f"{n}.{k}": v.detach() for n, net in networks.items() for k, v in net.named_parameters()}
    return {k: whole_tensor(v).clone() for k, v in named.items()}


def run(fabric: Fabric, folder: Path, loops: Loops, name: str, most: int, suffix: str = "") -> dict[str, Any]:
    """One loop; what it left: figures, and how much of the weights this process held between two steps."""
    signal.alarm(LIMIT)  # ends a process that waits for another one, and with it the test
    make, steps = loops.by_name()[name]
    algorithm, config, whole = make()
    setup, shards = sharded(whole, fabric, is_on=True)
    state = algorithm.start(config, setup)
    figures: list[dict[str, float]] = []
    for step in shards.steps(algorithm.train(config, setup, state), lambda number: number == FEW):
        figures.append(step.metrics)
        if step.number in (FEW, min(steps, most)):
            save_file(weights(state.networks), folder / f"{name}{suffix}-{step.number}-{fabric.rank}.safetensors")
        if step.number == min(steps, most):
            break
    held = sum(p.to_local().numel() for net in state.networks.values() for p in net.parameters() if is_part(p))
    shards.gather()
    known = {n: getattr(whole, n).model for n in ("policy", "network") if hasattr(whole, n)}
    parts = {"policy": "policy", "network": "reward"}
    equal = [
        torch.equal(weight, whole_tensor(part))
        for n, model in known.items()
        for weight, part in zip(model.parameters(), state.networks[parts[n]].parameters(), strict=True)
    ]
    signal.alarm(0)
    return {"figures": figures, "held": held, "as_a_whole": all(equal)}


def main(fabric: Fabric, folder: Path) -> None:
    loops, single = Loops(fabric, folder), Loops(fabric, folder, is_double=False)
    most = STEPS if fabric.world < 4 else FEW
    names = [name for name, (_, steps) in loops.by_name().items() if steps == STEPS or fabric.world < 4]
    found = {name: run(fabric, folder, loops, name, most) for name in names}
    found |= {f"{name}, float32": run(fabric, folder, single, name, FEW, ", float32") for name in SINGLE}
    with checkpointing.checkpointed_layers(True):
        found["sft, float32, again"] = run(fabric, folder, single, "sft", FEW, ", float32, again")
    if fabric.world == 2:
        again = run(fabric, folder, loops, "ppo", FEW, ", again")
        assert again["figures"] == found["ppo"]["figures"][:FEW], "the same number of processes, the same bits"
    (folder / f"found-{fabric.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    group.join(main)
