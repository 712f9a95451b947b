"""Files as they lie on a disk: plain, or packed by gzip (`.gz`) or Zstandard (`.zst`); read as the bytes inside."""

from __future__ import annotations

import gzip
import importlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

PACKED = (".gz", ".zst")
SMALL, MOST_TIMES = (
    256 << 20,
    200,
)  # bytes that any file may unpack to, and how many times its own size a larger one may
CHUNK = 1 << 20


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
                with _zstandard(path).open(raw, "rb") as inner:
                    yield cast("IO[bytes]", Unpacked(inner, path))
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


def _zstandard(path: Path) -> Any:
    for module in ("compression.zstd", "zstandard"):  # Python's own from 3.14 on
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    raise ValueError(
        f"{path}: Zstandard needs the package zstandard, which is not installed; unpack the file, or install it"
    )
