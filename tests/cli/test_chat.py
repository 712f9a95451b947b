"""`trueward chat`: a line on standard input is a turn, standard output holds answers alone."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward.cli import chat

Command = Callable[..., tuple[int, str, str]]
GREEDY = ("--temperature=0", "--max-new-tokens=12")


class Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def talk(command: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """`trueward chat ...` with lines on standard input."""

    def call(*arguments: str, lines: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        return command("chat", *arguments)

    return call


def test_a_line_is_a_turn(command: Command, talk: Any, baseline: Path) -> None:
    code, out, err = talk(str(baseline), *GREEDY, lines="the new film\n\nthe cast\n")
    assert code == 0
    first, second = out.splitlines()
    sampled = command("sample", str(baseline), "-p", "the new film", *GREEDY)[1]
    assert first in sampled
    continued = command(
        "sample", str(baseline), "-p", f"the new film {first.removesuffix(' … (cut)')} the cast", *GREEDY
    )
    assert " ".join(second.split()[:2]) in " ".join(continued[1].split())
    assert err == (f"({baseline} has no chat template: it goes on with the whole text, your lines and its own)\n"), (
        "notes are apart from answers"
    )


def test_reset_quit_and_what_is_no_command(talk: Any, baseline: Path) -> None:
    alone = talk(str(baseline / "policy/best"), *GREEDY, lines="the cast\n")[1]
    lines = "the new film\n/reset\nthe cast\n/what\n/quit\nthe music\n"
    code, out, err = talk(str(baseline / "policy/best"), *GREEDY, lines=lines)
    assert code == 0
    assert out.splitlines()[1:] == alone.splitlines()
    assert "(the conversation is forgotten)\n" in err
    assert "(there is no /what: /reset forgets the conversation, /quit (or the end of the input) leaves)\n" in err


def test_the_context_is_full(talk: Any, baseline: Path) -> None:
    long = "the " * 20
    code, out, err = talk(str(baseline), *GREEDY, lines=f"{long}\n{long}\n{long}\n{'film ' * 80}\n")
    assert code == 0
    assert len(out.splitlines()) == 3
    assert f"({baseline}: the context of 64 tokens is full, the oldest turn is left out from here on)\n" in err
    assert "tokens don't fit into a context of 64 with 12 left for the answer; write less)\n" in err


def test_two_models_side_by_side(talk: Any, baseline: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(baseline)
    short = ("--temperature=0", "--max-new-tokens=5")
    code, out, err = talk("mine", "--compare", "mine/sft", *short, lines="the new film\nthe cast\n")
    assert code == 0
    assert "(both read your lines, and each keeps its own history)\n" in err
    assert out.splitlines()[1].split() == ["┃", "mine", "┃", "mine/sft", "┃"]
    columns = [[cell.strip() for cell in row.split("│")[1:3]] for row in out.splitlines() if row.startswith("│")]
    for number, name in enumerate(("mine", "mine/sft")):
        alone = talk(name, *short, lines="the new film\nthe cast\n")[1].splitlines()
        assert [row[number] for row in columns] == alone, "each with its own history"
    assert "mine (2)" in talk("mine", "--compare", "mine", *short, lines="the cast\n")[1]


def test_seeds(talk: Any, baseline: Path) -> None:
    arguments, lines = (str(baseline), "--max-new-tokens=12"), "the new film\nthe cast\n"
    once = talk(*arguments, lines=lines)[1]
    assert talk(*arguments, lines=lines)[1] == once
    assert talk(*arguments, "--seed=1", lines=lines)[1] != once


def test_what_can_not_be_talked_with_is_one_line(talk: Any, baseline: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = talk(str(tmp_path / "empty"), lines="hi\n")
    assert (code, out) == (2, "")
    assert err == f"trueward: {tmp_path / 'empty'}: not a model directory (it has no config.json)\n"
    code, out, err = talk(str(baseline), "--system", "be brief", lines="hi\n")
    assert (code, out) == (2, "")
    assert err == (
        f"trueward: {baseline}: the model's tokenizer has no chat template, so there is no place for a system message\n"
    )


class Scripted:
    """A model that says what a test wants, in the place of `Conversation`."""

    has_template, finished = True, True

    def __init__(self, *pieces: str | BaseException) -> None:
        self.pieces, self.turns = pieces, [("before", "it")]

    def answer(self, text: str) -> Any:
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
        self.turns.append((text, ""))


def test_escape_sequences_never_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = Scripted(" \x1b[2J", "a\x07\u009b1m", "\tb\nc")
    chat.answer({"m": hostile}, "hi")  # type: ignore[dict-item]  # stands in for a model
    chat.answer({"m": hostile, "\x1bn": Scripted("")}, "hi")  # type: ignore[dict-item]  # stands in for a model
    chat.note("\x1b[31m")
    out, err = capsys.readouterr()
    assert "␛[2Ja␇\ufffd1m\tb\nc\n" in out
    assert not set(out + err) & {"\x1b", "\x07", "\u009b"}
    assert "(an empty answer)" in out


def test_ctrl_c_breaks_an_answer_off_and_keeps_no_half_turn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = Scripted("fine"), Scripted("half", KeyboardInterrupt())
    chat.turn({"a": first, "b": second}, "hi")  # type: ignore[dict-item]  # stands in for a model
    assert (first.turns, second.turns) == ([("before", "it")], [("before", "it")])
    assert "broken off; this turn is not kept" in capsys.readouterr().err


def test_at_a_terminal_there_is_a_mark_and_ctrl_c_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter([" hi ", "", "\ud800"])
    marks = []

    def read(mark: str) -> str:
        marks.append(mark)
        if (text := next(typed, None)) is None:
            raise KeyboardInterrupt
        return text

    monkeypatch.setattr(sys, "stdin", Keyboard())
    monkeypatch.setattr("builtins.input", read)
    assert list(chat.lines()) == ["hi", "?"]
    assert marks == ["> "] * 4
