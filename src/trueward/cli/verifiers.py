"""`trueward verifiers`: list the verifiers that ship, or examine one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from trueward import config
from trueward.cli.terminal import flag

app = typer.Typer(name="verifiers", help="List the verifiers that ship, or examine one.")


@app.command(name="list")
def list_verifiers() -> None:
    """List the verifiers that ship with trueward."""
    from trueward.scorers.verifiers.catalogue import VERIFIERS

    for name, kind in VERIFIERS.items():
        print(f"{name:<12} {kind.summary}")


@app.command(name="test")
def examine_verifier(
    name: Annotated[
        str,
        typer.Argument(
            help="A verifier's name, with options if any (constraints,max_words=9), reasoning-gym:TASK, or module:function "
            "or FILE.py:function of your own."
        ),
    ],
    prompts: Annotated[str, flag("prompts", "Prompts with answer keys: JSONL or a data set; else its own.")] = "",
    options: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="One of the verifier's options; may be repeated."),
    ] = None,
) -> None:
    """Examine a verifier: the answer key must score 1; an empty answer, the echoed prompt, two answers and other probes 0."""
    from trueward.scorers import scorer_spec, verifier_testing

    spec = scorer_spec.parse(name, "verifiers test")
    table: dict[str, Any] = dict(spec.options)
    for option in options or []:
        config.put(table, option)
    print(verifier_testing.examine(spec.name.removeprefix("verifier:"), prompts, table))
