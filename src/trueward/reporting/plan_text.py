"""The plan of a run's memory as a table and sentences (`trueward run --plan`)."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from trueward.reporting.formatting import duration

COLUMNS = ("weights", "gradients", "optimizer", "activations", "sampler", "evaluation", "peak", "disk")


def size(count: float) -> str:
    """Bytes as people read them: 10⁶ and 10⁹.

    >>> size(24.4e9), size(51e6), size(0)
    ('24.4 GB', '51 MB', '–')
    """
    if count < 5e5:
        return "–"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def table(plan: dict[str, Any], memory: float | None = None) -> Table:
    """A row a stage; a peak that doesn't fit into `memory` bytes is marked."""
    out = Table(box=None, pad_edge=False)
    out.add_column("stage")
    for name in COLUMNS:
        out.add_column({"optimizer": "Adam", "disk": "on disk"}.get(name, name), justify="right")
    for row in plan["stages"]:
        over = memory is not None and row["peak"] > memory
        cells = [size(row[name]) + ("!" if name == "peak" and over else "") for name in COLUMNS]
        out.add_row(row["stage"], *cells)
    return out


def sentences(plan: dict[str, Any]) -> list[str]:
    """What the numbers are computed from, and what they leave out."""
    if not plan["stages"]:
        return [f"{plan['model']} is a table: it takes next to no memory."]
    trained = (
        "" if plan["trained"] == plan["weights"] else f", of which a loop trains {plan['trained'] / 1e6:,.1f} million"
    )
    input_alone = " (checkpointing: its input alone)" if plan["checkpointing"] else ""
    return [
        "Computed, not measured (docs/memory.md says how close): "
        f"{plan['model']} has {plan['weights'] / 1e6:,.1f} million weights{trained}; prompts of up to "
        f"{plan['prompt']} tokens, answers of up to {plan['answer']}, {plan['tokens']:,} tokens at once on {plan['device']}; "
        f"a layer keeps {plan['kept'] / 1000:,.1f} kB of each token{input_alone}.",
        "What a row holds is not there all at once: its peak is the most that is. What is imported comes on top: about half "
        "a GB of the host's memory, and on CUDA the driver's context.",
        *(f"{note[0].upper()}{note[1:]}." for note in plan["notes"]),
    ]


def verdict(plan: dict[str, Any], memory: float, changes: list[dict[str, Any]]) -> tuple[bool, str]:
    """Whether all stages fit into `memory` bytes, and a sentence that says so or what to change."""
    over = [row for row in plan["stages"] if row["peak"] > memory]
    if not over:
        return True, f"All stages fit into {size(memory)}, by this estimate."
    worst = max(over, key=lambda row: row["peak"])
    names = ", ".join(row["stage"] for row in over)
    does = "does" if len(over) == 1 else "do"
    text = f"{names} {does} not fit into {size(memory)}: {worst['stage']} takes {size(worst['peak'])}"
    ways = [f"--set {' --set '.join(c['settings'].split())} takes {size(c['peak'])}" for c in changes]
    return False, f"{text}; {', or '.join(ways) if ways else 'no setting known here is enough: take a smaller model'}"


def time_table(estimated: dict[str, Any]) -> Table:
    """A row a stage: its steps and its time."""
    out = Table(box=None, pad_edge=False)
    out.add_column("stage")
    for name in ("steps", "time, about"):
        out.add_column(name, justify="right")
    for row in estimated["stages"]:
        out.add_row(row["stage"], str(row["steps"] or "–"), duration(row["seconds"]))
    out.add_row("all", "", duration(estimated["seconds"]))
    return out


def time_sentences(estimated: dict[str, Any]) -> list[str]:
    """What the estimate rests on, and what it leaves out."""
    return [
        f"About {duration(estimated['seconds'])} on this machine, as busy as it is now: from two short trials of every stage, "
        f"which took {duration(estimated['took'])}.",
        *(f"{note[0].upper()}{note[1:]}." for note in estimated["notes"]),
    ]
