"""A process that confines itself, then runs one of the two roles. It is started by run.py, without the package around it:
imports in this folder are relative, and lead to nothing outside but the standard library.

Three processes: this one stays outside and ends the jail when time is up or trueward is gone; its child is process 1 of
the new namespaces and keeps them; the child's child, without any right, runs the role. What trueward hears of the setup
goes through the status pipe, which the role's process closes before the role: how a process ends says nothing.
"""

from __future__ import annotations

import json
import os
import platform
import select
import sys
from typing import Any

from . import confine, examiner, seccomp, solution, status


def main() -> int:
    """Read the configuration from standard input, start the jail and wait for its end; returns the exit code."""
    config = json.loads(_line(0))
    told: int = config["status"]
    try:
        if config["confined"]:
            confine.separate()
        ready, go = os.pipe()
        child = os.fork()
    except (OSError, StopIteration) as error:
        return _refused(told, error)
    if not child:
        try:
            os.close(go)
            _inside(config, told, ready)
        finally:
            os._exit(1)
    os.close(ready)
    os.write(go, b"x")
    for pipe in config["pipes"]:
        os.close(pipe)
    late = _watch(child, config["limits"]["wall"])
    # Counts only if the worker had not said that it is ready, and then nothing but this program has run.
    status.write(told, status.Status(late=True) if late else status.ENDED)
    return 0


def _inside(config: dict[str, Any], told: int, ready: int) -> None:
    """Process 1: ends with the one outside, and everything in here with it."""
    confine.die_with_parent()
    if not os.read(ready, 1):  # the parent was gone before it could be asked to take this one with it
        return
    os.close(ready)
    os.setpgid(0, 0)  # a signal to the group reaches nobody outside
    limits = config["limits"]
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        if config["confined"]:
            confine.empty_root(platform.machine(), limits["file_kb"])
        worker = os.fork()
    except (OSError, StopIteration) as error:
        _refused(told, error)
        return
    if worker:
        for pipe in (told, *config["pipes"]):
            os.close(pipe)
        os.waitpid(worker, 0)
        return
    try:
        confine.limit(limits["cpu"], limits["memory_mb"], limits["file_kb"])
        if config["confined"]:
            confine.drop_rights()
            seccomp.install()
        for standard in range(3):
            os.dup2(nothing, standard)
        os.environ.clear()
        sys.argv[:] = [""]
    except (OSError, ValueError, OverflowError) as error:
        _refused(told, error)
        return
    status.write(told, status.Status(ready=True))
    os.close(told)
    pipes = config.pop("pipes")
    if config["role"] == "solution":
        solution.serve(config["code"], *pipes)
    else:
        examiner.examine(config["setup"], config["tests"], config["token"], *pipes)


def _watch(child: int, seconds: float) -> bool:
    """Wait for the child; end it when its time is up (true), or when trueward closes standard input by ending."""
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(0, select.POLLIN | select.POLLHUP)
    happened = poll.poll(seconds * 1000)
    os.kill(child, 9)  # not waited for yet, so the number is still its own
    os.waitpid(child, 0)
    return not happened


def _refused(told: int, error: BaseException) -> int:
    number = error.errno if isinstance(error, OSError) and error.errno else 0
    status.write(told, status.Status(refused=str(error) or type(error).__name__, errno=number))
    return 0


def _line(pipe: int) -> bytes:
    raw = b""
    while not raw.endswith(b"\n"):
        part = os.read(pipe, 65536)
        if not part:
            break
        raw += part
    return raw
