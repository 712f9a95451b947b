"""The Ray cluster that a command uses: one that runs already, or one of this machine alone that is started for it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from trueward.extras import require
from trueward.launch.listener import without_listener
from trueward.parallel.launched import NESTED, place
from trueward.signals import STOPPING

LOCAL_CLUSTER = "trueward.launch.local_cluster"
REACHED = 5.0  # seconds in which a cluster's port has to answer
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's own warning that a later version will have this
    "RAY_worker_niceness": "0",  # by itself Ray gives way to all other programs on the machine, by a niceness of 15
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",  # which prints a page of addresses for a SIGTERM
}
"""What a cluster of ours is started with, and who joins one."""

GUARDED = {"RAY_AUTH_MODE": "token"}
"""A cluster of ours asks for the token in the user's ~/.ray, which Ray makes if there is none."""


@contextmanager
def connected(address: str, cpus: float) -> Iterator[str]:
    """Connect this process to the cluster at `address` as long as the scope is open; where none is given, to one of its own.

    cpus: the logical cores of one of its own. Yields a clause for people. `ValueError` in one line if it isn't there.
    """
    require("--launch ray needs", "ray")
    if place()[1] > 1:
        raise ValueError(f"--launch: this is one of {place()[1]} processes that a launcher has started; leave it out")
    logging.getLogger("ray").setLevel(logging.ERROR)
    address = address or os.environ.get("RAY_ADDRESS", "")
    with _environment(QUIET if address else {**QUIET, **GUARDED}):
        import ray
        from ray._raylet import Config  # type: ignore[attr-defined]  # a module in Cython

        Config.initialize("")  # it reads them when it's first imported, which may have been before
        with without_listener(), _joined(address) if address else _own_cluster(cpus):
            try:
                nodes = len(ray.nodes())
                yield f"the cluster at {address} ({nodes} node{'s' * (nodes != 1)})" if address else "this machine"
            finally:
                ray.shutdown()


@contextmanager
def _own_cluster(cpus: float) -> Iterator[None]:
    """A cluster that a child holds, which ends when this process does."""
    environment = {name: value for name, value in os.environ.items() if name not in NESTED}
    child = subprocess.Popen(  # noqa: S603 (a module of our own)
        [sys.executable, "-m", LOCAL_CLUSTER, str(cpus)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        start_new_session=True,  # ctrl-C is this process's alone, which then ends it
    )
    assert child.stdin
    assert child.stdout
    try:
        line = child.stdout.readline()
        told = json.loads(line) if line else {"wrong": f"it ended with exit code {child.wait()}"}
        if "wrong" in told:
            raise ValueError(f"--launch ray: no cluster could be started here: {told['wrong']}")
        _connect(told["address"])
        yield
    finally:
        with contextlib.suppress(OSError):
            child.stdin.close()
        child.wait()
        child.stdout.close()


@contextmanager
def _joined(address: str) -> Iterator[None]:
    """A cluster that somebody else has started."""
    host, _, port = address.rpartition(":")
    if address != "auto" and not (host and port.isdigit() and "/" not in host):
        raise ValueError(
            f"--address {address}: expected HOST:PORT of a Ray cluster's head, or auto for one of this machine"
        )
    if address != "auto":
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED).close()
        except (OSError, OverflowError) as error:
            raise ValueError(f"--address {address}: no Ray cluster is reached there ({error})") from None
    _connect(address)
    yield


def _connect(address: str) -> None:
    import ray

    handlers = {number: signal.getsignal(number) for number in STOPPING}
    try:
        ray.init(address=address, namespace="trueward", log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"--address {address}: the Ray cluster there can't be joined ({why})") from None
    finally:
        if threading.current_thread() is threading.main_thread():  # Ray takes them for itself
            for number, handler in handlers.items():
                signal.signal(number, handler)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """These environment variables for as long as the scope is open, where they aren't set otherwise."""
    added = [name for name in variables if name not in os.environ]
    os.environ.update({name: variables[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
