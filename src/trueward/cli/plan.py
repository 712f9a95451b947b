"""`trueward run --plan`: what will be where, before anything is loaded."""

from __future__ import annotations

from trueward.cli import terminal
from trueward.config import Recipe


def show_plan(recipe: Recipe, memory: str | None, processes: int = 1) -> None:
    """Print the plan of a recipe's memory, in each of so many processes.

    `ValueError` if it doesn't fit into `memory`, such as 24GB, or is no plan's.
    """
    from trueward.pipeline.footprint.plan import parse_memory, plan_memory
    from trueward.reporting import plan_text

    there = None if memory is None else parse_memory(memory)
    planned = plan_memory(recipe, processes=processes)
    table, out = planned.table(), terminal.console()
    if table["stages"]:
        out.print(plan_text.table(table, there))
    for text in plan_text.sentences(table):
        out.print(text, highlight=False)
    if there is None:
        return
    fits, text = plan_text.verdict(table, there, planned.changes(there))
    if not fits:
        raise ValueError(text)
    out.print(text, highlight=False)
