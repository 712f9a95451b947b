"""A process that confines itself, then runs one of the two roles. It is started by run.py, without the package around it:
imports in this folder are relative, and lead to nothing outside but the standard library.

Three processes: this one stays outside and ends the jail when its time is up or trueward has ended; its child is process 1 of
the new namespaces and keeps them alive; the child's child, without any rights, runs the role.
"""

from __future__ import annotations

import json
import os
import platform
import select
import sys

from . import confine, examiner, seccomp, solution

NO_JAIL = 77


def main() -> int:
    """Read the configuration from standard input, start the jail and wait for its end; returns the exit code."""
    config = json.loads(_line(0))
    limits, confined = config["limits"], config["confined"]
    if confined:
        try:
            confine.separate()
        except (OSError, StopIteration) as error:
            return _no_jail(error)
    ready, go = os.pipe()
    child = os.fork()
    if not child:
        os.close(go)
        code = 1
        try:
            code = _inside(config, limits, ready)
        finally:
            os._exit(code)
    os.close(ready)
    os.write(go, b"x")
    for pipe in config["pipes"]:
        os.close(pipe)
    return _watch(child, limits["wall"])


def _inside(config: dict, limits: dict, ready: int) -> int:  # type: ignore[type-arg]
    """Process 1: it ends when the process outside does, and all processes in the jail end with it."""
    confine.die_with_parent()
    if not os.read(ready, 1):  # the parent ended before `die_with_parent` took effect
        return 1
    os.close(ready)
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        if config["confined"]:
            confine.empty_root(platform.machine(), limits["file_kb"])
    except (OSError, StopIteration) as error:
        return _no_jail(error)
    worker = os.fork()
    if worker:
        for pipe in config["pipes"]:
            os.close(pipe)
        return os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) & 0xFF
    code = 1
    try:
        confine.limit(limits["cpu"], limits["memory_mb"], limits["file_kb"])
        if config["confined"]:
            confine.drop_rights()
            seccomp.install()
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
    except (OSError, ValueError) as error:
        os._exit(_no_jail(error))
    try:
        os.dup2(nothing, 2)
        os.environ.clear()
        sys.argv[:] = [""]
        pipes = config.pop("pipes")
        if config["role"] == "solution":
            solution.serve(config["code"], *pipes)
        else:
            examiner.examine(config["setup"], config["tests"], config["token"], *pipes)
        code = 0
    finally:
        os._exit(code)


def _watch(child: int, seconds: float) -> int:
    """Wait for the child; kill it when its time is up, or when trueward closes standard input by ending."""
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(0, select.POLLIN | select.POLLHUP)
    poll.poll(seconds * 1000)
    os.kill(child, 9)  # not waited for yet, so the process id is still its own
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF


def _no_jail(error: BaseException) -> int:
    os.write(2, str(error).encode()[:500])
    return NO_JAIL


def _line(pipe: int) -> bytes:
    raw = b""
    while not raw.endswith(b"\n"):
        part = os.read(pipe, 65536)
        if not part:
            break
        raw += part
    return raw
