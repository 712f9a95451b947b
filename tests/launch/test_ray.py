"""`trueward run --launch ray`, on a real cluster of this machine: the run of one process, whoever is killed while it runs."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from trueward import config
from trueward.launch.run import run_by_ray
from trueward.launch.sweep import jobs_by_ray
from trueward.pipeline.run import run_pipeline
from trueward.pipeline.sweep import Over, sweep
from trueward.progress import Progress

sys.path.insert(0, str(Path(__file__).parent))
from conftest import ELSEWHERE, HERE, NANO, SMALL, actors, below, environment, is_gone

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found by Linux's /proc"),
    pytest.mark.timeout(1800),
    # of Ray's own, in this process, which is the driver
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]
WEIGHTS = ("sft/model", "reward_model/model", "policy/model")
KILLS = int(os.environ.get("TRUEWARD_TEST_KILLS", "6"))
SEED = int(os.environ.get("TRUEWARD_TEST_SEED", "20261130"))
Cluster = tuple[str, int]


class Told(Progress):
    """Keeps the lines, and calls `on_step` with every step of the policy."""

    def __init__(self, on_step: Callable[[int], None] = lambda step: None) -> None:
        self.lines: list[str] = []
        self.what, self.on_step = "", on_step

    def start(self, what: str, total: int) -> None:
        self.what = what

    def at(self, done: int, note: str = "") -> None:
        if self.what.startswith("rloo"):
            self.on_step(done)

    def tell(self, text: str) -> None:
        self.lines.append(text)


class Killer:
    """SIGKILL of a rank, a sampler and a scorer in turn, one after each step that is done first, at a drawn moment."""

    ROLES = ("SamplerActor", "RankActor", "ScorerActor")

    def __init__(self, process: int, kills: int, seed: int) -> None:
        self.process, self.left, self.chance = process, kills, random.Random(seed)
        self.done: set[int] = set()
        self.killed: Counter[str] = Counter()
        self.threads: list[threading.Thread] = []

    def __call__(self, step: int) -> None:
        if self.left and step not in self.done:
            self.done.add(step)
            self.left -= 1
            role, wait = self.ROLES[self.left % 3], self.chance.uniform(0, 0.3)
            self.threads.append(threading.Thread(target=self.kill, args=(role, wait)))
            self.threads[-1].start()

    def kill(self, role: str, wait: float) -> None:
        time.sleep(wait)
        until = time.monotonic() + 60
        while not (there := actors(self.process, role)) and time.monotonic() < until:
            time.sleep(0.05)
        if there:
            os.kill(self.chance.choice(sorted(there)), signal.SIGKILL)
            self.killed[role] += 1


def recipe(*more: str) -> config.Recipe:
    return config.read("cluster", [*SMALL, f"policy.steps={KILLS + 1}", *more])


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe's double: two training processes, two samplers and a scorer."""
    home = tmp_path_factory.mktemp("undisturbed")
    told = Told()
    made = run_by_ray(recipe(*ELSEWHERE), home, "run", told, command="test", address=cluster[0])
    assert made.stage == "report"
    assert told.lines[0] == f"Ray, the cluster at {cluster[0]} (1 node): 2 training processes, 2 samplers and 1 scorer"
    assert not any("ended" in line for line in told.lines)
    return home / "run"


@pytest.fixture(scope="module")
def disturbed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told, Killer]:
    """The same, and one after the other is killed."""
    home = tmp_path_factory.mktemp("disturbed")
    killer = Killer(cluster[1], KILLS, SEED)
    told = Told(killer)
    made = run_by_ray(
        recipe(*ELSEWHERE, f"runtime.ray.max_restarts={KILLS}"),
        home,
        "run",
        told,
        command="test",
        address=cluster[0],
        until="policy",
    )
    for thread in killer.threads:
        thread.join()
    assert made.stage == "policy"
    return home / "run", told, killer


def weights(run: Path, place: str) -> dict[str, torch.Tensor]:
    return load_file(run / place / "model.safetensors")


def rows(run: Path) -> tuple[list[int], Counter[int]]:
    """The steps in the log of the policy's loop, and how many answers of each were learned from."""
    metrics = [json.loads(line)["step"] for line in (run / "policy/metrics.jsonl").read_text().splitlines()]
    with gzip.open(run / "policy/rollouts.jsonl.gz", "rt") as log:
        return metrics, Counter(json.loads(line)["step"] for line in log)


def test_killed_at_random_it_ends_in_the_same_bits(undisturbed: Path, disturbed: tuple[Path, Told, Killer]) -> None:
    """Samplers, scorers and training processes alike."""
    run, told, killer = disturbed
    assert killer.killed == Counter(Killer.ROLES[i % 3] for i in range(KILLS))
    for place in WEIGHTS:
        right = weights(undisturbed, place)
        assert all(torch.equal(weight, right[name]) for name, weight in weights(run, place).items()), place
    steps, learned = rows(run)
    assert steps == list(range(1, KILLS + 2)), "no step is lost, and none is there twice"
    assert learned == dict.fromkeys(range(1, KILLS + 2), 16)
    assert sum("the training processes are started again" in line for line in told.lines) == killer.killed["RankActor"]


def test_each_death_is_told(disturbed: tuple[Path, Told, Killer]) -> None:
    """Of one who is asked again. A scorer or a sampler that dies beside a training process is new to the next one, which has
    nothing to tell: tests/sampling/test_remote.py has the lines of one that dies by itself."""
    _, told, killer = disturbed
    assert any(line.startswith("rank ") and "from the last checkpoint" in line for line in told.lines)
    again = sum("had ended: it was started again" in line for line in told.lines)
    assert again <= killer.killed["SamplerActor"] + killer.killed["ScorerActor"]


def test_what_a_run_raises_is_one_line(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^data.prompts: [^\n]*nowhere.jsonl[^\n]*$|^[^\n]*nowhere.jsonl: no such file$"
    ):
        run_by_ray(recipe(*HERE, "data.prompts=nowhere.jsonl"), tmp_path, "run", Progress(), address=cluster[0])
    with pytest.raises(ValueError, match=r"^--launch ray: runtime.ray asks for 9 cores, and the cluster has 6$"):
        run_by_ray(recipe(*HERE, "runtime.ray.ranks=9"), tmp_path, "run", Progress(), address=cluster[0])


def test_the_command_dies_and_nobody_is_left(cluster: Cluster, tmp_path: Path) -> None:
    """SIGKILL of the command that started a cluster of its own; gone on with on another, it is the run of one process."""
    words = ["run", "nano", "--out", str(tmp_path / "two/run"), "--until", "policy", "--quiet", "--launch", "ray"]
    words += [word for change in NANO for word in ("--set", change)]
    variables = {name: value for name, value in environment().items() if name != "RAY_ADDRESS"}
    made = subprocess.Popen(
        [sys.executable, "-m", "trueward", *words], env=variables, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + 900
        while not any((tmp_path / "two/run/policy/checkpoints").glob("step-*/state.json")):
            assert made.poll() is None, made.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
        family = below(made.pid)
        assert len(family) > 5
    finally:
        made.kill()
        made.communicate()
    until = time.monotonic() + 120
    while (left := {each for each in family if not is_gone(each)}) and time.monotonic() < until:
        time.sleep(0.1)
    for each in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    assert not left
    assert not (tmp_path / "two/run/policy/manifest.json").exists()
    nano = config.read("nano", NANO)
    run_by_ray(nano, tmp_path / "two", "run", Progress(), until="policy", address=cluster[0])
    run_pipeline(nano, tmp_path / "one", "run", Progress(), until="policy")
    for place in WEIGHTS:
        mine = weights(tmp_path / "two/run", place)
        for name, weight in weights(tmp_path / "one/run", place).items():
            torch.testing.assert_close(mine[name], weight, rtol=0, atol=1e-6)


def test_a_sweep_is_spread_over_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """The same command resumes: what is finished isn't run again."""
    over = Over("policy.kl_coef", ("0.1", "0.3"))
    before: dict[Path, int] = {}
    for _ in range(2):
        with jobs_by_ray(cluster[0]) as run_jobs:
            given = "nano", [*NANO, "policy.steps=1", "evaluation.every=1"], over, 1, 1, tmp_path, Progress(), "test"
            result = sweep(*given, run_jobs=run_jobs, threads=1)
        assert [row["value"] for row in result["runs"]] == [0.1, 0.3]
        assert not any(row.get("error") for row in result["runs"])
        times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/report/manifest.json")}
        assert len(times) == 2
        assert before in ({}, times)
        before = times


def test_ray_is_imported_by_who_uses_it_alone() -> None:
    code = "import trueward.cli.app, trueward.pipeline.run, trueward.launch.run, sys; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment()).returncode == 0
