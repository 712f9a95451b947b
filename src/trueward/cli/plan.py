"""`trueward run --plan`: what will be where, before anything is loaded; with --measure how long it will take."""

from __future__ import annotations

from contextlib import nullcontext

from trueward.cli import terminal
from trueward.config import Recipe
from trueward.progress import Progress, terminal_progress


def show_plan(
    recipe: Recipe, memory: str | None, processes: int = 1, *, measure: bool = False, quiet: bool = False
) -> None:
    """Print the plan of a recipe's memory, in each of so many processes, and with `measure` of its time.

    `ValueError` if it doesn't fit into `memory`, such as 24GB, or is no plan's; then nothing is measured.
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
    if actors := planned.cluster():
        from trueward.reporting import cluster_text

        out.print()
        out.print(cluster_text.table(actors))
        for text in cluster_text.sentences(actors):
            out.print(text, highlight=False)
    if there is not None:
        fits, text = plan_text.verdict(table, there, planned.changes(there))
        if not fits:
            raise ValueError(text)
        out.print(text, highlight=False)
    if measure:
        from trueward.pipeline.time_estimate import estimate_time

        with nullcontext(Progress()) if quiet else terminal_progress() as progress:
            estimated = estimate_time(recipe, progress)
        out.print()
        out.print(plan_text.time_table(estimated))
        for text in plan_text.time_sentences(estimated):
            out.print(text, highlight=False)
