"""A run's settings beside those of a recipe that ships with trueward."""

from __future__ import annotations

import functools
import tomllib
from typing import Any

from trueward import config
from trueward.studio.runs.contents import Contents, flat

ASIDE = ("name", "description", "format")


@functools.cache
def shipped(name: str) -> dict[str, Any]:
    """The settings of a shipped recipe by dotted name, its defaults among them."""
    return flat(tomllib.loads(config.read(name).toml()))


def beside(run: Contents, against: str | None) -> dict[str, Any]:
    """Every setting of the run with that of a shipped recipe: the one of the run's name, or `against`.

    `LookupError` for a recipe that doesn't ship.
    """
    recipe, names = run.recipe(), list(config.shipped())
    name = against or recipe.get("name")
    if against and against not in names:
        raise LookupError(f"there is no recipe {against!r}; shipped are: {', '.join(names)}")
    other = shipped(str(name)) if name in names else None
    ours = flat(recipe)
    rows = []
    for key in dict.fromkeys([*ours, *(other or {})]):
        if key in ASIDE:
            continue
        row = {"key": key, "value": ours.get(key), "shipped": (other or {}).get(key)}
        rows.append({**row, "differs": other is not None and row["value"] != row["shipped"]})
    return {"against": name if other is not None else None, "shipped": names, "rows": rows, "damage": run.damage()}
