"""The command line. Nothing here loads torch before a command needs it.

Bad input ends in one line on standard error and exit code 2.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import click
import typer

from trueward import __version__, config
from trueward.cli import (
    audit,
    chat,
    collect,
    comparisons,
    evaluate,
    lab,
    merge,
    profile,
    push,
    reports,
    reward,
    run,
    sample,
    single_stage,
    unexpected,
    verifiers,
    verify,
)
from trueward.console import ReaderGoneError, guarded, printed
from trueward.errors import out_of_memory, ran_out
from trueward.parallel.launched import place
from trueward.progress import WaitingError
from trueward.signals import LostProcessError, StoppedBySignal, stopped_by_signals
from trueward.studio import command as studio

# Read by torch when it first allocates: blocks of 2 MB and more come in huge pages. Adapters' runs give freed blocks back
# (pipeline/memory.py), and getting them again, zeroed 4 kB at a time, was a fifth of their processor's time.
HUGE_PAGES = ("THP_MEM_ALLOC_ENABLE", "1")

app = typer.Typer(
    name="trueward",
    help="RLHF that measures the truth: prompts, SFT, comparisons, reward model, PPO, evaluation, report.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda token: token.replace("_", "-"),  # --batch_size, as TRL spells it
    },
    rich_markup_mode=None,  # rich's tables cut the names of options at 80 columns
)
comparisons.app.command("make")(collect.make)
app.add_typer(comparisons.app)
app.add_typer(verifiers.app)
app.add_typer(reward.app)
app.add_typer(studio.app, name="studio")
app.command()(run.run)
app.command()(run.sweep)
app.command()(single_stage.sft)
app.command(name="reward-model")(single_stage.reward_model)
app.command()(single_stage.ppo)
app.command()(sample.sample)
app.command()(chat.chat)
app.command()(merge.merge)
app.command()(push.push)
app.command()(evaluate.evaluate)
app.command()(audit.audit)
app.command()(reports.report)
app.command()(reports.doctor)
app.command()(reports.frontier)
app.command()(profile.profile)
app.command()(verify.verify)
app.command()(run.recipes)
app.command()(lab.lab)


def summarise(group: typer.Typer) -> None:
    """Lists of commands show the first sentence of each, whole."""
    for command in group.registered_commands:
        command.short_help = first_sentence(command.callback.__doc__ if command.callback else "")
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        summarise(inner.typer_instance)
        called = inner.typer_instance.registered_callback
        about = called.callback.__doc__ if called and called.callback else inner.typer_instance.info.help
        inner.short_help = first_sentence(about)


def first_sentence(text: object) -> str:
    """The first sentence of a docstring, without its full stop."""
    return " ".join(text.split()).partition(". ")[0].rstrip(".") if isinstance(text, str) else ""


summarise(app)

# newer versions of typer contain their own click; older ones use the installed one
WRONG_USAGE: tuple[type[Exception], ...] = (
    click.ClickException,
    next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"),
)
WAITING = 75  # sysexits.h's EX_TEMPFAIL: nothing is wrong, the command can continue later


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """The command without a subcommand: `--version`, else a usage error."""
    if show:
        print(f"trueward {__version__}")
        raise typer.Exit
    if place()[1] > 1 and context.invoked_subcommand not in (None, "run"):
        if place()[0]:
            raise typer.Exit(2)  # rank 0 says it
        raise click.UsageError(
            f"{context.invoked_subcommand} is one process's work: only `trueward run` is for torchrun"
        )
    if context.invoked_subcommand is None:
        raise click.UsageError("no command; see trueward --help")


def main() -> None:
    """The entry point: one line and exit code 2 for whatever is wrong with the input or the disk."""
    os.environ.setdefault(*HUGE_PAGES)
    with guarded():
        call()


def call() -> None:
    """Do what the command line says, and exit."""
    try:
        with stopped_by_signals():
            code = app(standalone_mode=False)
        sys.stdout.flush()
    except (click.exceptions.Exit, typer.Exit) as stop:
        code = stop.exit_code
    except (click.exceptions.Abort, typer.Abort, KeyboardInterrupt):
        if place()[0]:
            sys.exit(130)  # rank 0 says it
        fail("stopped; the same command goes on from here", 130)
    except WRONG_USAGE as error:
        option = config.explain_option(getattr(error, "option_name", None) or "")
        fail(option or (error.format_message() if hasattr(error, "format_message") else str(error)), 2)
    except ReaderGoneError:  # whoever read has enough
        code = 0
    except StoppedBySignal as stop:
        if place()[0]:
            sys.exit(128 + stop.number)  # rank 0 says it
        fail(f"stopped by {stop}; the same command goes on from here", 128 + stop.number)
    except WaitingError as error:
        fail(f"{error}; the same command goes on from here", WAITING)
    except ValueError as error:
        fail(str(error), 2)
    except LostProcessError as error:
        fail(f"{error}; the same command goes on from here", WAITING)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 2)
    except Exception as error:
        if unexpected.wants_traceback():
            raise
        if ran_out(error):
            fail(
                str(
                    out_of_memory(
                        error, "what this command holds", "a smaller model or fewer prompts at once take less"
                    )
                ),
                2,
            )
        fail(*unexpected.line(error))
    if code == 130:  # a newer typer turns ctrl-C into this
        fail("stopped; the same command goes on from here", 130)
    sys.exit(code if isinstance(code, int) else 0)


def fail(message: str, code: int) -> None:
    """Print the message in one line on standard error, and exit with the code."""
    rank = os.environ.get("RANK", "0")
    who = f"rank {rank}: " if rank not in ("", "0") else ""  # one of several processes
    print(printed("trueward: " + " ".join(f"{who}{message}".split())), file=sys.stderr)
    sys.exit(code)
