"""The command line. Nothing here loads torch before a command needs it.

Bad input ends in one line on standard error and exit code 2.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import click
import typer

from trueward import __version__, alone, asking, broken, comparisons, config, profiling, terminal
from trueward.progress import WaitingError
from trueward.studio import command as studio
from trueward.terminal import Out, Quiet, Set, climb, flag, run_directory

app = typer.Typer(
    name="trueward",
    help="RLHF that measures the truth: prompts, SFT, comparisons, reward model, PPO, evaluation, report.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(comparisons.app)

verifiers = typer.Typer(name="verifiers", help="The verifiers that ship: list them, examine one.")
app.add_typer(verifiers)

comparisons.app.command("make")(asking.make)
app.command()(profiling.profile)
app.add_typer(studio.app, name="studio")

# typer carries a click of its own from 0.2x on, and took the installed one before
WRONG_USAGE: tuple[type[Exception], ...] = (
    click.ClickException,
    next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"),
)
WAITING = 75  # sysexits.h's EX_TEMPFAIL: nothing is wrong, it can go on later
STAGE = "prepare, sft, comparisons, reward_model (or reward), policy, evaluation, report"


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if show:
        print(f"trueward {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise click.UsageError("no command; see trueward --help")


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a TOML file.")] = "reviews",
    out: Out = None,
    changes: Set = None,
    until: Annotated[str, typer.Option(metavar="STAGE", help=f"Stop after a stage: {STAGE}.")] = "report",
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUNG", help=f"Break a rung on purpose, to see what it is for: {', '.join(broken.BROKEN)}."
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Climb the whole ladder: from data to a tuned checkpoint and a report. Run it again and it goes on where it was."""
    climb(broken.read(recipe, changes or [], without or []), out, changes or [], until, quiet)


@app.command()
def sweep(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a TOML file.")],
    over: Annotated[str, typer.Option(metavar="KEY=V,V,...", help="The setting and its values.")],
    seeds: Annotated[int, typer.Option(min=1, help="So many seeds for each value, from the recipe's own upward.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time; each gets its share of the cores.")] = 1,
    out: Out = None,
    changes: Set = None,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print sweep.json.")] = False,
) -> None:
    """One policy for each value of a setting: the sweet spot, and what fails on either side. It goes on where it was."""
    from trueward import workflow
    from trueward.progress import Reporter, reporter
    from trueward.workflow.sweep import Over

    parsed = Over.parse(over)
    home = out or Path("runs") / f"sweep-{config.variant(Path(recipe).stem, [parsed.key, *(changes or [])])}"
    command = shlex.join(["trueward", *sys.argv[1:]])
    if quiet or as_json:
        found = workflow.sweep(recipe, changes or [], parsed, seeds, jobs, home, Reporter(), command)
    else:
        with reporter() as telling:
            found = workflow.sweep(recipe, changes or [], parsed, seeds, jobs, home, telling, command)
    if as_json:
        print((home / "sweep.json").read_text(encoding="utf-8"), end="")
    elif not quiet:
        from trueward.instruments import sweep_page

        console = terminal.console()
        console.print(sweep_page.table(found))
        console.print(found["sentence"], highlight=False)
        for row in found["runs"]:
            if row.get("error"):
                console.print(f"{row['run']} failed: {row['error']}", highlight=False, markup=False)
        console.print(f"The whole sweep: {home / 'sweep.html'}", highlight=False, soft_wrap=True)


app.command()(alone.sft)
app.command(name="reward-model")(alone.reward_model)
app.command()(alone.ppo)


@app.command()
def sample(
    model: Annotated[str, typer.Argument(help="A run's name, RUN/STAGE, or a model's directory.")],
    prompt: Annotated[list[str] | None, typer.Option("--prompt", "-p", help="What to answer; may be repeated.")] = None,
    compare: Annotated[str | None, typer.Option("--compare", help="Another model, side by side.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Answers to each prompt.")] = 1,
    temperature: Annotated[float, typer.Option(min=0.0, help="0: always the likeliest token.")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="The most tokens of an answer.")] = 48,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
) -> None:
    """Let a model answer prompts (from standard input, a line each, if none is given)."""
    prompts = list(prompt or []) or [text for text in (row.strip() for row in sys.stdin) if text]
    if not prompts or not all(p.strip() for p in prompts):
        raise ValueError("sample: expected a prompt that isn't empty")
    from trueward import answers

    answers.show([model, *([compare] if compare else [])], prompts, count, temperature, max_new_tokens, seed)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A run's name, RUN/STAGE, or a model's directory.")],
    against: Annotated[
        str | None, typer.Option(help="Another one. Without it a run's model is set beside the run's SFT policy.")
    ] = None,
    scorer: Annotated[
        list[str] | None,
        typer.Option(help="proxy, a truth's name in the run, or model:DIRECTORY. Without it: all that the run has."),
    ] = None,
    prompts: Annotated[str, typer.Option(help="JSONL or a data set. Without it: the run's held-out prompts.")] = "",
    count: Annotated[int, typer.Option("--count", "-n", min=2, help="At most so many prompts.")] = 512,
    temperature: Annotated[float | None, typer.Option(min=0.0, help="The run's, if it isn't given.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="The run's, if it isn't given.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    people: Annotated[
        str, typer.Option(help="A studio's project in which people compare a run's answers with its SFT policy's.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Two checkpoints side by side, by any scorer: blind, and in both orders. Or by people."""
    import json

    if people:
        if against or scorer or prompts:
            raise ValueError("--people: they compare the answers of the run's own evaluation; give nothing but the run")
        from trueward import people as asked_people

        asked_people.evaluate(run_directory(model), people, count, as_json)
        return

    from trueward.instruments import versus_table
    from trueward.progress import Reporter, reporter
    from trueward.workflow import versus

    asked = versus.Asked(model, against, tuple(scorer or ()), prompts, count, temperature, max_new_tokens, seed)
    if as_json:
        print(json.dumps(versus.evaluate(asked, Reporter()), ensure_ascii=False, indent=1))
        return
    with reporter() as telling:
        found = versus.evaluate(asked, telling)
    console = terminal.console()
    console.print(versus_table.table(found))
    for text in versus_table.sentences(found):
        console.print(text, highlight=False, markup=False)


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="A run's name under runs/, or its directory.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json.")] = False,
) -> None:
    """Print a finished run's table and write its page again."""
    from trueward import artifacts
    from trueward.instruments import report as page

    path = run_directory(run) / "report.json"
    if not path.is_file():
        raise ValueError(f"{path.parent}: has no report yet; `trueward run` makes one")
    table = artifacts.read_json(path)
    if as_json:
        print(path.read_text(encoding="utf-8"), end="")
        return
    artifacts.write_text(path.with_suffix(".html"), page.page(table))
    terminal.show(table, path.with_suffix(".html"))


@app.command()
def doctor(
    run: Annotated[str, typer.Argument(help="A run's name under runs/, or its directory; it needn't be finished.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the diagnosis as JSON.")] = False,
) -> None:
    """Name the broken rung of a run: what is seen, why it is thought so, and which setting to change."""
    import json

    from trueward.instruments import prescription
    from trueward.workflow.consultation import consult

    found = consult(run_directory(run))
    if as_json:
        print(json.dumps(found.table(), ensure_ascii=False, indent=1))
        return
    console = terminal.console()
    for text in prescription.lines(found):
        console.print(text, highlight=False, markup=False)


@app.command()
def frontier(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs' names under runs/, or their directories.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The page's file; frontier.html beside the first run if not given.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the rows as JSON; a page is written with --out only.")
    ] = False,
) -> None:
    """Several runs on one plot: truth and proxy against the distance from SFT, with their table."""
    import json

    from trueward import artifacts
    from trueward.instruments import frontier, frontier_page

    found = frontier.frontier([terminal.finished(run) for run in runs])
    page = out or run_directory(runs[0]).absolute().parent.joinpath("frontier.html")
    if out or not as_json:
        artifacts.write_text(page, frontier_page.page(found))
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False))
        return
    console = terminal.console()
    console.print(frontier_page.table(found))
    for text in [frontier_page.headline(found), *found["notes"]]:
        console.print(text.replace("\u00a0", " "), highlight=False, markup=False)
    console.print(f"The page: {page}", highlight=False, soft_wrap=True, markup=False)


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe, resolved.")] = None,
    as_written: Annotated[
        bool, typer.Option("--short", help="As it is written: its difference from the defaults.")
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


@verifiers.command(name="list")
def list_verifiers() -> None:
    """List the verifiers that ship with trueward."""
    from trueward.scorers.verifiers.catalogue import VERIFIERS

    for name, kind in VERIFIERS.items():
        print(f"{name:<12} {kind.summary}")


@verifiers.command(name="test")
def examine_verifier(
    name: Annotated[str, typer.Argument(help="A verifier's name, or reasoning-gym:TASK.")],
    prompts: Annotated[str, flag("prompts", "Prompts with answer keys: JSONL or a data set; else its own.")] = "",
    options: Annotated[
        list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="One of its options; may be repeated.")
    ] = None,
) -> None:
    """Examine a verifier: the answer key has to score 1; the empty answer, the echoed prompt, two answers and more, 0."""
    from trueward.scorers.verifiers import testing

    table: dict[str, Any] = {}
    for option in options or []:
        config.put(table, option)
    print(testing.examine(name, prompts, table))


@app.command()
def lab(
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="DIR", help="Write the page there, as one file, and serve nothing."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to serve at; 0: any that is free.")] = 0,
) -> None:
    """The lesson in a browser: teach a reward by clicks, and watch a policy hack it. Served on loopback until Ctrl-C."""
    from trueward import artifacts
    from trueward.lab import page, server

    if export is not None:
        artifacts.write_text(export / "index.html", page.whole())
        print(export / "index.html")
        return
    with server.server(port) as serving:
        print(server.address(serving), flush=True)
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            print()


def main() -> None:
    """The entry point: one line and exit code 2 for whatever is wrong with the input or the disk."""
    try:
        code = app(standalone_mode=False)
    except (click.exceptions.Exit, typer.Exit) as stop:
        code = stop.exit_code
    except (click.exceptions.Abort, typer.Abort, KeyboardInterrupt):
        fail("stopped; the same command goes on from here", 130)
    except WRONG_USAGE as error:
        fail(error.format_message() if hasattr(error, "format_message") else str(error), 2)
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    except WaitingError as error:
        fail(f"{error}; the same command goes on from here", WAITING)
    except ValueError as error:
        fail(str(error), 2)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 2)
    if code == 130:  # a newer typer turns ctrl-C into this
        fail("stopped; the same command goes on from here", 130)
    sys.exit(code if isinstance(code, int) else 0)


def fail(message: str, code: int) -> None:
    print("trueward: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(code)
