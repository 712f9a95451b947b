"""What is in a run's directory, as far as it can be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from trueward.artifacts import MANIFEST, PIPELINE
from trueward.studio.runs import files, log
from trueward.studio.runs.files import DamagedError, Table

R = TypeVar("R")


class Contents:
    """What is in a run's directory, as far as it can be read; what can't is remembered in a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged: list[str] = []

    def damage(self) -> str:
        """The first thing that is wrong with what was read, in a line; or nothing."""
        odd = ["its name is not UTF-8"] if files.text(self.path.name) != self.path.name else []
        return next(iter([*self.damaged, *odd]), "")

    def guarded(self, read: Callable[[], R], otherwise: R) -> R:
        """What `read` makes of these files; `otherwise` where a field is of a kind that nobody expected, which is damage."""
        try:
            return read()
        except (KeyError, TypeError, AttributeError, IndexError, ValueError, OverflowError) as error:
            self.damaged.append(f"a field is missing or of another kind ({type(error).__name__})")
            return otherwise

    def stages(self) -> list[Table]:
        """A row a stage, in the order in which they ran: name, state, seconds, digest."""
        rows = self._json(PIPELINE, list, files.STAGES)
        begun = ("report.json", f"prepare/{MANIFEST}")
        if not os.path.lexists(self.path / PIPELINE) and any(os.path.lexists(self.path / name) for name in begun):
            self.damaged.append(f"{PIPELINE}: not there")
        if not all(isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows):
            self.damaged.append(f"{PIPELINE}: not a list of stages")
        plain: dict[str, Any] = {"name": str, "state": str, "seconds": int | float, "digest": str}
        return [
            {key: row[key] for key, kind in plain.items() if isinstance(row.get(key), kind)}
            for row in rows
            if isinstance(row, dict) and isinstance(row.get("name"), str)
        ]

    def report(self, keys: Collection[str] | None = None) -> Table:
        """The report, or of it what `keys` name; {} if there's none."""
        report: Table = self._json("report.json", dict, keys=keys)
        return report

    def recipe(self) -> Table:
        """The recipe as it is written."""
        try:
            if not os.path.lexists(self.path / "recipe.toml"):
                raise DamagedError("recipe.toml: not there")
            return files.read_toml(self.path / "recipe.toml")
        except DamagedError as error:
            self.damaged.append(str(error))
            return {}

    def rows(self, name: str) -> list[Table]:
        """All whole rows of a log."""
        path = self.path / name
        try:
            if files.size(path) > files.LOG:
                raise DamagedError(f"{path.name}: larger than {files.LOG // files.MB} MB")
            rows: list[Table] = []
            offset = 0
            while (new := log.new_rows(path, offset)) and new[1] > offset:
                rows += files.clean(new[0])
                offset = new[1]
        except DamagedError as error:
            self.damaged.append(str(error))
            return []
        except RecursionError:
            self.damaged.append(f"{path.name}: nested too deeply")
            return []
        return rows

    def last_evaluation(self) -> Table:
        """The last evaluation's row; {} before the first."""
        path = self.path / "policy/evaluations.jsonl"
        try:
            if files.size(path) > files.LOG:
                raise DamagedError(f"{path.name}: larger than {files.LOG // files.MB} MB")
            return log.last_row(path)
        except DamagedError as error:
            self.damaged.append(str(error))
        except RecursionError:
            self.damaged.append(f"{path.name}: nested too deeply")
        return {}

    def summary(self, stage: str) -> Table:
        """What a finished stage says of itself; {} before."""
        return files.table(self._json(f"{stage}/{MANIFEST}", dict), "summary")

    def _json(self, name: str, kind: type, most: int = files.TABLE, keys: Collection[str] | None = None) -> Any:
        try:
            value = files.read_json(self.path / name, most, keys)
        except DamagedError as error:
            self.damaged.append(str(error))
            value = None
        if value is not None and not isinstance(value, kind):
            self.damaged.append(f"{name}: not {'a list' if kind is list else 'a table'}")
        return value if isinstance(value, kind) else kind()


def flat(table: dict[str, Any], inside: str = "") -> dict[str, Any]:
    """The settings within a recipe's sections, by their dotted names."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{inside}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found
