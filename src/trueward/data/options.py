"""How a file is read, where its rows don't say it themselves: what `trueward comparisons import` takes as options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

HALF = 0.5
CONTRADICTIONS = ("stop", "drop")
ORDERS = ("", "best-first")


@dataclass(frozen=True)
class ReadOptions:
    """`format`: the form, where it's given. `columns`: trueward's name of a column to the file's. `roles`: a speaker's name to
    the role it stands for. `contradictions`: what is done with a row whose evidence contradicts itself. `order`: what the
    order of a list of responses says. `tolerate`: the share of rows that may be unusable.
    """

    format: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    contradictions: str = "stop"
    order: str = ""
    tolerate: float = HALF

    def __post_init__(self) -> None:
        if self.contradictions not in CONTRADICTIONS:
            raise ValueError(f'--contradictions: expected stop or drop, got "{self.contradictions}"')
        if self.order not in ORDERS:
            raise ValueError(f'--order: expected best-first, got "{self.order}"')
        if not 0 <= self.tolerate <= 1:
            raise ValueError(f"--tolerate: expected a share from 0 to 1, got {self.tolerate:g}")


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
