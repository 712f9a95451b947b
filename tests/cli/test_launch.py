"""`--launch torchrun`: what is started, and what is refused in one line before anything is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from trueward.cli import app
from trueward.cli.run import plain
from trueward.parallel import launched
from trueward.parallel.launched import cores, launch, place


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Exit code and standard error of a command line."""

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["trueward", *words])
        with pytest.raises(SystemExit) as stop:
            app.call()
        return int(stop.value.code or 0), capsys.readouterr().err

    return run


class Started:
    """In place of a child: notes how it was started, and has ended with 7."""

    calls: ClassVar[list[tuple[list[str], dict[str, Any]]]] = []

    def __init__(self, command: list[str], **more: Any) -> None:
        Started.calls.append((command, more))

    def wait(self) -> int:
        return 7


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, Any]]]:
    monkeypatch.setattr(subprocess, "Popen", Started)
    monkeypatch.setattr(Started, "calls", [])
    return Started.calls


def test_the_command_without_the_launch_is_started_in_a_launcher(
    command: Callable[..., tuple[int, str]],
    started: list[tuple[list[str], dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MASTER_PORT", "1")
    words = ["run", "tiny", "--launch", "torchrun", "--set", "seed=3", "--nproc_per_node=2", "--out", "a b; c"]
    assert command(*words) == (7, "")
    ((given, more),) = started
    assert given[:4] == [sys.executable, "-m", "trueward.parallel.elastic", str(os.getpid())]
    assert given[4:] == ["2", "run", "tiny", "--set", "seed=3", "--out", "a b; c"]
    assert not more.get("shell")
    assert "MASTER_PORT" not in more["env"], "an outer launcher's"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--launch", "ray", "--nproc-per-node", "2"],
            "--nproc-per-node: it is torchrun's; with --launch ray say --set runtime.ray.ranks=N, for the whole cluster",
        ),
        (
            ["--launch", "mpi", "--nproc-per-node", "2"],
            "--launch mpi: expected --launch torchrun --nproc-per-node N, or --launch ray",
        ),
        (
            ["--nproc-per-node", "2"],
            "--nproc-per-node alone: expected --launch torchrun --nproc-per-node N, or --launch ray",
        ),
        (["--address", "localhost:6379"], "--address: it is a Ray cluster's; add --launch ray"),
        (
            ["--launch", "ray", "--address", "http://localhost:6379"],
            "--address http://localhost:6379: expected HOST:PORT of a Ray cluster's head, or auto for one of this machine",
        ),
        (
            ["--launch", "ray", "--address", "127.0.0.1:9"],
            "--address 127.0.0.1:9: no Ray cluster is reached there ([Errno 111] Connection refused)",
        ),
        (["--launch", "torchrun"], "--launch torchrun: how many processes? Add --nproc-per-node N"),
        (
            ["--launch", "torchrun", "--nproc-per-node", "2", "--set", "policy.kl_coef=-1"],
            "tiny: policy.kl_coef: input should be greater than or equal to 0, got -1",
        ),
    ],
)
def test_what_is_refused(
    command: Callable[..., tuple[int, str]],
    started: list[tuple[list[str], dict[str, Any]]],
    words: list[str],
    line: str,
) -> None:
    assert command("run", "tiny", *words) == (2, f"trueward: {line}\n")
    assert not started


def test_within_a_launchers_processes(command: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """No launch in a launch; other commands than run are one process's work, which rank 0 alone says."""
    for name, value in {"RANK": "0", "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    for words in (["--launch", "torchrun", "--nproc-per-node", "2"], ["--launch", "ray"]):
        code, said = command("run", "tiny", *words)
        assert (code, said.startswith("trueward: --launch: this is one of 3 processes")) == (2, True)
    line = "trueward: recipes is one process's work: only `trueward run` is for torchrun\n"
    assert command("recipes") == (2, line)
    monkeypatch.setenv("RANK", "1")
    assert command("recipes") == (2, "")
    assert command("run", "nowhere.toml")[1].startswith("trueward: rank 1: "), "an error names its rank"


def test_what_a_launcher_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in launched.NESTED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert (place(), cores()) == ((0, 1), 8)
    monkeypatch.setenv("RANK", "2")
    assert place() == (0, 1), "a variable of that name alone is nobody's launcher"
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert (place(), cores()) == ((2, 4), 2)
    for rank in ("4", "x"):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(ValueError, match=f"^RANK and WORLD_SIZE: expected two numbers .* got '{rank}' and '4'$"):
            place()


def test_the_launch_is_taken_out_of_a_command_line() -> None:
    assert plain(["run", "--launch=torchrun", "x", "--nproc-per-node", "2", "-q"]) == ["run", "x", "-q"]


def test_a_launcher_ends_with_who_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    signals: list[int] = []

    class Interrupted(Started):
        waits = 0

        def wait(self) -> int:
            self.waits += 1
            if self.waits == 1:
                raise KeyboardInterrupt
            return 0

        def send_signal(self, number: int) -> None:
            signals.append(number)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        launch(2, ["run"])
    assert signals == [15]


def test_a_launcher_that_was_killed_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It can't say so itself."""

    class Killed:
        def __init__(self, *given: object, **more: object) -> None:
            pass

        def wait(self) -> int:
            return -9

    monkeypatch.setattr(launched.subprocess, "Popen", Killed)
    for name in launched.NESTED:
        monkeypatch.delenv(name, raising=False)
    assert launch(2, ["run", "nano"]) == 137
    line = "trueward: the launcher was ended by SIGKILL; the same command goes on from here\n"
    assert capfd.readouterr().err == line
