"""Steps in which each process has another number of micro-batches, some none: `python uneven.py FOLDER 3`."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import group
import torch

from trueward.parallel.fabric import Fabric

LIMIT = 20  # seconds
LENGTHS = ([60, 55], [60, 58, 57, 56, 4, 3, 2])


def main(fabric: Fabric, folder: Path) -> None:
    signal.alarm(LIMIT)  # ends a process that waits for another one, and with it the test
    counts = []
    for lengths in LENGTHS:
        weight = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
        parts = fabric.micro_batches(torch.tensor(lengths), 60)
        for rows in parts:
            (weight * (rows + 1.0).sum()).sum().backward()
        fabric.sum_gradients([weight])
        assert weight.grad is not None, "who had no rows has the sum of the others too"
        assert weight.grad.tolist() == [sum(range(1, len(lengths) + 1))] * 3
        counts.append(len(parts))
    (folder / f"parts-{fabric.rank}.json").write_text(json.dumps(counts))


if __name__ == "__main__":
    group.join(main)
