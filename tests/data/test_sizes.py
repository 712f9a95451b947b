"""Files made to fill memory: a line of hundreds of megabytes, archives that expand, lists in lists. Seconds, and one line."""

from __future__ import annotations

import collections
import gzip
import importlib.util
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trueward import config
from trueward.data import compressed, jsonl, tables

HUGE = 200_000_000


def line(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b'{"prompt": "')
        for _ in range(HUGE // 1_000_000):
            file.write(b"a" * 1_000_000)
        file.write(b'"}\n')


def bomb(path: Path) -> None:
    with gzip.open(path, "wb", 9) as file:
        for _ in range(HUGE // 1_000_000):
            file.write(b" " * 1_000_000)


def rows(path: Path) -> None:
    part = gzip.compress(b'{"prompt": "a"}\n' * 500_000, 9)
    path.write_bytes(part)


@pytest.mark.parametrize(
    ("make", "name"),
    [(line, "a.jsonl"), (bomb, "a.jsonl.gz"), (rows, "a.jsonl.gz"), (bomb, "a.csv.gz"), (rows, "a.json.gz")],
)
def test_a_file_made_to_fill_memory_is_refused_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], name: str
) -> None:
    monkeypatch.setattr(compressed, "SMALL", 1 << 20)
    path = tmp_path / name
    make(path)
    started = time.process_time()
    with pytest.raises(ValueError, match=r"at most 8 MiB|unpacks to more than 200 times") as refused:
        collections.deque(tables.rows(path), maxlen=1)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert time.process_time() - started < 20


def test_a_text_that_packs_well_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(b'{"prompt": "%d"}\n' % n for n in range(100_000)), 9))
    assert sum(1 for _ in jsonl.read(path)) == 100_000


@pytest.mark.skipif(importlib.util.find_spec("zstandard") is None, reason="without zstandard")
def test_a_zstandard_file_that_expands_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zstandard

    monkeypatch.setattr(compressed, "SMALL", 5 << 20)
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(zstandard.compress(b'{"prompt": "a"}\n' * 1_000_000))
    with pytest.raises(ValueError, match="unpacks to more than"):
        list(jsonl.read(path))


def test_a_long_row_of_an_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"prompt": "a"}, {"prompt": "a" * (9 << 20)}]))
    with pytest.raises(ValueError, match="row 2: expected at most 8 MiB"):
        list(jsonl.read(path))


def test_a_line_below_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": "a" * (7 << 20)}) + "\n\n{}")
    assert [number for number, _ in jsonl.read(path)] == [1, 3]


@pytest.mark.parametrize(
    "change", ["seed=true", "policy.steps=true", "policy.kl_coef=true", "policy.target_kl=false", f"policy.steps={10**23}",
               f"policy.steps={10**400}", f"seed={'9' * 5000}", f"policy.steps=-{10**23}", "policy.steps=" + "[" * 5000,
               "runtime.micro_batch_tokens=true", f"data.max_prompt_tokens={2**31}"]
)  # fmt: skip
def test_numbers_that_are_none_or_beyond_all_use_are_refused(change: str) -> None:
    with pytest.raises(ValueError, match=change.partition("=")[0]) as refused:
        config.read("tiny", [change])
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 6000


@pytest.mark.parametrize("content", ["a = " + "9" * 5000, "a = " + "[" * 5000, "[policy]\nsteps = true", "seed = true"])
def test_recipes_too(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"mine\.toml: "):
        config.read(str(path))


def test_a_closed_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"x" * 100))
    assert compressed.read(path) == b"x" * 100
    with compressed.opened(path) as file:
        assert io.BytesIO(file.readline(1000)).getvalue() == b"x" * 100
