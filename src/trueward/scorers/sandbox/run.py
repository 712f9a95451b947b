"""Starts both jails, connects them by pipes, and accepts only a report that has its own token."""

from __future__ import annotations

import contextlib
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
from typing import IO, Any

from trueward.scorers.sandbox import wire

START = "import os, sys; sys.path.insert(0, sys.argv.pop()); from sandbox import jail; sys.path.pop(0); os._exit(jail.main())"
NO_JAIL = 77
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
    """Run tests on untrusted code.

    setup: Python that runs before each test. confined: False runs it without a sandbox. `ValueError` where there is no sandbox
    and `confined` is true.
    """
    limits = limits or Limits()
    token = secrets.token_hex(16)
    solution_in, examiner_out, examiner_in, solution_out, report_in, report_out = (*os.pipe(), *os.pipe(), *os.pipe())
    shared = {"limits": vars(limits), "confined": confined}
    jails: list[subprocess.Popen[bytes]] = []
    try:
        try:
            jails.append(_start({**shared, "role": "solution", "code": code, "pipes": [solution_in, solution_out]}))
            examiner = {"role": "examiner", "setup": setup, "tests": tests, "token": token}
            jails.append(_start({**shared, **examiner, "pipes": [examiner_in, examiner_out, report_out]}))
        finally:
            for pipe in (solution_in, examiner_out, examiner_in, solution_out, report_out):
                os.close(pipe)
        report = _report(report_in, limits.wall + 1.0)
    finally:
        os.close(report_in)
        refusals = [_end(jail) for jail in jails]
    if refusal := next((r for r in refusals if r), ""):
        raise ValueError(f"there is no sandbox on this machine for code that a model wrote: {refusal}")
    if not (isinstance(report, dict) and secrets.compare_digest(str(report.get("token")), token)):
        return SandboxOutcome((False,) * len(tests), "no verdict: out of time, memory or output")
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


def _start(config: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start a jail: no environment, no descriptors but its pipes; it lives while standard input is open."""
    jail = subprocess.Popen(  # noqa: S603 (our own program; what it runs is what all of this is about)
        [sys.executable, "-I", "-S", "-B", "-c", START, str(Path(__file__).parents[1])],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={},
        cwd="/",
        pass_fds=config["pipes"],
        start_new_session=True,
    )
    assert jail.stdin
    with contextlib.suppress(BrokenPipeError):  # the reason is on its standard error
        jail.stdin.write(json.dumps(config).encode() + b"\n")
        jail.stdin.flush()
    return jail


def _report(pipe: int, seconds: float) -> Any:
    """The frame in a pipe; None if there is none before the time is up. At most a megabyte is read."""
    raw, deadline = b"", time.monotonic() + seconds
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


def _end(jail: subprocess.Popen[bytes]) -> str:
    """Close its standard input and wait; returns why it refused to run, if it did."""
    stdin, stderr = _open(jail.stdin), _open(jail.stderr)
    with contextlib.suppress(BrokenPipeError):
        stdin.close()
    try:
        code = jail.wait(timeout=5)
    except subprocess.TimeoutExpired:
        jail.kill()  # its child is killed with it, by the kernel
        code = jail.wait()
    reason = stderr.read(500).decode(errors="replace") if code == NO_JAIL else ""
    stderr.close()
    return (reason or "it ended at once") if code == NO_JAIL else ""


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe
    return pipe
