"""What the scripts here share: the process that they are, of how many, and where they write."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed

from trueward.parallel.fabric import Fabric


def join(main: Callable[[Fabric, Path], None]) -> None:
    """Meet the others, do it, part. The arguments of the process: RANK WORLD FOLDER."""
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    if world > 1:
        distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=world)
    main(Fabric.of_this_process(), folder)
    if world > 1:
        distributed.destroy_process_group()
