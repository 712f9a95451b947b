"""Rank 0's word to the others, and how each learns that another one has ended, without torch."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from trueward.parallel import control_line
from trueward.parallel.control_line import SILENCE, ControlLine, longest_silence
from trueward.signals import LostProcessError


@pytest.fixture
def lines() -> Iterator[list[ControlLine]]:
    """The ends of three processes, by rank."""
    server, address = ControlLine.listen("127.0.0.1")
    made: dict[int, ControlLine] = {}
    callers = [threading.Thread(target=lambda r=r: made.update({r: ControlLine.call(address, r)})) for r in (2, 1)]
    for caller in callers:
        caller.start()
    first = ControlLine.accept(server, address, 3)
    for caller in callers:
        caller.join()
    ends = [first, made[1], made[2]]
    yield ends
    for end in ends:
        end.close()


def test_everybody_hears_rank_0_in_order(lines: list[ControlLine]) -> None:
    told = [{"step": 3, "text": "ü \u2028 \n"}, None, "x" * 300_000, False]
    for value in told:
        lines[0].tell(value)
    assert [[line.hear() for _ in told] for line in lines[1:]] == [told, told]


def test_who_ends_says_why_and_who_is_killed_is_known(lines: list[ControlLine]) -> None:
    lines[1].close("a bad row\nof mine")
    assert lines[0].who_is_gone(30) == "rank 1 has ended: a bad row\nof mine"
    lines[0].ends[2].shutdown(socket.SHUT_RDWR)  # as the system does for a killed process
    with pytest.raises(LostProcessError, match="rank 0 has ended"):
        lines[2].hear()
    with pytest.raises(LostProcessError, match="rank 0 has ended"):
        lines[2].hear()


def test_rank_0_that_has_said_why_is_left_to_speak(lines: list[ControlLine]) -> None:
    lines[0].close("a mistake")
    for line in lines[1:]:
        with pytest.raises(LostProcessError, match=r"^$"):
            line.hear()
        assert line.gone == {0: "a mistake"}


def test_a_process_that_is_cut_off_is_given_up(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It lives, and sends nothing: as after SIGSTOP, or when a cable is pulled."""
    ended = threading.Event()

    def leave(code: int) -> None:
        assert code == control_line.ENDS
        ended.set()
        line.over.set()  # where the process would have ended

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setenv(SILENCE, "0.5")
    here, there = socket.socketpair()
    line = ControlLine(0, {3: here})
    assert ended.wait(60)
    assert "trueward: rank 0: rank 3 has sent nothing for 0.5 s" in capfd.readouterr().err
    for thread in line.threads:
        thread.join(60)
    here.close()
    there.close()


def test_a_stranger_is_no_process_of_the_run() -> None:
    server, address = ControlLine.listen("127.0.0.1")
    port = server.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\n")
        caller = threading.Thread(target=lambda: made.append(ControlLine.call(address, 1)))
        made: list[ControlLine] = []
        caller.start()
        line = ControlLine.accept(server, address, 2)
        caller.join()
        assert list(line.ends) == [1]
    line.close()
    made[0].close()


@pytest.mark.parametrize("given", ["0", "-1", "soon", "nan"])
def test_a_silence_that_is_no_time(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(SILENCE, given)
    with pytest.raises(ValueError, match=f"^{SILENCE}: expected seconds above 0, got '{given}'$"):
        longest_silence()


def test_who_waits_for_a_word_helps_before_it_comes(lines: list[ControlLine]) -> None:
    done: dict[int, list[object]] = {1: [], 2: []}
    for rank in done:
        lines[rank].helps = done[rank].append
    lines[0].ask({"prompts": ["a"]})
    lines[0].ask({"prompts": []})
    lines[0].tell("on")
    assert [lines[rank].hear() for rank in done] == ["on", "on"]
    assert done == {1: [{"prompts": ["a"]}, {"prompts": []}], 2: [{"prompts": ["a"]}, {"prompts": []}]}
