"""scripts/check_wheel.py: which interpreters it finds, and what it makes of one that fails."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import check_wheel
from check_wheel import NotThere, Python


def script(folder: Path, text: str) -> Path:
    """A program `python3.99` in a folder of its own."""
    folder.mkdir()
    path = folder / "python3.99"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_an_interpreter_that_answers() -> None:
    assert check_wheel.probe(sys.executable) == Python(sys.executable, ".".join(map(str, sys.version_info[:3])))


def test_one_that_is_not_on_path_is_named(tmp_path: Path) -> None:
    assert check_wheel.on_path("python3.99", [str(tmp_path)]) == NotThere("python3.99", "not on PATH")


def test_a_shim_that_answers_nothing_is_named_with_its_reason(tmp_path: Path) -> None:
    script(tmp_path / "shims", "echo 'manager: no such version' >&2; echo 'see its help' >&2; exit 127")
    reason = "does not start (manager: no such version)"
    assert check_wheel.on_path("python3.99", [str(tmp_path / "shims")]) == NotThere("python3.99", reason)


def test_one_behind_a_shim_is_found(tmp_path: Path) -> None:
    script(tmp_path / "shims", "exit 127")
    real = script(tmp_path / "bin", "echo 3.99.1")
    folders = [str(tmp_path / "shims"), str(tmp_path / "bin")]
    assert check_wheel.on_path("python3.99", folders) == Python(str(real), "3.99.1")


def test_the_last_line_of_a_traceback_is_the_reason(tmp_path: Path) -> None:
    path = script(
        tmp_path / "bin", "echo 'Traceback (most recent call last):' >&2; echo 'No module named venv' >&2; exit 1"
    )
    assert check_wheel.probe(str(path)) == NotThere(str(path), "does not start (No module named venv)")


def test_one_that_is_no_program(tmp_path: Path) -> None:
    answer = check_wheel.probe(str(tmp_path / "nothing"))
    assert isinstance(answer, NotThere)
    assert answer.reason.startswith("does not start (")


def test_the_repository_can_not_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "/somewhere")
    assert {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"} & check_wheel.environment().keys() == set()
    assert check_wheel.environment()["PATH"] == os.environ["PATH"]


def test_a_command_that_fails_says_so_with_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"exit code 3\nwrong$"):
        check_wheel.call([sys.executable, "-c", "import sys; print('wrong', file=sys.stderr); sys.exit(3)"], tmp_path)
    assert check_wheel.call([sys.executable, "-c", "import os; print(os.listdir())"], tmp_path) == "[]\n"
