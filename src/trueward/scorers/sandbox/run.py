"""The harness: starts both jails, joins them by pipes, and accepts only a report with its own token.

Whether there is a sandbox is said by the jails before any code of the model's runs (`status.py`); a report is one by its
token. How a process ends, and what it writes anywhere else, is not looked at.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from trueward.scorers.sandbox import status, wire

START = "import os, sys; sys.path.insert(0, sys.argv.pop()); from sandbox import jail; sys.path.pop(0); os._exit(jail.main())"
BUSY = {errno.EAGAIN, errno.ENOMEM, errno.ENOSPC, errno.EUSERS, errno.ENFILE, errno.EMFILE}
WAITS = (0.2, 1.0)  # seconds before the next try where other work on the machine (other jails too) left no room for one
NO_VERDICT = "no verdict: out of time, memory or output"
ACCEPT = "I accept that code written by a model runs with all my rights"
"""What `unconfined` has to say, word for word, for code to run where there's no sandbox."""


@dataclass(frozen=True)
class Limits:
    """What one answer may use: processor seconds, seconds by the clock for all tests together, memory, and written files."""

    cpu: int = 4
    wall: float = 10.0
    memory_mb: int = 256
    file_kb: int = 1024


@dataclass(frozen=True)
class SandboxOutcome:
    """Whether each test passed, and a note on the first that didn't."""

    passed: tuple[bool, ...]
    note: str = ""


def run(
    code: str, tests: list[str], setup: str = "", limits: Limits | None = None, *, confined: bool = True
) -> SandboxOutcome:
    """Run tests against untrusted code. `ValueError` where there's no sandbox and `confined` asks for one."""
    for wait in (*WAITS, None):
        outcome = _once(code, tests, setup, limits or Limits(), confined)
        if isinstance(outcome, SandboxOutcome):
            return outcome
        if wait is None or outcome.errno not in BUSY:
            raise ValueError(f"there is no sandbox on this machine for code that a model wrote: {outcome.refused}")
        time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _once(code: str, tests: list[str], setup: str, limits: Limits, confined: bool) -> SandboxOutcome | status.Status:
    """The outcome, or why one of the jails could not be made; then no code of the model's has run."""
    token = secrets.token_hex(16)
    solution_in, examiner_out, examiner_in, solution_out, report_in, report_out = (*os.pipe(), *os.pipe(), *os.pipe())
    shared = {"limits": vars(limits), "confined": confined}
    jails: list[_Jail] = []
    deadline = time.monotonic() + limits.wall + 1.0
    try:
        try:
            jails.append(_Jail({**shared, "role": "solution", "code": code, "pipes": [solution_in, solution_out]}))
            examiner = {"role": "examiner", "setup": setup, "tests": tests, "token": token}
            jails.append(_Jail({**shared, **examiner, "pipes": [examiner_in, examiner_out, report_out]}))
        finally:
            for pipe in (solution_in, examiner_out, examiner_in, solution_out, report_out):
                os.close(pipe)
        for jail in jails:
            heard = jail.heard(deadline)
            if heard.refused:
                return heard
        report = _report(report_in, deadline)
    finally:
        os.close(report_in)
        for jail in jails:
            jail.end()
    if not (isinstance(report, dict) and secrets.compare_digest(str(report.get("token")), token)):
        return SandboxOutcome((False,) * len(tests), NO_VERDICT)
    passed = tuple(p is True for p in report["passed"])
    return SandboxOutcome(passed if len(passed) == len(tests) else (False,) * len(tests), str(report["note"]))


@cache
def refusal() -> str:
    """Why there is no sandbox on this machine; "" if there is one."""
    if not sys.platform.startswith("linux"):
        return f"it needs Linux, and this is {sys.platform}"
    try:
        outcome = run("def one():\n    return 1", ["assert one() == 1"])
    except (ValueError, OSError) as error:
        return str(error).rpartition("wrote: ")[2]
    return "" if outcome.passed == (True,) else f"its own test fails: {outcome.note}"


class _Jail:
    """A jail: no environment, no descriptors but its pipes, and standard input held open as its lease of life."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.told, told = os.pipe()
        try:
            self.process = subprocess.Popen(  # noqa: S603 (our own program; what it runs is what all of this is about)
                [sys.executable, "-I", "-S", "-B", "-c", START, str(Path(__file__).parents[1])],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                pass_fds=[told, *config["pipes"]],
                start_new_session=True,
            )
        except BaseException:
            os.close(self.told)
            raise
        finally:
            os.close(told)
        assert self.process.stdin
        self.stdin = self.process.stdin
        with contextlib.suppress(BrokenPipeError):  # it is gone: heard() says so
            self.stdin.write(json.dumps({**config, "status": told}).encode() + b"\n")
            self.stdin.flush()

    def heard(self, deadline: float) -> status.Status:
        """Its first word."""
        return status.read(self.told, deadline)

    def end(self) -> None:
        """Close its lease and wait."""
        os.close(self.told)
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()  # its child is killed with it, by the kernel
            self.process.wait()


def _report(pipe: int, deadline: float) -> Any:
    """The frame in a pipe, None if there's none before the deadline. At most a megabyte is read."""
    raw = b""
    while len(raw) < wire.LARGEST + 4 and (left := deadline - time.monotonic()) > 0:
        if not select.select([pipe], [], [], left)[0]:
            break
        part = os.read(pipe, 65536)
        if not part:
            break
        raw += part
    try:
        return json.loads(raw[4:]) if len(raw) > 4 else None
    except ValueError:
        return None
