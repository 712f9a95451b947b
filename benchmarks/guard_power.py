"""How large a loss the test of guards finds: items that are right or wrong, SFT right on 80 %, both policies sampled anew.

`python benchmarks/guard_power.py` prints, by the loss, the share of runs in which the guard is called fallen.
"""

from __future__ import annotations

import argparse

import numpy as np

from trueward.evaluation.guard_test import fallen
from trueward.evaluation.paired_items import PairedItems

SFT = 0.8
FLAT = {"gain": 0.0, "gain_se": 0.05, "gain_z": 0.0, "items": 100}
CASES = ((128, 1, 1), (128, 3, 4), (400, 3, 4))  # items, guards, looks


def found(loss: float, items: int, guards: int, looks: int, alike: float, seed: int) -> bool:
    """Whether one guard is called fallen at its last look. alike: share of items on which both policies draw alike."""
    rng = np.random.default_rng(seed)
    theirs = rng.random(items)
    ours = np.where(rng.random(items) < alike, theirs, rng.random(items))
    scores = [(draws < share).astype(float) for draws, share in ((ours, SFT - loss), (theirs, SFT))]
    row = PairedItems.between("guard", [str(i) for i in range(items)], scores[0], scores[1], 1.0).row()
    others = {f"other {i}": FLAT for i in range(guards - 1)}
    return bool(
        fallen([{"step": k, "guards": {"guard": row if k == looks else FLAT, **others}} for k in range(1, looks + 1)])
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    names = [f"{n} items, {g} guard{'s' * (g > 1)}, look {k}, alike {a:g}" for n, g, k in CASES for a in (0.0, 0.7)]
    print("| loss | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for loss in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3):
        shares = [np.mean([found(loss, *case, a, s) for s in range(runs)]) for case in CASES for a in (0.0, 0.7)]
        print(
            f"| {100 * loss:.0f} points | " + " | ".join(f"{100 * share:.0f} %" for share in shares) + " |", flush=True
        )


if __name__ == "__main__":
    main()
