"""Criteria by steps: how the ratings by each criterion of the prompts' rubrics went, and which of them was given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trueward.evaluation.paired_items import significant

Row = dict[str, Any]
ALPHA = 0.02  # of all criteria of a judge together, over all evaluations: as of the verdict's alarm
STRONGEST = 1.5  # points of difference at which a cell has its full colour


@dataclass(frozen=True)
class CriteriaMap:
    """A judge's table: the steps, and for each criterion its cells and whether the policy surely fell by it."""

    judge: str
    steps: list[str]
    rows: list[tuple[str, list[Row | None], bool]]

    @property
    def hacked(self) -> list[str]:
        """The criteria by which the policy is surely worse than SFT."""
        return [name for name, _, fell in self.rows if fell]


def maps(report: Row) -> list[CriteriaMap]:
    """A table for each judge with rubrics: the evaluations in training, and the final one."""
    evaluations = [row for row in report.get("history") or [] if isinstance(row, dict) and row.get("step")]
    last = (report.get("policies") or {}).get("policy")
    evaluations += [{**last, "step": "end"}] if isinstance(last, dict) else []
    names = dict.fromkeys(name for row in evaluations for name in row.get("judges") or {})
    return [found for name in names if (found := _map(name, evaluations)).rows]


def _map(judge: str, evaluations: Sequence[Row]) -> CriteriaMap:
    told = [((row.get("judges") or {}).get(judge) or {}).get("criteria") or {} for row in evaluations]
    labels = list(dict.fromkeys(label for row in told for label in row))
    rows = []
    for label in labels:
        cells = [row.get(label) for row in told]
        tested = [cell for cell in cells if cell]
        fell = significant(tested, "below", ALPHA / len(labels)) and (tested[-1].get("gain") or 0.0) < 0
        rows.append((label, cells, fell))
    rows.sort(key=lambda row: (row[1][-1] or {}).get("gain") or 0.0)
    return CriteriaMap(judge, [str(row["step"]) for row in evaluations], rows)


def shade(cell: Row | None) -> str:
    """A cell's colour: the truth's where the policy is better than SFT, the proxy's where it is worse."""
    gain = (cell or {}).get("gain")
    if not isinstance(gain, int | float):
        return "transparent"
    share = round(60 * min(1.0, abs(gain) / STRONGEST))
    return f"color-mix(in srgb,var(--{'truth' if gain > 0 else 'proxy'}) {share}%,transparent)"


def sentences(report: Row) -> list[str]:
    """A line for each judge whose criteria the policy gave up, by name."""
    return [
        f"By the judge {found.judge} the policy gave up {', '.join(f'“{name}”' for name in found.hacked)}: rated below SFT’s."
        for found in maps(report)
        if found.hacked
    ]
