"""What the command line prints, as a text: the same tables in a notebook, a terminal and a log."""

from __future__ import annotations

import io
from typing import Any

from trueward.console import ScreenConsole

WIDTH = 100


def printed(table: Any, *lines: str) -> str:
    """A rich table and the lines under it."""
    out = io.StringIO()
    console = ScreenConsole(file=out, width=WIDTH, color_system=None, force_jupyter=False)
    console.print(table)
    for line in lines:
        console.print(line.replace("\u00a0", " "))
    return "\n".join(row.rstrip() for row in out.getvalue().replace("\u00a0", " ").rstrip().splitlines())
