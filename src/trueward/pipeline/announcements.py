"""Notes printed once before a run begins: settings that do nothing, and the user's own code that it runs."""

from __future__ import annotations

from pathlib import Path

from trueward import artifacts, config
from trueward.config import Recipe
from trueward.pipeline.own_code import named_code


def announcements(recipe: Recipe, run: Path) -> list[str]:
    """The notes, a line each. run: its directory; own code is named only before the first run in it."""
    code = {} if artifacts.is_run(run) else named_code(recipe)
    return [*config.notes(recipe), *(f"{setting} runs code of yours: {place}" for setting, place in code.items())]
