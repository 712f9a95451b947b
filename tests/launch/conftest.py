"""One Ray cluster on this machine for the tests of a file, and small runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SMALL = (  # of the recipe `cluster`, whose model, data and vLLM aren't here
    "model.base=trueward:tiny",
    "model.dtype=float32",
    "sft.model=",
    "data.demonstrations=trueward:toy",
    "data.prompts=",
    "data.max_prompt_tokens=16",
    "data.max_response_tokens=32",
    "sft.epochs=0.2",
    "sft.batch_size=64",
    "sft.learning_rate=0.01",
    "comparisons.source=simulated",
    "comparisons.path=",
    "comparisons.count=60",
    "reward.held_out=0.3",
    "lora.rank=4",
    "policy.steps=7",
    "policy.batch_size=16",
    "policy.group.size=4",
    "policy.learning_rate=0.01",
    "sampler.max_new_tokens=6",
    "sampler.engine.kind=local",
    "evaluation.final_prompts=16",
    "evaluation.step_prompts=16",
    "runtime.micro_batch_tokens=4096",
    "runtime.checkpointing=false",
    "runtime.checkpoint_seconds=0",
    "runtime.threads=1",
    "runtime.ray.cpus=1",
    "runtime.ray.ranks=2",
)
NANO = (
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
    "runtime.threads=1",
    "runtime.ray.ranks=2",
    "runtime.ray.samplers=1",
)
ELSEWHERE = ("runtime.ray.samplers=2", "runtime.ray.scorers=1")
HERE = ("runtime.ray.samplers=0", "runtime.ray.scorers=0")


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, int]]:
    """The address of a cluster of six logical cores, and the process that holds it."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("RAY_ADDRESS", raising=False)
        from trueward.launch import cluster as launch

        with watched_child() as children, launch.connected("", 6):
            import ray

            address = str(ray.get_runtime_context().gcs_address)
            ray.shutdown()
            yield address, children[0]


@contextmanager
def watched_child() -> Iterator[list[int]]:
    """The ids of the processes that are started within the scope by `subprocess`."""
    known, children = subprocess.Popen, []

    class Watched(known):  # type: ignore[misc, valid-type]
        def __init__(self, *given: object, **more: object) -> None:
            super().__init__(*given, **more)  # type: ignore[call-overload]
            children.append(self.pid)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", Watched)
        yield children


def parents() -> dict[int, int]:
    """Each process's parent."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            found[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    return found


def below(process: int) -> set[int]:
    """All processes that this one and its children have started."""
    tree, found = parents(), {process}
    while more := {child for child, parent in tree.items() if parent in found} - found:
        found |= more
    return found - {process}


def actors(process: int, name: str) -> list[int]:
    """The processes of the actors of a class in the cluster that a process holds."""
    found = []
    for each in below(process):
        try:
            words = Path(f"/proc/{each}/cmdline").read_bytes()
        except OSError:
            continue
        if words.startswith(f"ray::{name}".encode()):
            found.append(each)
    return found


def is_gone(process: int) -> bool:
    """Whether it has ended; one that nobody has taken leave of has, too."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def environment() -> dict[str, str]:
    """Of a command of this package's."""
    import trueward

    source = str(Path(trueward.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
