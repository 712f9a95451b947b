"""Reads registry.toml: every measured table and picture of the docs, with the command that makes it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = Path(__file__).with_name("registry.toml")
KEPT = ROOT / "benchmarks" / "kept"


@dataclass(frozen=True)
class Figure:
    """Some tables or pictures that one command makes.

    page: where they stand. command: a script of the repository with its arguments; `{kept}` is a path under benchmarks/kept
    that the script appends its rows to, so that it goes on where it was stopped. then: a second script, for what the first
    one left. needs: what has to be there first, in words. hours: about, on two cores. shows: paths whose change makes it
    older than what it shows. images: those in docs/images that it draws. heading: where a page has several tables of one form,
    the one that its tables stand under.
    """

    name: str
    page: str
    command: tuple[str, ...]
    hours: float
    shows: tuple[str, ...]
    images: tuple[str, ...] = ()
    heading: str = ""
    needs: str = ""
    then: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[Path, ...]:
        """What its command keeps: rows first, runs beside them after; empty where it keeps nothing."""
        ends = [part.removeprefix("{kept}") for part in self.command if part.startswith("{kept}")]
        return tuple(KEPT / f"{self.name}{end}" for end in sorted(ends, key=lambda end: not end))

    def commands(self) -> list[list[str]]:
        """What is run, without Python's own name."""
        whole = [self.command, *([self.then] if self.then else [])]
        return [[part.replace("{kept}", str(KEPT / self.name)) for part in words] for words in whole]


def read(path: Path = REGISTRY) -> list[Figure]:
    """All of them, in the file's order. `ValueError` for one that is not as it has to be, with its name."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    groups: dict[str, list[str]] = table["groups"]
    figures = []
    for name, row in table["figure"].items():
        known = {"page", "command", "then", "hours", "shows", "images", "heading", "needs"}
        if wrong := set(row) - known:
            raise ValueError(f"{path.name}: {name}: {', '.join(sorted(wrong))}: no such key")
        shows = [one for group in row["shows"] for one in groups.get(group, [group])]
        figures.append(
            Figure(
                name,
                row["page"],
                tuple(row["command"]),
                float(row["hours"]),
                tuple(dict.fromkeys([*shows, row["command"][0]])),
                tuple(row.get("images", ())),
                row.get("heading", ""),
                row.get("needs", ""),
                tuple(row.get("then", ())),
            )
        )
    return figures


def named(name: str) -> Figure:
    """One of them. `ValueError` that lists all where there is none of that name."""
    figures = {figure.name: figure for figure in read()}
    if name not in figures:
        raise ValueError(f"there is no figure {name}; there are {', '.join(figures)}")
    return figures[name]
