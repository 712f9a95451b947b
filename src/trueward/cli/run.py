"""`trueward run`, `sweep` and `recipes`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from trueward import artifacts, config
from trueward.cli import terminal
from trueward.cli.plan import show_plan
from trueward.cli.terminal import Out, Quiet, Set, Verbose, run_pipeline
from trueward.config import ablations
from trueward.console import as_json as as_json_text
from trueward.parallel.launched import launch as start

STAGE = "prepare, sft, comparisons, reward_model (or reward), policy, evaluation, report"


def run(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a TOML file.")] = "reviews",
    out: Out = None,
    changes: Set = None,
    until: Annotated[str, typer.Option(metavar="STAGE", help=f"Stop after a stage: {STAGE}.")] = "report",
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"An ablation, may be repeated: {', '.join(ablations.ABLATIONS)}."),
    ] = None,
    launch: Annotated[
        str | None,
        typer.Option(
            metavar="torchrun", help="Start several processes that train data-parallel; with --nproc-per-node."
        ),
    ] = None,
    nproc: Annotated[
        int | None,
        typer.Option(
            "--nproc-per-node", min=1, metavar="N", help="How many processes --launch starts on this machine."
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Run nothing: print what will be where, in memory and on disk.")
    ] = False,
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory", metavar="SIZE", help="With --plan: what there is, such as 24GB; code 2 if it doesn't fit."
        ),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure", help="With --plan: run a few steps of every stage, twice, and say how long all will take."
        ),
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run the whole pipeline: from data to a tuned checkpoint and a report. The same command resumes a run that was stopped."""
    wanted = ablations.read(recipe, changes or [], without or [])
    if memory is not None and not plan:
        raise ValueError("--memory: it is what a plan is held against; give --plan too")
    if measure and not plan:
        raise ValueError("--measure: it is part of a plan; give --plan too")
    if plan:
        if measure and (nproc or 1) > 1:
            raise ValueError("--measure: it measures one process; leave --nproc-per-node out")
        show_plan(wanted, memory, nproc or 1, measure=measure, quiet=quiet)
        return
    if launch is not None or nproc is not None:
        launched(launch, nproc)
        return
    run_pipeline(wanted, out, changes or [], until, quiet, verbose)


def launched(launch: str | None, nproc: int | None) -> None:
    """The same command in several processes. The recipe was read before any is started."""
    if launch != "torchrun":
        got = "--nproc-per-node alone" if launch is None else f"--launch {launch}"
        raise ValueError(f"{got}: expected --launch torchrun --nproc-per-node N")
    if nproc is None:
        raise ValueError("--launch torchrun: how many processes? Add --nproc-per-node N")
    raise typer.Exit(start(nproc, plain(sys.argv[1:])))


def plain(words: list[str]) -> list[str]:
    """A command line without --launch and --nproc-per-node, each with its value."""
    out: list[str] = []
    rest = iter(words)
    for word in rest:
        name, is_whole, _ = word.replace("_", "-").partition("=")
        if name not in ("--launch", "--nproc-per-node"):
            out.append(word)
        elif not is_whole:
            next(rest, "")
    return out


def sweep(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a TOML file.")],
    over: Annotated[str, typer.Option(metavar="KEY=V,V,...", help="The setting and its values.")],
    seeds: Annotated[int, typer.Option(min=1, help="Seeds for each value, from the recipe's own upward.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Runs in parallel; each gets its share of the cores.")] = 1,
    out: Out = None,
    changes: Set = None,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print sweep.json.")] = False,
) -> None:
    """Train one policy for each value of a setting, and report the best value. The same command resumes a sweep."""
    from trueward import pipeline
    from trueward.pipeline.sweep import Over
    from trueward.progress import Progress, terminal_progress

    parsed = Over.parse(over)
    home = out or Path("runs") / f"sweep-{config.variant(Path(recipe).stem, [parsed.key, *(changes or [])])}"
    command = shlex.join(["trueward", *sys.argv[1:]])
    if quiet or as_json:
        result = pipeline.sweep(recipe, changes or [], parsed, seeds, jobs, home, Progress(), command)
    else:
        with terminal_progress() as progress:
            result = pipeline.sweep(recipe, changes or [], parsed, seeds, jobs, home, progress, command)
    if as_json:
        print(as_json_text(artifacts.read_json(home / "sweep.json")))
    elif not quiet:
        from trueward.reporting import sweep_page

        console = terminal.console()
        console.print(sweep_page.table(result))
        console.print(result["sentence"], highlight=False)
        for row in result["runs"]:
            if row.get("error"):
                console.print(f"{row['run']} failed: {row['error']}", highlight=False, markup=False)
        console.print(f"The whole sweep: {home / 'sweep.html'}", highlight=False, soft_wrap=True)


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe, resolved.")] = None,
    as_written: Annotated[
        bool, typer.Option("--short", help="As it is written: only what differs from the defaults.")
    ] = False,
) -> None:
    """List the recipes that ship with trueward, or print one."""
    known = config.shipped()
    if name is None:
        for each in known:
            print(f"{each:<12} {config.read(each).description}")
    elif as_written and name in known:
        print(known[name], end="")
    else:
        print(config.read(name).toml(), end="")
