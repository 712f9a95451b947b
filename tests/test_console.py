"""What reaches a terminal: no control character of a text, in no encoding an error, nothing lost in JSON."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest
from rich.table import Table
from rich.text import Text

from trueward import console

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\x00\x08\r\x7f\u202egnp.exe\ud800[/red]:smile:"


def dangerous(text: str) -> list[str]:
    return [
        c for c in text if (ord(c) < 32 and c not in "\n\t") or 126 < ord(c) < 160 or c in "\u202a\u202e\u2066\ud800"
    ]


def test_what_a_terminal_obeys_is_visible() -> None:
    assert console.printed(HOSTILE).startswith("␛]0;owned␇␛[2J")
    assert not dangerous(console.printed(HOSTILE))
    for plain in ("plain", "two\nlines\tand a tab", "naïve café – “β” 你好 🙂", "שלום"):
        assert console.printed(plain) == plain


def test_print_goes_through_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with console.guarded():
        print(HOSTILE)
        print(HOSTILE, file=sys.stderr)
        sys.stdout.writelines([HOSTILE])
        assert not hasattr(sys.stdout, "buffer")
    assert (sys.stdout, sys.stderr) == (out, err)
    for stream in (out, err):
        assert "owned" in stream.getvalue()
        assert not dangerous(stream.getvalue())


@pytest.mark.parametrize("width", [20, 100])
def test_a_screen_console_obeys_no_text(width: int) -> None:
    out = io.StringIO()
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(Text(HOSTILE))
    screen = console.ScreenConsole(file=out, width=width, color_system="truecolor", force_terminal=True)
    screen.print(table)
    screen.print(HOSTILE, soft_wrap=True)
    screen.print(Text("bold", style="bold"))
    plain = out.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[3m", "")
    assert "\x1b[1mbold" in out.getvalue()  # its own colours stay
    assert not dangerous(plain)
    assert "[/red]:smile:" in plain
    rows = plain.splitlines()
    assert max(len(row) for row in rows if row.startswith(("│", "┃"))) <= width


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_every_encoding_can_print_everything(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    everything = "".join(chr(n) for n in range(0x110000))
    with console.guarded():
        print(everything)
        print("β ≤ 1 – “so” …")
        sys.stdout.flush()
    line = raw.getvalue().decode(encoding).splitlines()[-1]
    assert line == ("β ≤ 1 – “so” …" if encoding == "utf-8" else line)
    if encoding == "ascii":
        assert line == 'beta <= 1 - "so" ...'


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_whole_in_every_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    value: Any = {"text": HOSTILE + "β🙂\x85\u2066", "nan": float("nan"), "row": [1.5, None, True]}
    with console.guarded():
        print(console.as_json(value))
        sys.stdout.flush()
    text = raw.getvalue().decode(encoding)
    assert json.loads(text) == value | {"nan": None}
    assert not dangerous(text)


def test_nobody_reading_standard_error_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    monkeypatch.setattr(sys, "stdout", Gone())
    with console.guarded():
        print("progress", file=sys.stderr, flush=True)
        with pytest.raises(console.ReaderGoneError):
            print("an answer")
