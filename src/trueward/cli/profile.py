"""`trueward profile`: where the time of a run goes, on the terminal or as JSON."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from trueward.cli import terminal
from trueward.console import as_json as as_json_text


def profile(
    recipe: Annotated[
        str, typer.Argument(help="A shipped recipe's name, a TOML file, or a run, whose finished stages are used.")
    ],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. sampler.engine.max_num_seqs=64."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each training stage.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Run a few steps of every stage in a temporary directory and report where the time goes, and what to change."""
    from trueward.pipeline import profile as profiler
    from trueward.progress import Progress, terminal_progress

    if as_json:
        profiled = profiler.profile(recipe, changes or [], steps, Progress())
        print(as_json_text(profiled))
        return
    with terminal_progress() as progress:
        profiled = profiler.profile(recipe, changes or [], steps, progress)
    show(profiled)


def show(profiled: dict[str, Any]) -> None:
    """Print the profile as a table, with the advice below it."""
    from rich.table import Table

    console = terminal.console(140)
    table = Table(title=f"{profiled['run'] or profiled['recipe']}: share of each stage's seconds, by beat")
    table.add_column("stage")
    beats = list(dict.fromkeys(beat for row in profiled["stages"] for beat in row["beats"]))
    for name in ("steps", "s", *beats, "padding", "tokens/s, in", "of limit"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in profiled["stages"]:
        whole = max(row["seconds"], 1e-9)
        main = max(row["tokens_per_second"], key=lambda kind: row["beats"][kind], default="")
        rate, share = row["tokens_per_second"].get(main), row["share_of_limit"].get(main)
        table.add_row(
            row["stage"],
            f"{row['steps']}/{row['of_steps']}" if row["of_steps"] else "",
            f"{row['seconds']:.2f}",
            *(f"{row['beats'][beat] / whole:.0%}" if row["beats"][beat] > 0.004 * whole else "" for beat in beats),
            "" if row["padding"] is None else f"{row['padding']:.0%}",
            "" if rate is None else f"{rate:,.0f} {main}",
            "" if share is None else f"{share:.0%}",
        )
    console.print(table)
    limits = profiled["machine"]
    cores = f"with {limits['threads']} of {limits['cores']} cores"
    place = cores if limits["device"] == "cpu" else f"on {limits['device']}"
    console.print(
        f"The limit, {place}: {limits['gflops']:,.0f} GFLOP/s in products, "
        f"{limits['gb_per_s']:.1f} GB/s from memory. Peak memory: {profiled['peak_memory_mb']:,.0f} MB.",
        highlight=False,
    )
    kernels = [f"{kernel} {n}" for kernel, n in sorted(_kernels(profiled).items(), key=lambda pair: -pair[1])]
    if kernels:
        console.print(f"Attention on the fast paths, by torch's kernel: {', '.join(kernels)}.", highlight=False)
    for text in profiled["advice"]:
        console.print(f"- {text}", highlight=False, markup=False)


def _kernels(profiled: dict[str, Any]) -> dict[str, int]:
    """How often each kernel computed an attention, all stages together."""
    names = sorted({name for row in profiled["stages"] for name in row["attention"]})
    return {name: sum(row["attention"].get(name, 0) for row in profiled["stages"]) for name in names}
