"""Sweeps under the directory of runs, finished or not: the contents of sweep.html, for the studio's own page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from trueward.artifacts import OLDER, PIPELINE
from trueward.reporting import sweep_page
from trueward.studio.runs import files

FILE = "sweep.json"
DEEPEST = 3
Picture = Literal["value", "distance"]
KEPT = ("value", "seed", "run", "truth", "proxy", "kl", "best_truth", "best_step", "verdict", "error")


def all_of(home: Path) -> list[dict[str, Any]]:
    """A row for each sweep, the last changed one first."""
    rows = []
    for name, path in _sweeps(home, home, DEEPEST).items():
        if (sweep := read(path)) is not None:
            rows.append({"name": name, "touched": path.stat().st_mtime, **_head(sweep)})
    return sorted(rows, key=lambda row: -row["touched"])


def one(home: Path, name: str) -> dict[str, Any]:
    """The contents of a sweep's page, runs by their names in the studio. `LookupError` if there is no such sweep."""
    sweep = path_and_sweep(home, name)[1]
    try:
        return _page(name, sweep)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise LookupError(f"the sweep {name!r} has a damaged {FILE}: fields are missing or of another kind") from None


def _page(name: str, sweep: dict[str, Any]) -> dict[str, Any]:
    points = sweep_page.ordered(sweep["points"])
    before = "" if name == "." else f"{name}/"
    return {
        "name": name,
        **_head(sweep),
        "short": sweep_page.named(sweep["over"]),
        "command": sweep.get("command", ""),
        "points": [
            {**p, "text": sweep_page.value(p["value"]), "standing": sweep_page.standing(p, sweep),
             "words": sweep_page.verdicts(p)}
            for p in points
        ],
        "runs": [
            {**{key: run.get(key) for key in KEPT}, "run": before + str(run["run"]), "text": sweep_page.value(run["value"])}
            for run in sweep["runs"]
        ],
    }  # fmt: skip


def picture(home: Path, name: str, kind: Picture, narrow: bool) -> str:
    """One of the sweep page's pictures, as SVG."""
    try:
        return sweep_page.picture(path_and_sweep(home, name)[1], kind, narrow)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise LookupError(f"the sweep {name!r} has a damaged {FILE}: fields are missing or of another kind") from None


def path_and_sweep(home: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """The directory and contents of the sweep of this name. `LookupError` if there is none."""
    path = _sweeps(home, home, DEEPEST).get(name)
    sweep = read(path) if path is not None else None
    if path is None or sweep is None:
        raise LookupError(f"there is no sweep {name!r}")
    return path, sweep


def read(path: Path) -> dict[str, Any] | None:
    """The contents of sweep.json; None if it isn't a sweep's, or is of trueward 0.1 (format 1)."""
    try:
        table = files.read_json(path)
    except files.DamagedError:
        return None
    is_one = (
        isinstance(table, dict)
        and table.get("format") != 1
        and all(isinstance(table.get(key), list) for key in ("points", "runs"))
        and all(isinstance(row, dict) for row in [*table["points"], *table["runs"]])
    )
    return table if is_one and isinstance(table.get("over"), str) else None


def _head(sweep: dict[str, Any]) -> dict[str, Any]:
    return {
        "recipe": sweep.get("recipe"),
        "over": sweep["over"],
        "sentence": sweep.get("sentence", ""),
        "best": files.table(sweep, "advice").get("best"),
        "done": len(sweep["runs"]),
        "planned": sweep.get("planned", len(sweep["runs"])),
    }


def _sweeps(home: Path, folder: Path, depth: int) -> dict[str, Path]:
    try:
        inside = sorted(entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return {}
    sweeps = {}
    if os.path.isfile(folder / FILE):
        sweeps[files.text(folder.relative_to(home).as_posix())] = folder / FILE
    elif depth and not any(os.path.isfile(folder / name) for name in (PIPELINE, OLDER)):
        for path in inside:
            sweeps |= _sweeps(home, Path(path), depth - 1)
    return sweeps
