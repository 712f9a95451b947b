"""What a launcher told this process of the others, by environment variables, and how one is started: torchrun's own way.

RANK and WORLD_SIZE say who of how many it is, LOCAL_WORLD_SIZE how many there are on its machine. Nothing here loads torch.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

LAUNCHER = "trueward.parallel.elastic"
NESTED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
DIES_WITH_PARENT = 1  # Linux: prctl's PR_SET_PDEATHSIG


def place() -> tuple[int, int]:
    """(rank, number of processes) that torchrun gave this process; (0, 1) if it wasn't started by it."""
    given = [os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE")]
    if not all(given):
        return 0, 1
    if not all(text.isdigit() for text in given) or int(given[0]) >= int(given[1]):
        raise ValueError(
            f"RANK and WORLD_SIZE: expected two numbers as torchrun sets them, got {given[0]!r} and {given[1]!r}"
        )
    return int(given[0]), int(given[1])


def cores() -> int:
    """The cores of this machine that are this process's: all of them, or a share as large as each other process's."""
    beside = os.environ.get("LOCAL_WORLD_SIZE", "1") if place()[1] > 1 else "1"
    return max(1, (os.cpu_count() or 1) // max(1, int(beside) if beside.isdigit() else 1))


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Start `python -m trueward ARGUMENTS` in so many processes by torchrun's elastic launcher; its exit code at the end.

    The launcher is a child, which ends its processes when one of them dies, or when it is told to end itself. What interrupts
    this process is passed on to it. `ValueError` within processes that a launcher has started.
    """
    if place()[1] > 1:
        raise ValueError(
            f"--launch: this is one of {place()[1]} processes that a launcher has started; leave --launch out"
        )
    environment = {name: value for name, value in os.environ.items() if name not in NESTED}
    environment.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    command = [sys.executable, "-m", LAUNCHER, str(os.getpid()), str(processes), *arguments]
    child = subprocess.Popen(command, env=environment)  # noqa: S603 (this program's own arguments, and no shell)
    try:
        code = child.wait()
        if code >= 0:
            return code
        ended = f"the launcher was ended by {signal.Signals(-code).name}; the same command goes on from here"
        print(f"trueward: {ended}", file=sys.stderr, flush=True)
        return 128 - code
    except BaseException:
        child.send_signal(signal.SIGTERM)
        child.wait()
        raise


def die_with(parent: int) -> None:
    """SIGTERM for this process when its parent, which has this id, has died: none is left behind. Linux alone has it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGTERM)
        if os.getppid() != parent:  # it has died before
            sys.exit(128 + signal.SIGTERM)
