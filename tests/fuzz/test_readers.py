"""Whatever the bytes, a reader gives values or a `ValueError` of one line. `make fuzz` runs these for longer."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trueward import artifacts, config, console
from trueward.config.reading import settings as settings_of_a_recipe
from trueward.data import comparisons, feedback, loading, sheets, tables
from trueward.records import Completion, Prompt
from trueward.scorers.judge.reading import read
from trueward.scorers.judge.response import parse_completion, retry_after
from trueward.scorers.verifiers import catalogue

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))  # few in the suite, the same each time; many in `make fuzz`
fuzzed = settings(
    max_examples=EXAMPLES or 40,
    deadline=None,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=list(HealthCheck),
)
ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".jsonl.gz", ".csv.gz", ".parquet", ".arrow")
KEYS = ("prompt", "completion", "chosen", "rejected", "messages", "role", "content", "responses", "ranks", "scores", "text",
        "answers", "first", "second", "winner", "probability", "strength", "label", "instruction", "output", "input", "history",
        "from", "value", "conversations", "annotator", "group", "check", "score_chosen", "answer", "tools", "")  # fmt: skip
NUMBERS = st.one_of(st.integers(), st.floats(), st.just(10**400), st.just(-1), st.just(0.5))
WORDS = [*KEYS, "assistant", "user", "A", "tie", "\n\nHuman: a\n\nAssistant: b", "[]", "[{", "=1"]
TEXTS = st.one_of(st.text(max_size=30), st.sampled_from(WORDS))
THREE = st.lists(TEXTS, min_size=3, max_size=3)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=12,
)
ROWS = st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6), min_size=1, max_size=5)


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """A `ValueError` has to be one line."""
    line = "one"
    try:
        yield
    except ValueError as error:
        line = str(error)
    assert line.strip()
    assert "\n" not in line


def read_all(path: Path) -> None:
    for reader in (comparisons.read, feedback.read):
        with one_line():
            reader(str(path))
    for load in (loading.demonstrations, loading.prompts):
        with one_line():
            load(str(path))


@fuzzed
@given(st.binary(max_size=300), st.sampled_from(ENDINGS))
def test_bytes_as_files(raw: bytes, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{ending}"
        path.write_bytes(raw)
        read_all(path)


@fuzzed
@given(ROWS)
def test_rows_of_odd_values(rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        read_all(path)


@fuzzed
@given(st.lists(THREE, min_size=1, max_size=4), st.lists(st.sampled_from(KEYS), min_size=3, max_size=3))
def test_cells_of_odd_texts(cells: list[list[str]], names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_text(
            "\n".join(",".join(row) for row in [names, *cells]), encoding="utf-8", errors="replace", newline=""
        )
        read_all(path)


RECIPE: dict[str, Any] = tomllib.loads(config.read("tiny").toml())
FIELDS = [key.split(".") for key in settings_of_a_recipe()]


@fuzzed
@given(st.lists(st.tuples(st.sampled_from(FIELDS), VALUES), min_size=1, max_size=3))
def test_settings_of_odd_values(changes: list[tuple[list[str], Any]]) -> None:
    table = copy.deepcopy(RECIPE)
    for (*sections, last), value in changes:
        section = table
        for name in sections:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                return
        section[last] = value
    with one_line():
        recipe = config.resolve(table, "mine.toml")
        assert config.resolve(tomllib.loads(recipe.toml()), "mine.toml") == recipe


@fuzzed
@given(st.sampled_from(FIELDS), TEXTS)
def test_settings_from_the_command_line(field: list[str], text: str) -> None:
    with one_line():
        config.read("tiny", [f"{'.'.join(field)}={text}"])


@fuzzed
@given(VALUES, st.binary(max_size=200))
def test_a_services_answers(value: Any, raw: bytes) -> None:
    for content in (raw, json.dumps({"choices": [value]}).encode(), json.dumps({"choices": [{"message": {"content": "A"},
                    "logprobs": value}], "usage": value}).encode()):  # fmt: skip
        fields, _ = parse_completion(content)
        if fields is not None:
            reply = read(fields, ("A", "B"), reasons=False)
            assert reply.logps is None or all(math.isfinite(p) for p in reply.logps)


@fuzzed
@given(st.text(max_size=40))
def test_when_to_try_again(header: str) -> None:
    wait = retry_after(header)
    assert wait is None or 0 <= wait <= 60


MANIFEST = {"format": artifacts.FORMAT, "stage": "sft", "digest": "0", "parents": [], "summary": {}, "seconds": 0}


@fuzzed
@given(VALUES)
def test_manifests(value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for table in (value, {**MANIFEST, "files": {"prompt": value}, "states": value}):
            (Path(folder) / artifacts.MANIFEST).write_text(json.dumps(table), encoding="utf-8")
            with one_line():
                artifacts.load(Path(folder))


PROGRAMS = [(name, kind) for name, kind in catalogue.VERIFIERS.items() if name not in ("code", "gym")]


@fuzzed
@given(st.sampled_from(PROGRAMS), TEXTS, st.one_of(TEXTS, st.text("0123456789.,+-eE/\\{}()^$ ∞√", max_size=40)))
def test_verifiers_on_odd_answers(program: tuple[str, Any], key: str, response: str) -> None:
    name, kind = program
    with one_line():
        verifier = catalogue.make(name, dict(kind.example_options), "options")
        verifier.check(key)
        score = verifier.score(Completion(prompt=Prompt(text="What?", answer=key), response=response)).score
        assert 0 <= score <= 1


@fuzzed
@given(st.text(), st.text())
def test_what_is_printed_and_what_a_sheet_runs(text: str, more: str) -> None:
    assert not any(ord(c) < 32 and c not in "\n\t" for c in console.printed(text))
    assert console.visible(console.visible(text)) == console.visible(text)
    for cell in (text, "=" + text, "'" + text, text + more):
        assert sheets.unquoted(sheets.quoted(cell)) == cell
        assert not sheets.runs(sheets.quoted(cell))


def test_every_container_is_read() -> None:
    assert {ending for endings in tables.CONTAINERS.values() for ending in endings} >= {
        ".jsonl",
        ".csv",
        ".parquet",
        ".arrow",
    }
    assert tomli_w.dumps(RECIPE)
