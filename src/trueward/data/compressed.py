"""Files as they lie on a disk: plain, or packed by gzip (`.gz`) or Zstandard (`.zst`); read as the bytes inside."""

from __future__ import annotations

import gzip
import importlib
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from trueward.extras import missing

PACKED = (".gz", ".zst")
SMALL, MOST_TIMES = (
    256 << 20,
    200,
)  # bytes that any file may unpack to, and how many times its own size a larger one may
CHUNK = 1 << 20
PIECE = 4 << 10  # of a packed file at a time: what it unpacks to is in memory whole


def ending(path: Path) -> str:
    """The ending that says what is inside, in small letters: `.jsonl` of `a.jsonl.gz`."""
    inner = path.with_suffix("") if path.suffix.lower() in PACKED else path
    return inner.suffix.lower()


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked. `ValueError` names a file that can't be read or unpacked."""
    kind = path.suffix.lower()
    try:
        with path.open("rb") as raw:
            if kind == ".gz":
                with gzip.open(raw, "rb") as inner:
                    yield cast("IO[bytes]", Unpacked(inner, path))
            elif kind == ".zst":
                yield cast("IO[bytes]", Unpacked(io.BufferedReader(Frames(raw, path)), path))
            else:
                yield raw
    except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
        raise ValueError(f"{path}: can't be unpacked: {problem}") from None
    except OSError as problem:
        raise ValueError(f"{path}: can't be read: {problem.strerror or problem}") from None
    except Exception as problem:
        if type(problem).__name__ == "ZstdError":  # of a module that may not be there
            raise ValueError(f"{path}: can't be unpacked: {problem}") from None
        raise


def read(path: Path) -> bytes:
    """All of it."""
    with opened(path) as file:
        return b"".join(iter(lambda: file.read(CHUNK), b""))


class Unpacked:
    """What comes out of a packed file. `ValueError` for more than any text gives: a few bytes can be made to fill a disk."""

    def __init__(self, inner: Any, path: Path) -> None:
        self.inner, self.path, self.size = inner, path, 0
        self.most = max(SMALL, path.stat().st_size * MOST_TIMES)

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        return self._counted(self.inner.read(size))

    def readline(self, size: int) -> bytes:
        """The rest of a line, at most so many bytes of it; nothing at the end."""
        return self._counted(self.inner.readline(size))

    def _counted(self, part: bytes) -> bytes:
        self.size += len(part)
        if self.size > self.most:
            raise ValueError(
                f"{self.path}: unpacks to more than {MOST_TIMES} times its size, which no text does; unpack it yourself if "
                "you trust it"
            )
        return part


class Frames(io.RawIOBase):
    """What all frames of a Zstandard file hold, a piece at a time. `EOFError` for a file that ends within a frame."""

    def __init__(self, packed: IO[bytes], path: Path) -> None:
        self.packed, self.make = packed, _frames(path)
        self.frame, self.rest, self.ready = self.make(), b"", b""
        self.begun = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As many bytes as there are and fit; 0 at the end."""
        while not self.ready:
            piece = self.rest or self.packed.read(PIECE)
            if not piece:
                if self.begun:
                    raise EOFError("it ends in the middle, as a file that was not written whole")
                return 0
            self.ready, self.rest, self.begun = self.frame.decompress(piece), b"", True
            if self.frame.eof:
                self.rest, self.frame, self.begun = self.frame.unused_data, self.make(), False
        size = min(len(buffer), len(self.ready))
        buffer[:size], self.ready = self.ready[:size], self.ready[size:]
        return size


def _frames(path: Path) -> Callable[[], Any]:
    """Makes the reader of one frame: Python's own from 3.14 on, or the package's."""
    try:
        own: Callable[[], Any] = importlib.import_module("compression.zstd").ZstdDecompressor
    except ImportError:
        pass
    else:
        return own
    try:
        package = importlib.import_module("zstandard")
    except ImportError:
        what = f"{path}: Zstandard needs the package zstandard (or Python 3.14); unpack the file, or"
        raise missing(what, "zstd") from None
    return lambda: package.ZstdDecompressor().decompressobj()
