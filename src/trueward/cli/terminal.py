"""Shared by the commands: options, runs by name, running the pipeline with progress, and printing its result.

Nothing here loads torch before it is needed.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueward import artifacts, config
from trueward.artifacts import Artifact
from trueward.parallel.launched import place

if TYPE_CHECKING:
    from rich.console import Console

Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. policy.kl_coef=0.1.")
]
Out = Annotated[Path | None, typer.Option("--out", "--output-dir", help="The run's directory.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no table.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print the verdict's test statistics too.")]


def flag(name: str, help: str, *others: str) -> Any:
    """An option under its name and under other names, all with dashes; underscores, as TRL spells them, are accepted too."""
    return typer.Option(*(f"--{n}" for n in (name, *others)), help=help)


def run_pipeline(
    recipe: config.Recipe,
    out: Path | None,
    changes: list[str],
    until: str,
    quiet: bool,
    verbose: bool = False,
    runner: Callable[..., Artifact] | None = None,
) -> None:
    """Run the pipeline up to a stage; progress and the result are printed unless `quiet`.

    out: runs/NAME if not given. verbose: print the verdict's test statistics too. runner: runs it elsewhere, with the arguments
    of `pipeline.run_pipeline`; default: that, in this process.
    """
    from trueward import pipeline
    from trueward.pipeline.announcements import announcements
    from trueward.progress import Progress, terminal_progress
    from trueward.progress import note as tell

    if until not in pipeline.KNOWN_STAGES:
        raise ValueError(f"--until {until}: there is no such stage; the stages are {', '.join(pipeline.KNOWN_STAGES)}")
    out = out or Path("runs") / config.variant(recipe.name, changes)
    command = shlex.join(["trueward", *sys.argv[1:]])
    run_it = runner or pipeline.run_pipeline
    if quiet or place()[0]:  # of several processes rank 0 speaks
        run_it(recipe, out.parent, out.name, Progress(), until=until, command=command)
        return
    for note in announcements(recipe, out):
        tell(note)
    with terminal_progress() as progress:
        run = run_it(recipe, out.parent, out.name, progress, until=until, command=command)
    if until == "report":
        show(artifacts.read_json(out / "report.json"), out / "report.html", verbose)
    elif until == "reward_model" and (run.path / "report.json").is_file():
        show_reward_model(run.path)
    show_end(until, run.path, out)


def show_end(until: str, stage: Path, run: Path) -> None:
    """Print the results of the last stage, unless a report was printed; the next command; and the stage's directory."""
    from trueward.reporting import stage_text

    if until != "report":
        for text in stage_text.sentences(stage):
            print(text)
    print(f"Next: {stage_text.next_command(until, run, sys.argv[1:])}")
    if until != "report":
        print(stage)


def console(width: int = 100) -> Console:
    """Standard output; `width` columns wide if it is not a terminal."""
    from trueward.console import ScreenConsole

    return ScreenConsole(width=None if sys.stdout.isatty() else width)


def show(table: dict[str, Any], page: Path, verbose: bool = False) -> None:
    """Print a report's table and the lines below it, and where its page is. verbose: the verdict's test statistics too."""
    from trueward.reporting import report

    out = console()
    out.print(report.table(table))
    for text in report.summary(table, verbose):
        out.print(text, highlight=False)
    out.print(f"The whole report: {page}", highlight=False, soft_wrap=True)


def show_reward_model(folder: Path) -> None:
    """Print the reward model's report, and where its page is."""
    from trueward.reporting import report

    out = console()
    for text in report.reward_summary(artifacts.read_json(folder / "report.json")):
        out.print(text, highlight=False)
    out.print(f"The whole report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def run_directory(run: str) -> Path:
    """A run by its name under runs/, or by its path."""
    for path in (Path(run), Path("runs") / run):
        if artifacts.is_run(path):
            return path
    raise ValueError(f"{run}: {artifacts.no_such_run(run)}")


def finished(run: str) -> Any:
    """A finished run with its report and digests, for the frontier. `ValueError` in one line if it has none."""
    from trueward.evaluation.frontier import FrontierRun

    path = run_directory(run)
    if not (path / "report.json").is_file():
        raise ValueError(f"{path}: has no report yet; `trueward run` makes one")
    rows = artifacts.read_json(path / artifacts.PIPELINE)
    try:
        digests = {row["name"]: row["digest"] for row in rows}
    except (TypeError, KeyError):
        raise ValueError(
            f"{path / artifacts.PIPELINE}: damaged, expected a row with name and digest for each stage"
        ) from None
    return FrontierRun(path.absolute().name, artifacts.read_json(path / "report.json"), digests)
