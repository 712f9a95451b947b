"""How a process that torchrun started meets the others, and how it parts from them.

torchrun tells each process by environment variables who it is (RANK, of WORLD_SIZE; LOCAL_RANK, of LOCAL_WORLD_SIZE on its
machine) and where they meet (MASTER_ADDR, MASTER_PORT).
"""

from __future__ import annotations

import os
import platform
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import metadata

import torch
from torch import distributed

from trueward import progress
from trueward.parallel.control_line import ControlLine, longest_silence
from trueward.parallel.deadlines import ended_when_told, until_all_have_come
from trueward.parallel.fabric import ALONE, DivergedError, Fabric
from trueward.parallel.launched import die_with, place
from trueward.signals import LostProcessError

PACKAGES = ("trueward", "torch", "transformers", "tokenizers", "numpy", "scipy", "pydantic", "safetensors")
LONGEST_COLLECTIVE = timedelta(hours=24)  # who is dead or cut off is found by the control line


@contextmanager
def joined() -> Iterator[Fabric]:
    """The fabric of the processes that torchrun started, as long as the scope is open; `ALONE` where it started none or one.

    In a program that has called `init_process_group` itself, that of its processes. On ranks other than 0 notes and warnings
    are not printed, and what all ranks report is left to rank 0 (`SystemExit`). `DivergedError` if versions of packages differ;
    `LostProcessError` in one line if a process ends before the others.
    """
    begun = distributed.is_available() and distributed.is_initialized()
    rank, world = (distributed.get_rank(), distributed.get_world_size()) if begun else place()
    if world == 1:
        yield ALONE
        return
    if not distributed.is_available():
        raise ValueError(
            f"torch {torch.__version__} was built without torch.distributed: install one that has it, or run "
            "one process"
        )
    with ended_when_told(rank):
        if not begun:
            _begin(rank, world)
        try:
            with _quiet(rank):
                yield from _together(rank, world)
        finally:
            if not begun:
                distributed.destroy_process_group()


def _begin(rank: int, world: int) -> None:
    if not os.environ.get("MASTER_ADDR"):
        raise ValueError("RANK and WORLD_SIZE are set and MASTER_ADDR is not: start several processes by torchrun")
    die_with(os.getppid())
    longest_silence()  # a wrong value is said before anybody is met
    local = os.environ.get("LOCAL_WORLD_SIZE", "")
    backend = _backend(int(local) if local.isdigit() else world)
    with until_all_have_come(rank):
        distributed.init_process_group(backend, rank=rank, world_size=world, timeout=LONGEST_COLLECTIVE)


def _together(rank: int, world: int) -> Iterator[Fabric]:
    with until_all_have_come(rank):
        line = _connected(rank, world)
    why = ""
    try:
        fabric = Fabric(rank, world, line)
        _agree_on_versions(fabric)
        yield fabric
    except DivergedError as error:  # all ranks know it
        why = str(error)
        if rank:
            raise SystemExit(2) from error
        raise
    except (LostProcessError, RuntimeError) as error:
        gone = line.who_is_gone() if isinstance(error, LostProcessError) or _is_of_network(error) else ""
        if not (gone or isinstance(error, LostProcessError)):
            why = " ".join(str(error).split()) or type(error).__name__
            raise
        if rank and (line.gone.get(0) is not None or not gone):
            raise SystemExit(0) from error  # rank 0 has said why on its own terminal, or finds out who it was
        raise LostProcessError(gone or f"another process has ended ({error})") from error
    except BaseException as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise
    finally:
        line.close(why)


def _is_of_network(error: RuntimeError) -> bool:
    """Whether torch.distributed may have raised it: sharded weights are gathered and summed within torch's own passes."""
    text = str(error).lower()
    return any(word in text for word in ("gloo", "nccl", "connection", "peer"))


def _connected(rank: int, world: int) -> ControlLine:
    """The control line. Rank 0 tells the others by a collective where it listens."""
    server, address = None, ""
    if not rank:
        server, address = ControlLine.listen(socket.gethostbyname(os.environ.get("MASTER_ADDR", "127.0.0.1")))
    told = Fabric(rank, world).gather(address)[0]
    return ControlLine.call(told, rank) if server is None else ControlLine.accept(server, address, world)


def _agree_on_versions(fabric: Fabric) -> None:
    """`DivergedError` that names the rank and the package if versions differ."""
    own = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            own[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            own[name] = "none"
    every = fabric.gather(own)
    for rank, theirs in enumerate(every):
        for name, version in theirs.items():
            if version != every[0][name]:
                raise DivergedError(f"rank {rank} has {name} {version}, rank 0 has {every[0][name]}")


def _backend(local: int) -> str:
    """NCCL beside gloo where every process of this machine has a GPU of its own; gloo alone elsewhere."""
    if torch.cuda.is_available() and torch.cuda.device_count() >= local:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        return "cpu:gloo,cuda:nccl"
    return "gloo"


@contextmanager
def _quiet(rank: int) -> Iterator[None]:
    """On ranks other than 0 nothing is printed but errors."""
    if not rank:
        yield
        return
    out = sys.stdout
    with open(os.devnull, "w") as nothing, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.stdout = nothing
        progress.silence(True)
        try:
            yield
        finally:
            sys.stdout = out
            progress.silence(False)
