"""Several processes at once, as torchrun starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Processes = Callable[[str, Path, int], Path]


def run(script: str, folder: Path, world: int) -> Path:
    """`python SCRIPT RANK WORLD FOLDER` for every rank, all of which have to end well. What they leave is in the folder."""
    folder.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    place = Path(__file__).with_name(script)
    made = [
        subprocess.Popen([sys.executable, str(place), str(rank), str(world), str(folder)], env=environment)
        for rank in range(world)
    ]
    try:
        assert [p.wait(timeout=240) for p in made] == [0] * world
    finally:
        for p in made:
            p.kill()  # those that wait for one that has failed
            p.wait()
    return folder


@pytest.fixture(scope="session")
def start_processes() -> Processes:
    return run
