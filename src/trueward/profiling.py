"""`trueward profile`: where the time of a run goes, on the terminal or as JSON."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from trueward import terminal

SHOWN = ("act", "judge", "credit", "learn", "hand over", "look", "rest")


def profile(
    recipe: Annotated[
        str, typer.Argument(help="A shipped recipe's name, a TOML file, or a run, whose rungs are used.")
    ],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. sampler.rows=64.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="So many steps of each training stage.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """A few real steps of every stage in a temporary directory: where the time goes, and what to change."""
    from trueward.progress import Reporter, reporter
    from trueward.workflow import profile as measuring

    if as_json:
        found = measuring.profile(recipe, changes or [], steps, Reporter())
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return
    with reporter() as telling:
        found = measuring.profile(recipe, changes or [], steps, telling)
    show(found)


def show(found: dict[str, Any]) -> None:
    from rich.table import Table

    console = terminal.console(140)
    table = Table(title=f"{found['run'] or found['recipe']}: share of each stage's seconds, by beat")
    table.add_column("stage")
    for name in ("steps", "s", *SHOWN, "padding", "tokens/s, in", "of limit"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found["stages"]:
        whole = max(row["seconds"], 1e-9)
        main = max(row["tokens_per_second"], key=lambda kind: row["beats"][kind], default="")
        rate, share = row["tokens_per_second"].get(main), row["share_of_limit"].get(main)
        table.add_row(
            row["stage"],
            f"{row['steps']}/{row['of_steps']}" if row["of_steps"] else "",
            f"{row['seconds']:.2f}",
            *(f"{row['beats'][beat] / whole:.0%}" if row["beats"][beat] > 0.004 * whole else "" for beat in SHOWN),
            "" if row["padding"] is None else f"{row['padding']:.0%}",
            "" if rate is None else f"{rate:,.0f} {main}",
            "" if share is None else f"{share:.0%}",
        )
    console.print(table)
    limits = found["machine"]
    console.print(
        f"The limit, with {limits['threads']} of {limits['cores']} cores: {limits['gflops']:,.0f} GFLOP/s in products, "
        f"{limits['gb_per_s']:.1f} GB/s from memory. Peak memory: {found['peak_memory_mb']:,.0f} MB.",
        highlight=False,
    )
    for text in found["advice"]:
        console.print(f"- {text}", highlight=False, markup=False)
