"""What the commands share: their options, a run by its name, the ladder with its progress, and what is printed at its end.

Nothing here loads torch before it is needed.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueward import config

if TYPE_CHECKING:
    from rich.console import Console

Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. policy.kl_coef=0.1.")
]
Out = Annotated[Path | None, typer.Option("--out", "--output-dir", "--output_dir", help="The run's directory.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")]


def flag(name: str, help: str, *others: str) -> Any:
    """An option under its name with dashes, with underscores as TRL spells it, and under other names."""
    spelled = [spelling for n in (name, *others) for spelling in dict.fromkeys((f"--{n}", f"--{n.replace('-', '_')}"))]
    return typer.Option(*spelled, help=help)


def climb(recipe: config.Recipe, out: Path | None, changes: list[str], until: str, quiet: bool) -> None:
    """The ladder up to a stage, with its progress unless `quiet`, and what it came to. out: runs/NAME if not given."""
    from trueward import workflow
    from trueward.progress import Reporter, reporter

    if until not in workflow.KNOWN_STAGES:
        raise ValueError(f"--until {until}: there is no such stage; the stages are {', '.join(workflow.KNOWN_STAGES)}")
    out = out or Path("runs") / config.variant(recipe.name, changes)
    command = shlex.join(["trueward", *sys.argv[1:]])
    if quiet:
        workflow.climb(recipe, out.parent, out.name, Reporter(), until=until, command=command)
        return
    with reporter() as telling:
        found = workflow.climb(recipe, out.parent, out.name, telling, until=until, command=command)
    if until == "report":
        from trueward import artifacts

        show(artifacts.read_json(out / "report.json"), out / "report.html")
        return
    if until == "reward_model" and (found.path / "report.json").is_file():
        show_reward_model(found.path)
    print(found.path)


def console(width: int = 100) -> Console:
    """Standard output, so many columns wide where it is no terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width)


def show(table: dict[str, Any], page: Path) -> None:
    """The report's table on the terminal."""
    from trueward.instruments import report

    out = console()
    out.print(report.table(table))
    for text in report.summary(table):
        out.print(text, highlight=False)
    out.print(f"The whole report: {page}", highlight=False, soft_wrap=True)


def show_reward_model(folder: Path) -> None:
    """What the reward model's report says, in lines, and where its page lies."""
    from trueward import artifacts
    from trueward.instruments import report

    out = console()
    for text in report.reward_summary(artifacts.read_json(folder / "report.json")):
        out.print(text, highlight=False)
    out.print(f"The whole report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def run_directory(run: str) -> Path:
    """A run by its name under runs/, or by its path."""
    for path in (Path(run), Path("runs") / run):
        if (path / "ladder.json").is_file():
            return path
    raise ValueError(f"{run}: there is no such run (neither a run's directory nor a name under runs/)")


def finished(run: str) -> Any:
    """A run with its report, for the frontier."""
    from trueward import artifacts
    from trueward.instruments.frontier import Run

    path = run_directory(run)
    if not (path / "report.json").is_file():
        raise ValueError(f"{path}: has no report yet; `trueward run` makes one")
    rows = artifacts.read_json(path / "ladder.json")
    try:
        digests = {row["name"]: row["digest"] for row in rows}
    except (TypeError, KeyError):
        raise ValueError(
            f"{path / 'ladder.json'}: damaged, expected a row with name and digest for each stage"
        ) from None
    return Run(path.absolute().name, artifacts.read_json(path / "report.json"), digests)
