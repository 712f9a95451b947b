"""How a file is read, where its rows don't say it themselves: what `trueward comparisons import` takes as options."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

HALF = 0.5
CONTRADICTIONS = ("stop", "drop")
ORDERS = ("", "best-first")


@dataclass(frozen=True)
class ReadOptions:
    """`format`: the form, where it's given. `columns`: trueward's name of a column to the file's. `roles`: a speaker's name to
    the role it stands for. `contradictions`: what is done with a row whose evidence contradicts itself. `order`: what the
    order of a list of responses says. `tolerate`: the share of rows that may be unusable. `in_recipe`: they are settings of
    [data], for several files: errors spell them so, and a file without a column of `columns` may have it by trueward's name.
    `keep`: prompts keep the other columns of their rows, for scorers.
    """

    format: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    contradictions: str = "stop"
    order: str = ""
    tolerate: float = HALF
    in_recipe: bool = False
    keep: bool = False

    def __post_init__(self) -> None:
        if self.contradictions not in CONTRADICTIONS:
            raise ValueError(f'--contradictions: expected stop or drop, got "{self.contradictions}"')
        if self.order not in ORDERS:
            raise ValueError(f'--order: expected best-first, got "{self.order}"')
        if not 0 <= self.tolerate <= 1:
            raise ValueError(f"--tolerate: expected a share from 0 to 1, got {self.tolerate:g}")

    def for_columns(self, names: Collection[str]) -> ReadOptions:
        """The same with those of `columns` alone that a kind of file has."""
        return replace(self, columns={name: column for name, column in self.columns.items() if name in names})

    def spelled(self, message: str) -> str:
        """An error's message, in which options of the command line are what they are in a recipe."""
        if not self.in_recipe:
            return message
        message = re.sub(r"--(columns|roles) ([\w.-]+)=([\w.-]+)", r'data.\1 = {\2 = "\3"}', message)
        message = re.sub(r"--(order|contradictions) ([\w-]+)", r'data.\1 = "\2"', message)
        return re.sub(r"--format ([\w-]+)", r"`trueward comparisons import --format \1`", message)


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """`a=b,c=d`, in one text or several, as a table; `ValueError` names the option."""
    table: dict[str, str] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise ValueError(f'{option}: expected NAME=VALUE, separated by commas, got "{part}"')
        if name in table:
            raise ValueError(f"{option}: {name} is given twice")
        table[name] = value
    return table
