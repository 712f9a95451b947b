"""Errors that nobody foresaw, a library's or trueward's own mistakes: one line for each, and the traceback on request."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import trueward

TRACEBACK = "TRUEWARD_TRACEBACK"
LIBRARYS, OURS = 2, 1  # exit codes


def wants_traceback() -> bool:
    """Whether the environment asks for Python's own traceback."""
    return bool(os.environ.get(TRACEBACK))


def line(error: BaseException) -> tuple[str, int]:
    """What to print, and the exit code: 2 if a library raised it, 1 if it comes from trueward's own code."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_ours(frame.filename)]
    is_ours = bool(frames) and _is_ours(frames[-1].filename)
    place = f"{Path(own[-1].filename).name}, line {own[-1].lineno}" if own else "outside trueward"
    what = "a mistake in trueward, please report it" if is_ours else "raised by a library"
    return f"{text} ({what}; {place}; {TRACEBACK}=1 prints the traceback)", OURS if is_ours else LIBRARYS


def _is_ours(file: str) -> bool:
    return Path(file).is_relative_to(Path(trueward.__file__).parent)
