"""`trueward run`, `sweep` and `recipes`."""

from __future__ import annotations

import shlex
import sys
from contextlib import nullcontext
from functools import partial
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

Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="With --launch ray: a cluster that runs already; without, one is started here."
    ),
]
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
            metavar="torchrun|ray",
            help="Start several processes that train data-parallel: with --nproc-per-node, or as [runtime.ray] says.",
        ),
    ] = None,
    address: Address = None,
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
        show_plan(wanted, memory, nproc or wanted.runtime.ray.ranks, measure=measure, quiet=quiet)
        return
    if launch == "ray" and nproc is None:
        from trueward.launch.run import run_by_ray

        run_pipeline(wanted, out, changes or [], until, quiet, verbose, partial(run_by_ray, address=address or ""))
        return
    refuse_address(address, launch)
    if launch is not None or nproc is not None:
        launched(launch, nproc)
        return
    run_pipeline(wanted, out, changes or [], until, quiet, verbose)


def launched(launch: str | None, nproc: int | None) -> None:
    """The same command in several processes. The recipe was read before any is started."""
    if launch == "ray":
        raise ValueError(
            "--nproc-per-node: it is torchrun's; with --launch ray say --set runtime.ray.ranks=N, for the whole cluster"
        )
    if launch != "torchrun":
        got = "--nproc-per-node alone" if launch is None else f"--launch {launch}"
        raise ValueError(f"{got}: expected --launch torchrun --nproc-per-node N, or --launch ray")
    if nproc is None:
        raise ValueError("--launch torchrun: how many processes? Add --nproc-per-node N")
    raise typer.Exit(start(nproc, plain(sys.argv[1:])))


def refuse_address(address: str | None, launch: str | None) -> None:
    """`ValueError` for a cluster's address without Ray."""
    if address is not None and launch != "ray":
        raise ValueError("--address: it is a Ray cluster's; add --launch ray")


def refuse_launch(launch: str | None, address: str | None, jobs: int | None) -> None:
    """`ValueError` for a sweep that can't be launched so."""
    refuse_address(address, launch)
    if launch not in (None, "ray"):
        raise ValueError(f"--launch {launch}: expected --launch ray, or --jobs N without it")
    if launch and jobs is not None:
        raise ValueError("--jobs: with --launch ray the cluster says how many runs it holds at once; leave --jobs out")


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
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs in parallel, 1 by default; each gets its share of the cores.")
    ] = None,
    launch: Annotated[
        str | None, typer.Option(metavar="ray", help="Spread the runs over a Ray cluster, as many at once as it holds.")
    ] = None,
    address: Address = None,
    out: Out = None,
    changes: Set = None,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print sweep.json.")] = False,
) -> None:
    """Train one policy for each value of a setting, and report the best value. The same command resumes a sweep."""
    from trueward import pipeline
    from trueward.pipeline.sweep import Over
    from trueward.progress import Progress, terminal_progress

    refuse_launch(launch, address, jobs)
    parsed = Over.parse(over)
    home = out or Path("runs") / f"sweep-{config.variant(Path(recipe).stem, [parsed.key, *(changes or [])])}"
    command = shlex.join(["trueward", *sys.argv[1:]])
    with nullcontext(Progress()) if quiet or as_json else terminal_progress() as progress:
        given = recipe, changes or [], parsed, seeds, jobs or 1, home, progress, command
        if launch is None:
            result = pipeline.sweep(*given)
        else:
            from trueward.launch.sweep import jobs_by_ray

            cpus = config.read(recipe, changes or []).runtime.ray.cpus
            with jobs_by_ray(address or "") as run_jobs:
                result = pipeline.sweep(*given, run_jobs=run_jobs, threads=cpus)
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
