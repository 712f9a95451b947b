"""A PPO loop that is stopped and goes on with another number of processes: `python sharded_resume.py FOLDER 2 1 4`.

Each group goes some steps further in the same directory, FOLDER/run, with sharded networks where there are several processes.
The policy is evaluated every second step, and kept if it is better.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import group
import torch
from one_step import Loops
from safetensors.torch import save_file

from trueward.batches import Step
from trueward.models import loading
from trueward.models.network import Network
from trueward.parallel.fabric import Fabric
from trueward.training.driver import EvalSchedule, Evaluation, drive
from trueward.training.env import Env
from trueward.training.following_journal import FollowingJournal
from trueward.training.journal import DirectoryJournal, Journal
from trueward.training.state import State

UNTIL = {2: 3, 1: 5, 4: 7}  # the step at which each number of processes stops
LIMIT = 60  # seconds


def summary(policy: Network) -> float:
    """Of all weights: NaN or an error if one isn't there."""
    return sum(float(p.detach().double().abs().sum()) for p in policy.model.parameters())


def drive_some(fabric: Fabric, folder: Path, until: int) -> None:
    loops = Loops(fabric, folder.parent)
    algorithm, config, setup = loops.ppo()
    config = config.model_copy(update={"steps": max(UNTIL.values())})
    folder.mkdir(exist_ok=True)

    def load(place: Path) -> Network:
        return loading.causal(str(place), 0, torch.device("cpu"))

    journal: Journal = DirectoryJournal(folder, load) if fabric.leads else FollowingJournal(folder)

    def evaluate(step: int) -> Evaluation:
        return Evaluation({"truth": float(step), "summary": summary(setup.policy)}, [], float(step))

    def some(state: State, steps: Iterator[Step]) -> Iterator[Step]:
        return islice(steps, max(0, until - state.step))

    env = Env(checkpoint_seconds=0.0, fabric=fabric, shards=True)
    schedule = EvalSchedule(2, evaluate, setup.policy) if fabric.leads else None
    outcome = drive(algorithm, config, setup, journal, env, schedule, around=some, what="ppo")
    assert outcome.state.step == until
    if fabric.leads:
        networks = {
            "policy": setup.policy.model,
            "value": setup.critic.network.model,
            "reference": setup.reference.model,
        }
        tensors = {f"{n}.{k}": v.detach().clone() for n, m in networks.items() for k, v in m.named_parameters()}
        save_file(tensors, folder / f"whole-{until}.safetensors")


def main(fabric: Fabric, folder: Path) -> None:
    signal.alarm(LIMIT)
    drive_some(fabric, folder.parent / "run", UNTIL[fabric.world])
    if fabric.is_alone:  # the same without a stop
        drive_some(fabric, folder.parent / "straight", max(UNTIL.values()))
    (folder / f"done-{fabric.rank}.json").write_text(json.dumps(True))


if __name__ == "__main__":
    group.join(main)
