"""What training processes tell, who of several is believed, and what each is told of the others; without Ray."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from trueward.launch import told
from trueward.launch.creation import creation_line
from trueward.launch.gang import DeadRankError, raise_first, variables
from trueward.launch.listener import LISTENER, without_listener
from trueward.progress import Progress, WaitingError
from trueward.signals import LostProcessError


class Kept(Progress):
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def start(self, what: str, total: int) -> None:
        self.calls.append(("start", what, total))

    def at(self, done: int, note: str = "") -> None:
        self.calls.append(("at", done, note))

    def end(self, note: str = "") -> None:
        self.calls.append(("end", note))

    def tell(self, text: str) -> None:
        self.calls.append(("tell", text))


def test_progress_is_shown_as_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    events: list[told.Event] = []
    far, here, right = told.ToldProgress(events.append), Kept(), Kept()
    for progress in (far, right):
        progress.start("sft", 7)
        progress.at(3, "loss 2")
        progress.tell("left out")
        progress.end("done")
    with told.printing(events.append):
        print("a note\nand", end=" ")
        print("more")
    for event in events:
        told.show(event, here)
    assert here.calls == [*right.calls, ("tell", "a note"), ("tell", "and more")]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (WaitingError("for people"), WaitingError, "for people"),
        (LostProcessError("rank 1 has ended"), LostProcessError, "rank 1 has ended"),
        (ValueError("x: no such file"), ValueError, "x: no such file"),
        (UnicodeError("bad"), ValueError, "bad"),
        (FileNotFoundError(2, "No such file", "here"), ValueError, "here: No such file"),
        (KeyError("a bug"), RuntimeError, "KeyError: 'a bug'"),
    ],
)
def test_errors_keep_their_kind(error: BaseException, kind: type[BaseException], text: str) -> None:
    event = told.failed(error)
    raised = told.raised(event[1], event[2])
    assert (type(raised), str(raised)) == (kind, text)


FAILED, DONE = told.FAILED, [told.DONE]
LOST, QUIET = [FAILED, "LostProcessError", "rank 1 has ended"], [FAILED, "SystemExit", "0"]


@pytest.mark.parametrize(
    ("ends", "kind", "line"),
    [
        ({0: [FAILED, "ValueError", "wrong"], 1: QUIET}, ValueError, "wrong"),
        ({0: LOST, 1: [FAILED, "ValueError", "mine"]}, ValueError, "rank 1: mine"),
        ({0: LOST, 1: QUIET}, LostProcessError, "rank 1 has ended"),
        ({0: DONE}, DeadRankError, "rank 1"),
        ({0: QUIET, 1: QUIET}, DeadRankError, "rank 0, rank 1"),
    ],
)
def test_who_is_believed(ends: dict[int, told.Event], kind: type[BaseException], line: str) -> None:
    """A process's word of itself before others' of it; who says nothing has died."""
    with pytest.raises(kind) as raised:
        raise_first(ends, 2)
    assert str(raised.value) == line
    raise_first({0: DONE, 1: DONE}, 2)


def test_each_is_told_of_the_others_as_by_torchrun() -> None:
    """On two machines, with and without GPUs, of which Ray shows a process its own alone."""
    met = [{"host": host, "process": 1, "address": f"10.0.0.{i}", "port": 7} for i, host in enumerate("aab")]
    given = [variables(rank, met, False) for rank in range(3)]
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    assert [[each[name] for name in names] for each in given] == [
        ["0", "3", "0", "2", "10.0.0.0", "7"],
        ["1", "3", "1", "2", "10.0.0.0", "7"],
        ["2", "3", "0", "1", "10.0.0.0", "7"],
    ]
    on_gpu = variables(1, met, True)
    assert (on_gpu["LOCAL_RANK"], on_gpu["LOCAL_WORLD_SIZE"]) == ("0", "1")
    assert variables(1, met[:2], False)["MASTER_ADDR"] == "127.0.0.1"


def test_why_an_actor_could_not_be_made() -> None:
    text = "The actor died because of an error in its creation task, \x1b[36mX\nTraceback\nValueError: b doesn't see /x"
    assert creation_line(RuntimeError(text)) == "b doesn't see /x"
    assert creation_line(RuntimeError("The actor died unexpectedly\nOSError: x")) == ""


def test_rays_pages_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Of its own thread alone."""
    with without_listener():
        for name in (LISTENER, "another"):
            thread = threading.Thread(target=lambda: print("a page", file=sys.stderr), name=name)
            thread.start()
            thread.join()
        print("a line")
        assert not sys.stderr.isatty()
    assert capsys.readouterr() == ("a line\n", "a page\n")
