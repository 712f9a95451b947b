"""Run directories that hold anything at all: each costs one row, which says so, and every page about runs answers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from trueward.studio.runs import files, log, run_row
from trueward.studio.runs.library import Library

Client = Callable[..., TestClient]
ROW = '{"step": 1, "truth": 0.5, "proxy": 1.0, "kl": 2.0}\n'


def make(home: Path, name: str) -> Path:
    run = home / name
    (run / "policy").mkdir(parents=True)
    (run / "recipe.toml").write_text('name = "r"\nseed = 3\n[policy]\nkind = "ppo"\nsteps = 9\n')
    (run / "pipeline.json").write_text('[{"name": "sft", "digest": "d", "state": "done", "seconds": 1.0}]')
    (run / "report.json").write_text('{"verdict": {"word": "better"}, "policies": {"policy": {"truth": 1.5}}}')
    for log_name in ("metrics", "evaluations", "samples"):
        (run / f"policy/{log_name}.jsonl").write_text(ROW)
    return run


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nothing")


def ring(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def huge(path: Path) -> None:
    """A sparse file: 300 MB that take no room."""
    with path.open("ab") as file:
        file.truncate(300 * files.MB)


def holds(raw: bytes | str) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(raw.encode() if isinstance(raw, str) else raw), None)[1]


DEEP = 100_000
SHAPES: dict[str, Callable[[Path], None]] = {
    "a pipe": fifo,
    "an endless device": device,
    "a directory": folder,
    "a link to nothing": dangling,
    "a link to itself": ring,
    "huge": huge,
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": holds(""),
    "not UTF-8": holds(b'{"a": "\xff\xfe"}\n[a]\nb = "\xff"\n'),
    "zeros": holds(b"\0" * 4096),
    "deep": holds("[" * DEEP + "]" * DEEP + "\n"),
    "deep and parsed": holds('{"a": ' + "[" * 500 + "]" * 500 + "}\n"),
    "another kind": holds('"a text"\n'),
}
NAMES = ("recipe.toml", "pipeline.json", "report.json")
LOGS = ("policy/evaluations.jsonl", "policy/metrics.jsonl", "policy/samples.jsonl")
ODD = {
    "pipeline.json": [
        [1, None, "x"], [{"name": ["a"]}], [{"name": "sft", "state": {"a": 1}, "seconds": "x"}], {"name": "sft"}, [[]],
    ],
    "report.json": [
        [], 3, {"verdict": "x"}, {"verdict": {"word": ["x"]}}, {"policies": 3}, {"policies": {"policy": [1]}},
        {"policies": {"policy": {"truth": "x", "kl": {"a": 1}, "proxy": True}}}, {"reward_model": "\ud800"},
        {"verdict": {"word": "a\udfff"}, "early_warnings": [float("nan"), float("inf"), 10**400]},
    ],
}  # fmt: skip
TOML = [
    "name = [1, 2]", "name = {a = 1}", 'policy = "x"', "policy = [1]", "seed = nan", "seed = inf", "seed = 1979-05-27",
    "[policy]\nsteps = 1979-05-27T07:32:00Z", f"seed = {10**30}", "[policy]\nkind = 07:32:00",
]  # fmt: skip


@pytest.fixture
def url() -> str:
    """Which database doesn't matter here."""
    return ""


@pytest.fixture
def pages(client: Client, tmp_path: Path) -> Callable[[], dict[str, dict[str, Any]]]:
    """Every page about runs, asked; the rows of the table by name."""
    home = tmp_path / "runs"
    make(home, "whole")

    def ask() -> dict[str, dict[str, Any]]:
        answer = person.get("/api/runs")
        assert answer.status_code == 200
        rows = {row["name"]: row for row in answer.json()}
        assert rows["whole"]["damage"] == ""
        assert (rows["whole"]["verdict"], rows["whole"]["truth"], rows["whole"]["step"]) == ("better", 1.5, 1)
        for name in rows:
            for page in ("", "/series/policy", "/samples"):
                assert person.get(f"/api/runs/{name}{page}").status_code == 200, page
        assert person.get("/api/sweeps").status_code == 200
        assert person.get("/api/frontier", params={"run": list(rows)[:2] * 2}).status_code == 200
        return rows

    person = client("boss", "admin")
    return ask


@pytest.mark.parametrize("shape", SHAPES)
def test_a_damaged_file_costs_one_row(pages: Any, tmp_path: Path, shape: str) -> None:
    home = tmp_path / "runs"
    for name in NAMES:
        SHAPES[shape](make(home, name.partition(".")[0]) / name)
    for name in LOGS:
        SHAPES[shape](make(home, name.rpartition("/")[2].partition(".")[0]) / name)
    rows = pages()
    assert len(rows) == 7
    for name in NAMES:
        if (shape, name) not in {("empty", "recipe.toml")}:  # an empty recipe is one
            assert rows[name.partition(".")[0]]["damage"].startswith(f"{name}: ")
            assert "\n" not in rows[name.partition(".")[0]]["damage"]
    assert rows["report"]["step"] == 1
    assert rows["evaluations"]["truth"] == 1.5
    if shape in ("a pipe", "an endless device", "a directory", "huge", "deep and parsed"):
        assert rows["evaluations"]["damage"].startswith("evaluations.jsonl: ")


@pytest.mark.parametrize("name", ODD)
def test_json_of_another_kind(pages: Any, tmp_path: Path, name: str) -> None:
    for n, value in enumerate(ODD[name]):
        (make(tmp_path / "runs", f"r{n}") / name).write_text(json.dumps(value))
    assert len(pages()) == len(ODD[name]) + 1


def test_recipes_of_another_kind(pages: Any, tmp_path: Path) -> None:
    for n, text in enumerate(TOML):
        (make(tmp_path / "runs", f"r{n}") / "recipe.toml").write_text(text)
    assert len(pages()) == len(TOML) + 1


@pytest.mark.parametrize(
    "row", ["[1]", "null", '{"step": [1]}', '{"step": NaN, "truth": Infinity, "kl": 1e999}',
            '{"step": 2, "a\\ud800": "\\ud800"}',
            '{"step": ' + "9" * 400 + "}", '{"step": 1, "loss": ' + "9" * 400 + "}", '{"verdict": {"a": 1}}', "{half", ""]
)  # fmt: skip
def test_a_damaged_row_of_a_log_is_left_out(pages: Any, tmp_path: Path, row: str) -> None:
    run = make(tmp_path / "runs", "r")
    for name in LOGS:
        (run / name).write_text(f"{ROW}{row}\n{ROW.replace('1', '3', 1)}")
    assert pages()["r"]["step"] == 3


def test_a_damaged_row_far_behind_does_not_read_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    monkeypatch.setattr(log, "CHUNK", 4096)
    many = log.CHUNK // len(ROW) + 9
    path.write_text(ROW * many + "{half\n" + '{"step": 2, "truth": 1.0}\n')
    columns = log.Columns(path)
    columns.update()
    assert list(columns.steps) == [1, 2]


def test_names_that_are_not_utf8(pages: Any, tmp_path: Path) -> None:
    whole = make(tmp_path / "runs", "x")
    os.rename(whole, os.fsencode(tmp_path / "runs") + b"/r\xff\xfe")
    rows = pages()
    assert rows["r\\udcff\\udcfe"]["damage"] == "its name is not UTF-8"


@pytest.mark.parametrize(
    "value", [[], {"over": "a", "points": [1], "runs": [2]}, {"over": "a", "points": [], "runs": [], "advice": "x"},
              {"over": "a", "points": [{}], "runs": [{}]}, {"over": "a", "points": [{"value": []}], "runs": [{"run": 1}]}]
)  # fmt: skip
def test_sweeps(client: Client, tmp_path: Path, value: Any) -> None:
    place = tmp_path / "runs/s"
    place.mkdir(parents=True)
    (place / "sweep.json").write_text(json.dumps(value))
    person = client("boss", "admin")
    assert person.get("/api/sweeps").status_code == 200
    for page in ("", "/value.svg", "/distance.svg"):
        assert person.get(f"/api/sweeps/s{page}").status_code in (200, 404)


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    assert log.new_rows(tmp_path / "f", 0) == ([], 0)
    with pytest.raises(files.DamagedError, match="f: not a regular file"):
        files.read_json(tmp_path / "f")
    assert files.read_json(tmp_path / "nothing") is None


def test_a_run_that_is_a_link_or_a_loop_is_none(tmp_path: Path) -> None:
    make(tmp_path / "runs", "whole")
    (tmp_path / "runs/again").symlink_to(tmp_path / "runs")
    deep = tmp_path / "runs" / "/".join(["d"] * 200)
    deep.mkdir(parents=True)
    assert list(Library(tmp_path / "runs").paths()) == ["whole"]


def test_a_run_without_its_recipe_or_its_list_of_stages_is_still_a_row(pages: Any, tmp_path: Path) -> None:
    """What is left of them says which file isn't there, and none of them is taken for a run that was never begun."""
    home = tmp_path / "runs"
    (make(home, "recipe") / "recipe.toml").unlink()
    (make(home, "stages") / "pipeline.json").unlink()
    both = make(home, "both")
    (both / "recipe.toml").unlink()
    (both / "pipeline.json").unlink()
    begun = home / "begun"
    begun.mkdir()
    (begun / "recipe.toml").write_text('name = "r"\n')  # a run's first file: the others come
    damage = {name: row["damage"] for name, row in pages().items() if name != "whole"}
    assert damage == {
        "recipe": "recipe.toml: not there", "stages": "pipeline.json: not there", "both": "pipeline.json: not there",
        "begun": "",
    }  # fmt: skip


def test_what_nobody_thought_of_costs_a_row_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A field of an odd kind that the table's code trips over: that run says so, and all others stay as they are."""
    for name in ("odd", "whole"):
        make(tmp_path, name)
    (tmp_path / "odd/recipe.toml").write_text('name = "odd"\n')
    whole = run_row.truth_name

    def trip(recipe: Any) -> str | None:
        return whole(recipe) if recipe["name"] != "odd" else recipe["policy"]["kind"]

    monkeypatch.setattr(run_row, "truth_name", trip)
    rows = {row["name"]: row for row in Library(tmp_path).table()}
    assert rows["odd"]["damage"] == "a field is missing or of another kind (KeyError)"
    assert (rows["odd"]["truth"], rows["whole"]["truth"], rows["whole"]["damage"]) == (None, 1.5, "")
