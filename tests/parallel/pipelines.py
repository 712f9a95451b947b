"""Whole pipelines as one of two processes: `python pipelines.py FOLDER 2`. Each leaves in FOLDER/2 what it saw."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest import mock

import group
import torch

from trueward import config
from trueward.algorithms import ppo
from trueward.parallel import joining
from trueward.parallel.fabric import Fabric
from trueward.pipeline.run import run_pipeline
from trueward.progress import Progress
from trueward.sampling.rank_pool import RankPool

SHORT = (
    "policy.steps=4",
    "policy.learning_rate=1e-4",
    "policy.value_learning_rate=1e-4",
    "policy.batch_size=32",
    "comparisons.count=200",
    "reward.epochs=2",
    "reward.learning_curve=false",
    "evaluation.every=2",
    "evaluation.final_prompts=16",
    "evaluation.step_prompts=16",
    "evaluation.control=never",
    "runtime.checkpoint_seconds=0",
)
OWN = ("reward.kind=verifier", "policy.kind=grpo", "policy.group.size=4", "evaluation.every=4")
SCORER = '''
import os

def own(completions):
    """Notes each answer in a file that both processes write to."""
    with open(os.environ["ASKED"], "a") as asked:
        for c in completions:
            asked.write(c.prompt.text + "|" + c.response.replace("\\n", " ") + "\\n")
    return [len(set(c.response.split())) / 10 for c in completions]
'''
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
WRITTEN: list[str] = []


def seen(event: str, given: tuple[Any, ...]) -> None:
    """Notes what this process opens to write, creates, renames and removes."""
    changes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink")
    if changes or (event == "open" and isinstance(given[2], int) and given[2] & WRITES):
        WRITTEN.append(f"{event} {given[0]}")


@contextmanager
def another_version(name: str) -> Iterator[None]:
    """A package that is newer in this process."""
    known = metadata.version
    with mock.patch.object(joining.metadata, "version", lambda n: "9.9" if n == name else known(n)):
        yield


@contextmanager
def another_weight() -> Iterator[None]:
    """Weights that are a little off in this process alone, from the second step of the policy on."""
    known = ppo.clip
    calls = [0]

    def off(network: torch.nn.Module, limit: float) -> torch.Tensor:
        calls[0] += 1
        if calls[0] == 3:
            with torch.no_grad():
                next(network.parameters()).view(-1)[0] += 1e-3
        return known(network, limit)

    with mock.patch.object(ppo, "clip", off):
        yield


def ended(act: Callable[[], object]) -> str:
    """How it ended: "" or the error."""
    try:
        act()
    except SystemExit as stop:
        return f"exit {stop.code}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main(fabric: Fabric, folder: Path) -> None:
    last = fabric.rank == 1
    sys.addaudithook(seen)
    os.environ["ASKED"] = str(folder / "asked.txt")

    helped: list[str] = []
    known = RankPool.help

    def counted(ranks: RankPool, asked: dict[str, Any]) -> None:
        helped.append(f"{asked['act']} {len(asked.get('prompts', asked.get('rows', ())))}")
        known(ranks, asked)

    def run(name: str, *more: str) -> str:
        recipe = config.read("nano", [*SHORT, *more])
        return ended(lambda: run_pipeline(recipe, folder / name, "run", Progress(), command="test"))

    with mock.patch.object(RankPool, "help", counted):
        found = {"whole": run("whole"), "again": run("whole")}
    found["own scorer"] = run("own", *OWN, "reward.verifier=counting:own")
    found["another seed"] = run("whole", f"seed={fabric.rank}")
    with another_version("numpy") if last else nullcontext():
        found["another version"] = run("whole")
    with another_weight() if last else nullcontext():
        found["another weight"] = run("another", "policy.kl_coef=0.2")
    found["a recipe that can't be run"] = run(
        "wrong", "data.prompts=/nowhere.jsonl", "comparisons.source=file", "comparisons.path=x"
    )
    own = [what for what in WRITTEN if str(folder) in what and "asked.txt" not in what]
    (folder / f"found-{fabric.rank}.json").write_text(json.dumps({"ended": found, "written": own, "helped": helped}))


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, sys.argv[1])
    (Path(sys.argv[1]) / "counting.py").write_text(SCORER)
    group.join(main)
