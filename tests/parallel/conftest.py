"""Several processes at once, as torchrun starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Processes = Callable[..., Path]


def run(script: str, folder: Path, *worlds: int, timeout: float = 600) -> Path:
    """`python SCRIPT FOLDER WORLD…`, which has to end well within `timeout` seconds. What they leave is in FOLDER/WORLD."""
    # torch's own log of its sockets is left out, as `trueward run --launch` leaves it out.
    quiet = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    environment = {**os.environ, **quiet}
    command = [sys.executable, str(Path(__file__).with_name(script)), str(folder), *map(str, worlds)]
    made = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        assert made.wait(timeout) == 0
    finally:
        if made.poll() is None:  # those that wait for one that has failed, too
            os.killpg(made.pid, signal.SIGKILL)
            made.wait()
    return folder


@pytest.fixture(scope="session")
def start_processes() -> Processes:
    return run
