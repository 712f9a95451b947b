"""What reaches a terminal: text of models, data and files, with what a terminal would obey made visible.

`guarded()` stands before standard output and error, so that no print can send a control character; `ScreenConsole` may send
its own (colours, bars), and takes none from a text. Characters that the terminal's encoding lacks are spelled out.
"""

from __future__ import annotations

import codecs
import io
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]")
OTHER = re.compile("[\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # C1 (\x9b alone begins an escape sequence), halves of pairs
DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")  # a line with these is read in another order than it is stored
PLAIN = {
    **dict.fromkeys("–−‐‑", "-"), "—": "--", "…": "...", "×": "x", "·": ".", "•": "*", "≤": "<=", "≥": ">=", "±": "+/-",
    "→": "->", "←": "<-", "’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " ", "\u202f": " ", "½": "1/2", "²": "^2",
    "━": "=", "█": "#", "░": ".", "─": "-", "│": "|", "β": "beta", "σ": "sigma", "✓": "ok", "π": "pi", "\ufffd": "?",
}  # fmt: skip
ERRORS = "trueward.plain"  # the name of the handler below, for streams


def visible(text: str) -> str:
    """The text with control characters, which a terminal obeys, as pictures of them, and half surrogates as U+FFFD.

    Lines' ends and tabs stay.
    """
    return OTHER.sub("\ufffd", CONTROL.sub(lambda m: chr(0x2400 + ord(m[0])), text.replace("\r\n", "\n")))


def printed(text: str) -> str:
    """The text as a terminal is given it: `visible`, and without what turns the direction of writing."""
    return text if text.isascii() and text.isprintable() else DIRECTION.sub("\ufffd", visible(text))


def spelled(error: UnicodeError) -> tuple[str, int]:
    """What is written for characters that an encoding lacks: the nearest in ASCII, else \\uXXXX."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(c) or (f"\\u{ord(c):04x}" if ord(c) < 1 << 16 else f"\\U{ord(c):08x}") for c in lacking), (
        error.end
    )


codecs.register_error(ERRORS, spelled)


class ReaderGoneError(Exception):
    """Nobody reads standard output any more. No `OSError`: libraries would end the process in ways of their own."""


class Nowhere(io.TextIOBase):
    """Stands for a stream that the process was started without."""

    def write(self, text: str) -> int:
        """Nothing; the text's length."""
        return len(text)


class Guarded:
    """A stream that prints control characters visibly. It has no `buffer`: bytes would go past it."""

    def __init__(self, stream: Any, lossy: bool = False) -> None:
        """lossy: what can't be written is lost, and no error: nobody reads progress any more, and the work goes on."""
        self.stream, self.lossy, self.gone = stream, lossy, False
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ERRORS)

    def write(self, text: str) -> int:
        """Write the text, visibly; its length."""
        self.put(printed(text))
        return len(text)

    def put(self, text: str) -> None:
        """Write the text as it is."""
        if not self.gone:
            with self._losses():
                self.stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand on what was written."""
        if not self.gone:
            with self._losses():
                self.stream.flush()

    @contextmanager
    def _losses(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self.lossy and not isinstance(error, BrokenPipeError):
                raise
            self.gone = True
            drain(self.stream)
            if not self.lossy:
                raise ReaderGoneError from None

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.stream, name)


class Unguarded:
    """The way past a `Guarded`, for what has made its text visible itself and sends control characters of its own."""

    def __init__(self, guarded: Guarded) -> None:
        self.guarded = guarded

    def write(self, text: str) -> int:
        """Write the text as it is; its length."""
        self.guarded.put(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.guarded, name)


def past_guard(stream: Any) -> Any:
    """A stream that takes control characters: that behind a `Guarded`, else the stream itself."""
    return Unguarded(stream) if isinstance(stream, Guarded) else stream


def drain(stream: Any) -> None:
    """Let what is still in a broken stream's memory go nowhere, so that the end of the process doesn't fail on it."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass  # no file behind it


def occupy() -> None:
    """Put nothing in the place of standard streams that are closed: else the next file to be opened would be taken for one."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


@contextmanager
def guarded() -> Iterator[None]:
    """Standard output and error print control characters visibly, and what their encoding lacks in ASCII.

    Standard error breaks no work: what nobody reads is lost.
    """
    before = sys.stdout, sys.stderr
    if None in before:
        occupy()
    # as much of a text stream as print and rich need
    if not isinstance(before[0], Guarded):
        sys.stdout = Guarded(before[0] or Nowhere())
    if not isinstance(before[1], Guarded):
        sys.stderr = Guarded(before[1] or Nowhere(), lossy=True)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class ScreenConsole(Console):
    """rich's console for text of others: no markup, no emoji codes, no control characters but rich's own."""

    def __init__(self, *, file: IO[str] | None = None, stderr: bool = False, **settings: Any) -> None:
        """As rich's."""
        stream = file or past_guard(sys.stderr if stderr else sys.stdout)
        super().__init__(file=stream, stderr=stderr, markup=False, emoji=False, highlight=False, **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich's, each segment of text made visible before its width is counted."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control or text == "\n" else Segment(printed(text), style)


def as_json(value: Any) -> str:
    """A value as indented JSON for standard output: control characters, and all that its encoding lacks, as escapes.

    NaN and infinity, which JSON doesn't have, are null.
    """

    def finite(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {key: finite(each) for key, each in inner.items()}
        if isinstance(inner, list | tuple):
            return [finite(each) for each in inner]
        return None if isinstance(inner, float) and not math.isfinite(inner) else inner

    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "").replace("_", "")
    text = json.dumps(finite(value), ensure_ascii=not encoding.startswith("utf"), indent=1)
    return re.sub(
        f"{OTHER.pattern}|{DIRECTION.pattern}", lambda m: f"\\u{ord(m[0]):04x}", text
    )  # in JSON they stand in strings alone
