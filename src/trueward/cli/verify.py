"""`trueward verify`: every file of a run against the digest that was written with it."""

from __future__ import annotations

from typing import Annotated

import typer


def verify(run: Annotated[str, typer.Argument(help="A run's name or directory.")]) -> int:
    """Hash every file of a run's stages and checkpoints and compare. Exit code 2 if one is damaged."""
    from trueward.cli.terminal import run_directory
    from trueward.pipeline import verify as stages

    rows = stages.verify(run_directory(run))
    width = max((len(row.name) for row in rows), default=0)
    for row in rows:
        print(f"{row.name:<{width}}  {row.damage or f'whole, {row.files} files'}")
    return 2 if any(row.damage for row in rows) else 0
