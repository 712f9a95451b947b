"""The files of the studio's closed rounds, for recipes that name them: `studio:NAME`, or `studio:NAME@2` up to round 2;
`studio:NAME:honest` for what was said to one of a project's further questions.

A snapshot is a JSONL file beside a manifest with its SHA-256. Reading one needs no database and no extra.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from trueward import artifacts

PREFIX = "studio:"
NAMED = re.compile(r"studio:([^\W_](?:[\w.-]| (?=[\w.-])){0,63})(?::([^\W_][\w-]{0,31}))?(?:@([1-9][0-9]{0,8}))?")


def data_directory() -> Path:
    """The studio's directory: $TRUEWARD_STUDIO, else `studio` in the present directory, beside `runs`."""
    return Path(os.environ.get("TRUEWARD_STUDIO") or "studio")


def snapshot_path(data: Path, project: str, number: int, criterion: str = "") -> Path:
    """The file of a project's closed round `number` (from 1): of the overall question, or of one of its further ones."""
    return data / "rounds" / project / criterion / f"{number:04d}.jsonl"


def snapshots(source: str, data: Path | None = None) -> list[Path]:
    """The files of a project's closed rounds, oldest first, their hashes compared with the manifests.

    `studio:NAME:CRITERION`: those of one of its further questions; a round in which nobody answered it has none.

    `ValueError` in one line if there is no such project, no closed round, or a file is not what was closed.
    """
    if not (named := NAMED.fullmatch(source)):
        raise ValueError(f"{source}: expected studio:NAME, studio:NAME:CRITERION, or either with @ROUND")
    project, criterion, last = named[1], named[2] or "", named[3]
    data = data or data_directory()
    closed = sorted((data / "rounds" / project).glob("[0-9]*.jsonl"))
    if last and len(closed) < int(last):
        raise ValueError(f"{source}: only {len(closed)} rounds of it are closed in {data}")
    files = sorted((data / "rounds" / project / criterion).glob("[0-9]*.jsonl"))
    files = [path for path in files if not last or int(path.stem) <= int(last)]
    if not files and closed:
        there = sorted(path.name for path in closed[0].parent.iterdir() if path.is_dir())
        raise ValueError(
            f"{source}: nothing was said to {criterion!r} in its closed rounds; there are {', '.join(there) or 'no criteria'}"
        )
    if not files:
        raise ValueError(f"{source}: no closed round in {data} (close one in the studio; $TRUEWARD_STUDIO says where)")
    for path in files:
        manifest = path.with_suffix(".json")
        if not manifest.is_file():
            raise ValueError(f"{manifest}: missing beside {path.name}")
        if artifacts.read_json(manifest).get("sha256") != artifacts.sha256(path):
            raise ValueError(f"{path}: is not what was closed (its SHA-256 differs from the one in {manifest.name})")
    return files


def compared(source: str, path: str) -> list[Path]:
    """The files of `comparisons.source` and `.path`: a file, a studio's rounds, or none; a judge is compared with a file's."""
    if source.startswith(PREFIX):
        return snapshots(source)
    return [Path(path)] if source == "file" or (source == "judge" and path) else []
