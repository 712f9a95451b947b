"""`trueward report`, `doctor` and `frontier`: the results of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trueward.cli import terminal
from trueward.cli.terminal import Verbose, run_directory
from trueward.console import as_json as as_json_text


def report(
    run: Annotated[str, typer.Argument(help="A run's name under runs/, or its directory.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json.")] = False,
    verbose: Verbose = False,
) -> None:
    """Print a finished run's table, and write its page again."""
    from trueward import artifacts
    from trueward.progress import note
    from trueward.reporting import report as page

    path = run_directory(run) / "report.json"
    if not path.is_file():
        raise ValueError(f"{path.parent}: has no report yet; `trueward run` makes one")
    table = artifacts.read_json(path)
    if as_json:
        print(as_json_text(table))
        return
    try:
        artifacts.write_text(path.with_suffix(".html"), page.page(table))
    except OSError as error:  # somebody else's run, or one on a read-only disk: it can be read
        note(f"{path.with_suffix('.html')}: {error.strerror}; the page is as it was")
    terminal.show(table, path.with_suffix(".html"), verbose)


def doctor(
    run: Annotated[str, typer.Argument(help="A run's name under runs/, or its directory; it needn't be finished.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the diagnosis as JSON.")] = False,
) -> None:
    """Diagnose a run: which stage is at fault, the evidence for it, and which setting to change."""
    from trueward.pipeline.doctor_inputs import diagnose_run
    from trueward.reporting import doctor_text

    diagnosis = diagnose_run(run_directory(run))
    if as_json:
        print(as_json_text(diagnosis.table()))
        return
    console = terminal.console()
    for text in doctor_text.lines(diagnosis):
        console.print(text, highlight=False, markup=False)


def frontier(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs' names under runs/, or their directories.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The page's file; frontier.html beside the first run if not given.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the rows as JSON; a page is written with --out only.")
    ] = False,
) -> None:
    """Put several runs on one plot and in one table: truth and proxy against the distance from SFT."""
    from trueward import artifacts
    from trueward.evaluation import frontier
    from trueward.reporting import frontier_page

    table = frontier.frontier([terminal.finished(run) for run in runs])
    page = out or run_directory(runs[0]).absolute().parent.joinpath("frontier.html")
    if out or not as_json:
        artifacts.write_text(page, frontier_page.page(table))
    if as_json:
        print(as_json_text(table))
        return
    console = terminal.console()
    console.print(frontier_page.table(table))
    for text in [frontier_page.headline(table), *table["notes"]]:
        console.print(text.replace("\u00a0", " "), highlight=False, markup=False)
    console.print(f"The page: {page}", highlight=False, soft_wrap=True, markup=False)
