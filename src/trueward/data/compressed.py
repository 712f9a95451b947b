"""Files as they lie on a disk: plain, or packed by gzip (`.gz`) or Zstandard (`.zst`); read as the bytes inside."""

from __future__ import annotations

import gzip
import importlib
import zlib
from collections.abc import Iterator
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
                with _zstandard(path).open(raw, "rb") as inner:
                    yield inner
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


def _zstandard(path: Path) -> Any:
    for module in ("compression.zstd", "zstandard"):  # Python's own from 3.14 on
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    raise missing(f"{path}: Zstandard needs the package zstandard (or Python 3.14); unpack the file, or", "zstd")
