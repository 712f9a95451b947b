"""--help on a narrow terminal, and options as other tools spell them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer

from trueward.cli.app import app

Command = Callable[..., tuple[int, str, str]]


def every_command(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group with its words."""
    command = command or typer.main.get_command(app)
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from every_command(inner, (*path, name))


COMMANDS = dict(every_command())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_names_of_options_are_whole_at_80_columns(
    command: Command, monkeypatch: pytest.MonkeyPatch, path: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = command(*path, "--help")
    assert (code, err) == (0, "")
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "…" not in out
    assert "..." not in out.partition("Commands:")[2]
    for option in COMMANDS[path].params:
        names = [n for n in option.opts if n.startswith("-")]
        assert all(name in out for name in names), names


@pytest.mark.parametrize("spelling", ["--learning-rate", "--learning_rate"])
def test_underscores_are_read_as_dashes(command: Command, spelling: str) -> None:
    code, _, err = command("sft", spelling, "-1")
    assert (code, err) == (2, "trueward: command line: sft.learning_rate: input should be greater than 0, got -1.0\n")


def test_the_recipes_are_printed_as_they_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trueward", "recipes", "tiny"], capture_output=True, text=True, check=True
    )
    assert "max_new_tokens" in done.stdout
