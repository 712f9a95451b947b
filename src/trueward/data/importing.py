"""Comparisons of several files gathered into one, with what was left out of them and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueward.data import comparisons, jsonl
from trueward.data.options import ReadOptions
from trueward.records import Comparison, line


@dataclass(frozen=True)
class ImportResult:
    """`rows` to write; `left_out` by reason; `ignored` columns by name; `repeated` rows that are kept, as votes."""

    rows: list[Comparison]
    left_out: Counter[str]
    ignored: Counter[str]
    repeated: int

    def table(self) -> dict[str, Any]:
        """The counts as a plain dict, as the command prints them with `--json`."""
        return {
            "comparisons": len(self.rows),
            "prompts": len({c.prompt for c in self.rows}),
            "rankings": len({c.group for c in self.rows if c.group}),
            "ties": sum(c.probability == 0.5 for c in self.rows),
            "check_pairs": sum(c.check is not None for c in self.rows),
            "annotators": len({c.annotator for c in self.rows if c.annotator}),
            "repeated": self.repeated,
            "left_out": dict(self.left_out),
            "ignored_columns": dict(self.ignored),
        }


def gather(
    sources: Sequence[str],
    format: str = "",
    *,
    ties: bool = True,
    repeated: bool = True,
    options: ReadOptions | None = None,
) -> ImportResult:
    """The comparisons of all sources, in order (`comparisons.read`); `ties`, `repeated`: keep tied and repeated rows.

    A row is repeated if prompt, responses, outcome, strength, annotator and check are those of one before it.
    `ValueError` for the first row that is wrong, and if nothing is left.
    """
    rows: list[Comparison] = []
    left_out: Counter[str] = Counter()
    ignored: Counter[str] = Counter()
    known: set[object] = set()
    again = 0
    for source in sources:
        loaded = comparisons.read(source, format, options)
        left_out += loaded.left_out
        ignored += loaded.ignored
        for c in loaded.rows:
            if c.probability == 0.5 and not ties:
                left_out["tie"] += 1
                continue
            sides = tuple((side.text, side.finished) for side in (c.first, c.second))
            key = (c.prompt, sides, c.probability, c.strength, c.annotator, c.check)
            if key in known:
                if not repeated:
                    left_out["repeated"] += 1
                    continue
                again += 1
            known.add(key)
            rows.append(c)
    if not rows:
        reasons = ", ".join(f"{reason} {count}" for reason, count in left_out.items())
        raise ValueError(f"{', '.join(sources)}: no row can be used ({reasons})")
    return ImportResult(rows, left_out, ignored, again)


def save(path: Path, rows: Sequence[Comparison]) -> None:
    """trueward's own JSONL, whole or not at all."""
    jsonl.write(path, [line(c) for c in rows])
