"""The files in a run's directory: a list, and the beginning of one that is text. A request names one of the list."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from trueward.studio.runs import files

MOST, DEEPEST, SHOWN = 2000, 4, 64 * 1024
TEXTS = (".json", ".jsonl", ".toml", ".md", ".txt", ".log", ".csv", ".jinja")


def listing(run: Path) -> dict[str, Any]:
    """Every regular file with its size and the time of its last change, at most `MOST`; `left_out` counts links and pipes."""
    found: list[dict[str, Any]] = []
    left_out = _walk(run, run, DEEPEST, found)
    found.sort(key=lambda row: row["path"].split("/"))
    return {
        "files": found[:MOST], "bytes": sum(row["bytes"] for row in found), "more": max(0, len(found) - MOST),
        "left_out": left_out,
    }  # fmt: skip


def beginning(run: Path, name: str) -> dict[str, Any]:
    """The first 64 KB of a text of the list. `LookupError` if it isn't in the list, or no text."""
    row = next((row for row in listing(run)["files"] if row["path"] == name), None)
    if row is None or not row["text"]:
        raise LookupError(f"there is no text {name!r} in this run")
    try:
        with files.opened(run / name) as file:
            raw = file.read(SHOWN + 1)
    except (OSError, files.DamagedError):
        raise LookupError(f"{name!r} can't be read") from None
    return {
        "path": name,
        "text": raw[:SHOWN].decode("utf-8", "replace"),
        "cut": len(raw) > SHOWN,
        "bytes": row["bytes"],
    }


def _walk(run: Path, folder: Path, depth: int, rows: list[dict[str, Any]]) -> int:
    odd = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    if depth > 1 and len(rows) <= MOST:
                        odd += _walk(run, Path(entry.path), depth - 1, rows)
                elif entry.is_file(follow_symlinks=False):
                    seen = entry.stat(follow_symlinks=False)
                    name = Path(entry.path).relative_to(run).as_posix()
                    is_text = entry.name.endswith(TEXTS) and files.text(name) == name
                    rows.append({"path": files.text(name), "bytes": seen.st_size, "at": seen.st_mtime, "text": is_text})
                else:
                    odd += 1
    return odd
