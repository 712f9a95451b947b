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
                    yield cast("IO[bytes]", inner)
            elif kind == ".zst":
                yield io.BytesIO(_unpacked(raw.read(), path))
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
        return file.read()


def _unpacked(packed: bytes, path: Path) -> bytes:
    """What all frames of a Zstandard file hold. `EOFError` for one that ends within a frame."""
    frame = _frames(path)
    whole = []
    while packed:
        reader = frame()
        whole.append(reader.decompress(packed))
        if not reader.eof:
            raise EOFError("it ends in the middle, as a file that was not written whole")
        packed = reader.unused_data
    return b"".join(whole)


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
