"""Two hosts on one machine: network namespaces with an address each and a bridge between them. `python hosts.py FOLDER`.

A run of two processes, one on each, is cut in two in the middle of a loop, both say so, and the same command goes on when the
cable is in again. What they said is left in FOLDER/found.json; {"skipped": why} where namespaces aren't allowed.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from killed import NANO, arguments, finished, forked, rank_of

NETWORK = 0x40000000  # Linux: CLONE_NEWNET
SILENCE = 4.0
PORT = 29511  # of namespaces that nobody else is in
LONGEST = 300.0


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextmanager
def two_hosts() -> Iterator[tuple[list[str], Callable[[bool], None]]]:
    """The names of two namespaces, whose addresses are 10.77.0.1 and 10.77.0.2; and what cuts the cable between them."""
    own = f"tw{os.getpid()}"
    hosts, switch = [f"{own}a", f"{own}b"], f"{own}s"
    try:
        for name in (*hosts, switch):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", switch, "link", "add", "br0", "type", "bridge")
        ip("-n", switch, "link", "set", "br0", "up")
        for number, host in enumerate(hosts):
            ip("-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", f"port{number}", "netns", switch)
            ip("-n", switch, "link", "set", f"port{number}", "master", "br0", "up")
            ip("-n", host, "addr", "add", f"10.77.0.{number + 1}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
        yield hosts, lambda cut: ip("-n", switch, "link", "set", "br0", "down" if cut else "up")
    finally:
        for name in (*hosts, switch):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def on(host: str, rank: int, words: list[str], said: Path) -> None:
    """A rank on a host."""
    with open(f"/run/netns/{host}") as place:
        if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), NETWORK):
            raise OSError(ctypes.get_errno(), "setns")
    os.environ |= {"GLOO_SOCKET_IFNAME": "eth0", "TRUEWARD_SILENCE": str(SILENCE)}
    rank_of(rank, 2, PORT, words, said, "10.77.0.1")


def started(hosts: list[str], run: Path, said: Path) -> list[int]:
    said.mkdir()
    words = arguments("nano", run, NANO, "policy")
    return [forked(lambda rank=rank: on(hosts[rank], rank, words, said)) for rank in (0, 1)]


def said_by(place: Path) -> list[str]:
    return [(place / f"rank-{rank}.txt").read_text() for rank in (0, 1)]


def whole(hosts: list[str], folder: Path, run: str, name: str) -> dict[str, Any]:
    ranks = started(hosts, folder / run / "run", folder / name)
    return {"codes": [finished(rank, LONGEST) for rank in ranks], "said": said_by(folder / name)}


def cut_in_the_loop(hosts: list[str], cut: Callable[[bool], None], folder: Path) -> dict[str, Any]:
    ranks = started(hosts, folder / "cut" / "run", folder / "first")
    until = time.monotonic() + LONGEST
    while not any((folder / "cut" / "run" / "policy" / "checkpoints").glob("step-*/state.json")):
        assert time.monotonic() < until
        time.sleep(0.002)
    cut(True)
    begun = time.monotonic()
    codes = [finished(rank, 10 * SILENCE) for rank in ranks]
    return {"codes": codes, "said": said_by(folder / "first"), "seconds": time.monotonic() - begun}


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    try:
        with two_hosts() as (hosts, cut):
            found["never"] = whole(hosts, folder, "never", "never-said")
            found["first"] = cut_in_the_loop(hosts, cut, folder)
            cut(False)
            found["second"] = whole(hosts, folder, "cut", "second")
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", "") or str(error)
        found = {"skipped": " ".join(why.split())}
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
