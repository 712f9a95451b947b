"""What is said once before a run begins: settings that do nothing, and code of the user's that it runs."""

from __future__ import annotations

from pathlib import Path

from trueward import artifacts, config
from trueward.config import Recipe
from trueward.pipeline.own_code import named_code


def announcements(recipe: Recipe, run: Path) -> list[str]:
    """A line each. run: its directory; code is named before the first run alone."""
    code = {} if artifacts.is_run(run) else named_code(recipe)
    return [*config.notes(recipe), *(f"{setting} runs code of yours: {place}" for setting, place in code.items())]
