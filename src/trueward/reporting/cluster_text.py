"""The plan of a run's actors on a Ray cluster as a table and sentences (`trueward run --plan`)."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from trueward.reporting.plan_text import size

NAMES = {"rank": "training process", "sampler": "sampler", "scorer": "scorer"}


def table(plan: dict[str, Any]) -> Table:
    """A row a role: how many actors, and what one of them holds at its peak."""
    out = Table(box=None, pad_edge=False)
    out.add_column("actor")
    for name in ("number", "cores", "GPU", "weights", "beside", "peak"):
        out.add_column(name, justify="right")
    for row in plan["actors"]:
        gpu = f"{row['gpus']:g}" if row["gpus"] else "–"
        cells = [
            str(row["count"]),
            str(row["cpus"]),
            gpu,
            *(size(row[name]) for name in ("weights", "working", "peak")),
        ]
        out.add_row(NAMES[row["role"]], *cells)
    return out


def sentences(plan: dict[str, Any]) -> list[str]:
    """Where they lie, and what a step moves."""
    total = sum(row["count"] for row in plan["actors"])
    where = (
        "each on a device of its own"
        if plan["placement"] == "split"
        else "samplers and scorers beside training processes"
    )
    out = [
        f"--launch ray places {total} actor{'s' * (total != 1)} on {plan['bundles']} device{'s' * (plan['bundles'] != 1)}, "
        f"{where}; the fullest holds {size(plan['device'])} in the stage policy."
    ]
    if plan["reserved"]:
        out.append(f"Each sampler's vLLM takes up to {plan['reserved']:.0%} of its device beside that.")
    if plan["tokens"]:
        out.append(f"A step samples and scores {plan['tokens']:,.0f} tokens, prompts and answers.")
    if plan["pushed"]:
        samplers = sum(row["count"] for row in plan["actors"] if row["role"] == "sampler")
        out.append(
            f"A push of the weights is {size(plan['pushed'])}: once into Ray's object store, and from there into "
            f"{samplers} sampler{'s' * (samplers != 1)}, a machine at a time."
        )
    return out
