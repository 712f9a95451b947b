"""The pictures of docs/studio.md with the runs that they show: python scripts/studio_pictures.py RUNS

Makes in RUNS what is not there yet (k0, a run of `nano` without an anchor; a sweep; three seeds of three β), then takes the
screenshots of scripts/studio_screenshots.py. About half an hour on one core, the first time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import studio_screenshots
import trueward as tw

BETAS, SEEDS, STEPS = (0.0, 0.1, 1.0), 3, 60


def make(runs: Path) -> None:
    """The runs, each once."""
    one = {"runtime.threads": 1, "policy.steps": STEPS}
    if not (runs / "k0/report.json").is_file():
        tw.run("nano", {**one, "policy.kl_coef": 0.0}, out=runs / "k0")
    for beta in BETAS:
        for seed in range(SEEDS):
            folder = runs / f"seeds/b{beta}-s{seed}"
            if not (folder / "report.json").is_file():
                tw.run("nano", {**one, "policy.kl_coef": beta, "seed": seed}, out=folder)
    if not (runs / "sweep/sweep.json").is_file():
        tw.sweep("nano", {"policy.kl_coef": [0.0, 0.1, 0.3, 1.0]}, one, seeds=2, out=runs / "sweep")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
    studio_screenshots.main(Path(sys.argv[1]), [])
