"""What the scripts here share: `python SCRIPT FOLDER WORLD…` forks so many processes, one group after the other.

The script imports torch and trueward once, which takes seconds, and each process is a fork of it.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed

from trueward.parallel.fabric import Fabric

Main = Callable[[Fabric, Path], None]


def join(main: Main) -> None:
    """For every WORLD: that many processes meet, do it in FOLDER/WORLD, and part. All have to end well."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    for world in map(int, sys.argv[2:]):
        place = folder / str(world)
        place.mkdir(parents=True)
        made = [_fork(main, rank, world, place) for rank in range(world)]
        if any(os.waitpid(process, 0)[1] for process in made):
            sys.exit(1)


def _fork(main: Main, rank: int, world: int, folder: Path) -> int:
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        if world > 1:
            meeting = f"file://{folder / 'meeting'}"
            distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
        main(Fabric.of_this_process(), folder)
        if world > 1:
            distributed.destroy_process_group()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
