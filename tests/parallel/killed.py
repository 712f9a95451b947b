"""Runs of two processes of which one is killed, or their launcher, at a moment drawn by chance: `python killed.py FOLDER SEED`.

Everything is imported once; launcher and ranks are forks. What the ranks print, how they ended, and who was still there long
after are left in FOLDER.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from pipelines import SHORT

from trueward.cli.app import main as command
from trueward.parallel import deadlines
from trueward.pipeline import run as _  # noqa: F401 (what the command would import, once for all forks)

NANO = SHORT
TINY = ("sft.batch_size=8", "runtime.checkpoint_seconds=0", "runtime.shard=full")
VICTIMS = ("rank 0", "rank 1", "launcher")
TIMES = 3  # that each of them is killed
ADOPTS = 36  # Linux: prctl's PR_SET_CHILD_SUBREAPER
PATIENCE = 60.0  # seconds until all processes of a run have ended, once one was killed
LONGEST = 300.0


def arguments(recipe: str, run: Path, changes: Sequence[str], until: str) -> list[str]:
    sets = [word for change in changes for word in ("--set", change)]
    return ["run", recipe, "--out", str(run), "--quiet", "--until", until, *sets]


def forked(act: Callable[[], None]) -> int:
    process = os.fork()
    if process:
        return process
    try:
        act()
    except SystemExit as stop:
        os._exit(stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def rank_of(rank: int, world: int, port: int, words: list[str], said: Path, master: str = "127.0.0.1") -> None:
    """One process, as torchrun starts it. master: the address of rank 0's machine."""
    raw = os.open(said / f"rank-{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(raw, 1)
    os.dup2(raw, 2)
    if world > 1:
        numbers = {
            "RANK": rank,
            "WORLD_SIZE": world,
            "LOCAL_RANK": rank,
            "LOCAL_WORLD_SIZE": world,
            "MASTER_PORT": port,
        }
        os.environ.update({name: str(value) for name, value in numbers.items()}, MASTER_ADDR=master)
    sys.argv = ["trueward", *words]
    command()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def launcher(world: int, words: list[str], said: Path) -> None:
    """Starts the ranks; ends the others when one fails, as torchrun does, and exits with its code."""
    port = free_port()
    left = {forked(lambda rank=rank: rank_of(rank, world, port, words, said)): rank for rank in range(world)}
    (said / "ranks.json").write_text(json.dumps({rank: process for process, rank in left.items()}))
    worst = 0
    codes = {}
    while left:
        process, status = os.wait()
        code = os.waitstatus_to_exitcode(status)
        codes[left.pop(process)] = code
        if code and not worst:
            worst = code
            time.sleep(3.0)  # they end by themselves, and say why
            for other in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(other, signal.SIGTERM)
    (said / "codes.json").write_text(json.dumps(codes))
    sys.exit(abs(worst))


def finished(process: int, limit: float) -> int:
    """The exit code of a child, which is killed if it takes longer."""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return -99


def orphans() -> list[int]:
    """The processes that are left of a run after `PATIENCE` seconds; adopted ones that have ended are taken leave of."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                time.sleep(0.05)
        except ChildProcessError:
            return []
    left = [int(p) for p in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    for process in left:
        os.kill(process, signal.SIGKILL)
    return left


def whole(home: Path, world: int, recipe: str, changes: Sequence[str], until: str) -> tuple[int, float]:
    """A run to its end, by so many processes; how it ended, and its seconds."""
    home.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    words = arguments(recipe, home / "run", changes, until)
    code = finished(forked(lambda: launcher(world, words, home)), LONGEST)
    return code, time.monotonic() - begun


def killed(
    home: Path, victim: str, when: Callable[[], None], recipe: str, changes: Sequence[str], until: str
) -> dict[str, object]:
    """A run of two of which one is killed at a moment, or the launcher; who was left."""
    home.mkdir(parents=True)
    first = home / "first"
    first.mkdir()
    process = forked(lambda: launcher(2, arguments(recipe, home / "run", changes, until), first))
    while not (first / "ranks.json").exists():
        time.sleep(0.01)
    when()
    ranks = {int(rank): pid for rank, pid in json.loads((first / "ranks.json").read_text()).items()}
    target = process if victim == "launcher" else ranks[int(victim[-1])]
    with contextlib.suppress(ProcessLookupError):
        os.kill(target, signal.SIGKILL)
    left = orphans()
    said = {rank: (first / f"rank-{rank}.txt").read_text() for rank in ranks if (first / f"rank-{rank}.txt").exists()}
    codes = json.loads((first / "codes.json").read_text()) if (first / "codes.json").exists() else {}
    return {
        "left": left,
        "said": said,
        "codes": codes,
        "had_ended": (home / "run" / "policy" / "manifest.json").exists(),
    }


def waiting(home: Path, is_told: bool) -> dict[str, object]:
    """Rank 0 of two processes, of which the other never comes: told to end, or left to itself for 3 seconds."""
    home.mkdir()
    if not is_told:
        deadlines.SHORTEST, deadlines.TIMES = 3.0, 0.0
    words = arguments("nano", home / "run", NANO, "policy")
    port = free_port()
    process = forked(lambda: rank_of(0, 2, port, words, home))
    if is_told:
        time.sleep(3.0)
        os.kill(process, signal.SIGTERM)
    return {"code": finished(process, PATIENCE), "port": port, "said": (home / "rank-0.txt").read_text()}


def main() -> None:
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    ctypes.CDLL(None).prctl(ADOPTS, 1)
    chance = random.Random(seed)
    found: dict[str, object] = {}
    whole(folder / "warm", 2, "nano", NANO, "sft")  # what is imported late, and what the system reads first
    code, seconds = whole(folder / "never", 2, "nano", NANO, "policy")
    assert code == 0
    for victim in VICTIMS:
        for number in range(TIMES):
            share = chance.uniform(0.05, 0.6)
            home = folder / f"{victim}-{number}"
            case = killed(home, victim, lambda wait=share * seconds: time.sleep(wait), "nano", NANO, "policy")
            world = 1 if number == 1 and victim == "rank 1" else 2
            case |= {"world": world, "share": share, "code": whole(home, world, "nano", NANO, "policy")[0]}
            found[home.name] = case
    home = folder / "sharded"

    def in_the_loop() -> None:
        until = time.monotonic() + LONGEST
        while not any((home / "run" / "sft" / "checkpoints").glob("step-*/state.json")) and time.monotonic() < until:
            time.sleep(0.01)

    found["waits for one who never came"] = waiting(folder / "waiting", is_told=True)
    found["gives up one who never came"] = waiting(folder / "giving-up", is_told=False)
    found["sharded"] = killed(home, "rank 1", in_the_loop, "tiny", TINY, "sft")
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
