"""What malloc keeps."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from trueward.pipeline import memory

# Every second block of 4 MB is freed, so that none of the holes lies at the end; then what is resident is looked at.
SCRIPT = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("memory", sys.argv[1])
memory = importlib.util.module_from_spec(spec)
spec.loader.exec_module(memory)
assert sys.argv[2] == "no" or memory.give_back_what_is_freed()
for _ in range(3):  # glibc learns from what is freed how large a block it may keep
    big = bytearray(30 << 20)
    del big
blocks = [bytearray(b"x") * (4 << 20) for _ in range(60)]
del blocks[::2]
status = open("/proc/self/status").read()
print(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) // 1024)
"""


on_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's; what is done without it is tested below"
)


@on_glibc
def test_freed_blocks_go_back() -> None:
    """120 of 240 MB are free: they are there still, or not."""
    kept, given = (
        int(subprocess.check_output([sys.executable, "-c", SCRIPT, str(Path(memory.__file__)), word]))
        for word in ("no", "yes")
    )
    assert kept > 220
    assert given < 160


AGAIN = """
import importlib.util, resource, sys
spec = importlib.util.spec_from_file_location("memory", sys.argv[1])
memory = importlib.util.module_from_spec(spec)
spec.loader.exec_module(memory)
if sys.argv[2] != "no":
    assert memory.give_back_what_is_freed()
    assert memory.keep_what_is_freed()
if sys.argv[2] == "back":
    assert memory.give_back_what_is_freed()
for turn in range(6):
    if turn == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    big = bytearray(b"x") * (64 << 20)
    del big
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@on_glibc
def test_freed_blocks_are_used_again() -> None:
    """64 MB are made five times more: their pages come from the system each time, or never again. Either can be undone."""
    new, kept, back = (
        int(subprocess.check_output([sys.executable, "-c", AGAIN, str(Path(memory.__file__)), word]))
        for word in ("no", "yes", "back")
    )
    pages = (64 << 20) // resource.getpagesize()
    assert new > 4 * pages or new < 0.1 * pages, "or they are huge ones"
    assert kept < 0.1 * pages
    assert back >= new / 2


@pytest.mark.parametrize("ask", [memory.keep_what_is_freed, memory.give_back_what_is_freed])
def test_another_c_library_is_left_alone(ask: Callable[[], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """One without `mallopt`, one that can't be opened, and one that refuses."""

    def none(name: None) -> object:
        raise OSError("no such library")

    for library in (lambda name: object(), none, lambda name: SimpleNamespace(mallopt=lambda option, value: 0)):
        monkeypatch.setattr(memory.ctypes, "CDLL", library)
        assert ask() is False
