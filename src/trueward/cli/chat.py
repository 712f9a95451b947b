"""`trueward chat`: talk with a model in the terminal, or with two at once."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from trueward.console import visible

if TYPE_CHECKING:
    from trueward.sampling.conversation import Conversation

COMMANDS = "/reset forgets the conversation, /quit (or the end of the input) leaves"


def chat(
    model: Annotated[str, typer.Argument(help="A run's name, RUN/STAGE, or a model's directory or hub name.")],
    compare: Annotated[
        str | None,
        typer.Option("--compare", help="A second model, its answers side by side; each keeps its own history."),
    ] = None,
    system: Annotated[str, typer.Option("--system", help="A system message; needs a chat template.")] = "",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="The most tokens of an answer.")] = 256,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Sampling temperature; 0: always the likeliest token.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed: the same lines get the same answers.")] = 0,
) -> None:
    """Talk with a model, turn by turn: a line on standard input is a turn."""
    from trueward.models import conventions, loading
    from trueward.models.run_paths import model_path
    from trueward.sampling.conversation import Conversation
    from trueward.sampling.sampler import SamplingParams

    names = [model, *([compare] if compare else [])]
    params, device = SamplingParams(temperature, max_new_tokens), loading.pick_device("auto")
    talks: dict[str, Conversation] = {}
    for number, name in enumerate(names):
        network = loading.causal(model_path(name), seed, device)
        if aside := conventions.note(model_path(name)):
            print(f"trueward: note: {aside}", file=sys.stderr)
        try:
            talks[f"{name} ({number + 1})" if name in talks else name] = Conversation(network, params, seed, system)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    greet(talks)
    for line in lines():
        if line == "/quit":
            break
        if line == "/reset":
            for talk in talks.values():
                talk.reset()
            note("the conversation is forgotten")
        elif line.startswith("/"):
            note(f"there is no {line.split()[0]}: {COMMANDS}")
        elif make_room(talks, line):
            turn(talks, line)


def greet(talks: dict[str, Conversation]) -> None:
    """Print how commands are called, and which models only continue a text."""
    for name, talk in talks.items():
        if not talk.has_template:
            note(f"{name} has no chat template: it goes on with the whole text, your lines and its own")
    if len(talks) > 1:
        note("both read your lines, and each keeps its own history")
    if sys.stdin.isatty():
        note(COMMANDS)


def note(text: str) -> None:
    """Print a message that is no answer, on standard error, so that standard output has only answers."""
    print(f"({visible(text)})", file=sys.stderr, flush=True)


def lines() -> Iterator[str]:
    """Lines that are not empty: typed at a prompt in a terminal, or read from a pipe."""
    if not sys.stdin.isatty():
        yield from (text for text in map(readable, sys.stdin) if text)
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 (arrows and history in input())
    while True:
        try:
            text = readable(input("> "))
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if text:
            yield text


def readable(row: str) -> str:
    """A line without surrounding white space and without half surrogates, which tokenizers can't read."""
    return row.strip().encode("utf-8", "replace").decode("utf-8")


def make_room(talks: dict[str, Conversation], text: str) -> bool:
    """Whether each model can answer; prints which turns were dropped from its context, and what can't be read."""
    for name, talk in talks.items():
        try:
            left_out = talk.make_room(text)
        except ValueError as error:
            note(f"{name}: {error}")
            return False
        if left_out:
            turns = "the oldest turn is" if left_out == 1 else f"the {left_out} oldest turns are"
            note(f"{name}: the context of {talk.network.context} tokens is full, {turns} left out from here on")
    return True


def turn(talks: dict[str, Conversation], text: str) -> None:
    """One line and its answers; ctrl-C during an answer undoes the turn."""
    before = {name: len(talk.turns) for name, talk in talks.items()}
    try:
        answer(talks, text)
    except KeyboardInterrupt:
        for name, talk in talks.items():
            del talk.turns[before[name] :]
        sys.stdout.write("\n")
        note("broken off; this turn is not kept")


def answer(talks: dict[str, Conversation], text: str) -> None:
    """Print the answer while it is sampled, or two answers side by side when they are complete."""
    if len(talks) > 1:
        side_by_side({name: "".join(talk.answer(text)) + ending(talk) for name, talk in talks.items()})
        return
    (talk,) = talks.values()
    begun = False
    for piece in talk.answer(text):
        out = piece if begun else piece.lstrip()
        begun = begun or bool(out)
        sys.stdout.write(visible(out))
        sys.stdout.flush()
    sys.stdout.write(("" if begun else "(an empty answer)") + ending(talk) + "\n")
    sys.stdout.flush()


def ending(talk: Conversation) -> str:
    """A mark after an answer that was cut."""
    return "" if talk.finished else " … (cut)"


def side_by_side(answers: dict[str, str]) -> None:
    """Print the models' answers in a table."""
    from rich.table import Table
    from rich.text import Text

    from trueward.cli.terminal import console

    table = Table(show_lines=True)
    for name in answers:
        table.add_column(Text(visible(name)), ratio=1)
    table.add_row(*(Text(visible(text.strip()) or "(an empty answer)") for text in answers.values()))
    console().print(table)
