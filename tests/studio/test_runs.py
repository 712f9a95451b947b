"""Runs as they lie on disk: logs that grow and are cut back, buckets, states, and the stream."""

from __future__ import annotations

import fcntl
import json
import math
import os
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from trueward.studio.api import watch
from trueward.studio.runs import log, state
from trueward.studio.runs.library import Library

Client = Callable[..., TestClient]


def rows(first: int, last: int, **more: Any) -> str:
    return "".join(json.dumps({"step": i, "loss": i / 7, **more}) + "\n" for i in range(first, last + 1))


def append(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def make_run(
    home: Path, name: str = "r", stages: Any = (("sft", "done"), ("policy", "running")), **policy: Any
) -> Path:
    run = home / name
    run.mkdir(parents=True)
    settings = "".join(f"{key} = {json.dumps(value)}\n" for key, value in policy.items())
    (run / "recipe.toml").write_text(f'name = "r"\nseed = 3\n[policy]\nkind = "ppo"\nsteps = 9\n{settings}')
    table = [{"name": name, "digest": "d", "parents": [], "state": s, "seconds": 1.0} for name, s in stages]
    (run / "pipeline.json").write_text(json.dumps(table))
    (run / ".lock").touch()
    return run


def test_a_half_written_row_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert log.new_rows(path, 0) == ([], 0)
    append(path, rows(1, 2) + '{"step": 3, "lo')
    found = log.new_rows(path, 0)
    assert found is not None
    assert [row["step"] for row in found[0]] == [1, 2]
    append(path, 'ss": 1.0}\n')
    again = log.new_rows(path, found[1])
    assert again == ([{"step": 3, "loss": 1.0}], path.stat().st_size)
    assert log.new_rows(path, path.stat().st_size) == ([], path.stat().st_size)


def test_a_log_that_was_cut_back_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append(path, rows(1, 9))
    columns = log.Columns(path)
    columns.update()
    assert list(columns.steps) == list(range(1, 10))
    os.truncate(path, len(rows(1, 4)))
    assert log.new_rows(path, columns.offset) is None
    columns.update()
    assert list(columns.steps) == [1, 2, 3, 4]
    append(path, rows(5, 20, entropy=2.0))  # grown beyond the old length, before anybody looked
    columns.update()
    assert list(columns.steps) == list(range(1, 21))
    assert [math.isnan(v) for v in columns.columns["entropy"]] == [True] * 4 + [False] * 16


def test_a_log_that_was_cut_in_the_middle_of_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append(path, rows(1, 9))
    columns = log.Columns(path)
    columns.update()
    path.write_text(rows(1, 3, note="x" * 40) + rows(4, 9, entropy=1.0))  # longer than before, other rows
    columns.update()
    assert list(columns.steps) == list(range(1, 10))


def test_buckets_keep_the_extremes_and_the_gaps() -> None:
    n = 100_000
    steps = array("d", range(n))
    wave = array("d", [math.sin(i / 50) for i in range(n)])
    spike = array("d", wave)
    spike[77_777] = 40.0
    holes = array("d", [math.nan if 20_000 <= i < 60_000 else 1.0 for i in range(n)])
    found = log.buckets(steps, {"spike": spike, "holes": holes}, 1500)
    assert len(found["steps"]) <= 1500
    assert found["bucket"] == 256
    assert max(v for v in found["columns"]["spike"]) == 40.0
    assert min(v for v in found["columns"]["spike"]) == min(wave)
    assert found["columns"]["holes"].count(None) == pytest.approx(2 * 40_000 / 256, abs=4)
    assert found["gaps"] == {"holes": 40_000}
    assert found == log.buckets(steps, {"spike": spike, "holes": holes}, 1500)
    # as rows come, the points that are there stay as they are
    more = log.buckets(steps[:97_000], {"spike": spike[:97_000]}, 1500)
    whole = 97_000 // 256 * 2
    assert more["columns"]["spike"][:whole] == found["columns"]["spike"][:whole]
    assert more["steps"][: whole - 1] == found["steps"][: whole - 1]


def test_few_points_are_all_there() -> None:
    found = log.buckets(array("d", [1, 2, 3]), {"a": array("d", [1.0, math.nan, 3.0])}, 10)
    assert found["steps"] == [1, 2, 3]
    assert found["columns"]["a"] == [1.0, None, 3.0]
    assert found["gaps"] == {"a": 1}


@pytest.mark.skipif(state.held() is None, reason="this system does not tell who holds a lock (no /proc/locks)")
def test_the_badge(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    stages = json.loads((run / "pipeline.json").read_text())
    assert state.state(run, stages, state.held()) == "crashed"
    with (run / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert state.state(run, stages, state.held()) == "live"
        assert state.state(run, stages, state.held(), now=time.time() + 500) == "stale"
    assert state.state(run, stages, state.held()) == "crashed"
    assert state.state(run, [{"name": "sft", "state": "stopped"}], state.held()) == "stopped"
    assert state.state(run, [{"name": "report", "state": "done"}], state.held()) == "finished"


def test_the_badge_where_nobody_tells_who_holds_a_lock(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    stages = json.loads((run / "pipeline.json").read_text())
    assert state.state(run, stages, None) == "live"
    assert state.state(run, stages, None, now=time.time() + 500) == "stale"


def test_looking_never_takes_the_lock(tmp_path: Path) -> None:
    make_run(tmp_path)
    Library(tmp_path).table()
    with (tmp_path / "r" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if somebody holds it


def test_runs_are_found_without_configuration(tmp_path: Path) -> None:
    make_run(tmp_path, "one", kl_coef=0.1)
    make_run(tmp_path / "sweep", "two, three", kl_coef=0.3)
    (tmp_path / "notes").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "recipe.toml").write_text("not toml [")
    (tmp_path / "broken" / "pipeline.json").write_text("{")
    append(tmp_path / "one" / "policy" / "evaluations.jsonl", '{"step": 5, "truth": 0.5, "verdict": "learning"}\n')
    table = {row["name"]: row for row in Library(tmp_path).table()}
    assert set(table) == {"one", "sweep/two, three", "broken"}
    assert table["one"]["differs"] == {"policy.kl_coef": 0.1}
    assert (table["one"]["truth"], table["one"]["verdict"], table["one"]["steps"]) == (0.5, "learning", 9)
    assert Library(tmp_path / "nowhere").table() == []


def test_a_stream_tells_what_is_new_and_resumes(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    metrics = run / "policy" / "metrics.jsonl"
    append(metrics, rows(1, 3))
    following = watch.Following(run, {})
    first = following.poll()
    assert [(e.event, len(e.data.get("rows", []))) for e in first] == [("rows", 3), ("state", 0)]
    assert following.poll() == []
    append(metrics, rows(4, 5))
    append(run / "policy" / "evaluations.jsonl", '{"step": 5}\n')
    second = following.poll()
    assert {e.data["log"]: [r["step"] for r in e.data["rows"]] for e in second} == {
        "policy/metrics": [4, 5],
        "policy/evaluations": [5],
    }
    # a page that lost its line after the first event goes on from there
    resumed = watch.Following(run, watch._cursor(str(first[0].id))).poll()
    assert {e.data["log"]: [r["step"] for r in e.data["rows"]] for e in resumed if e.event == "rows"} == {
        "policy/metrics": [4, 5],
        "policy/evaluations": [5],
    }
    os.truncate(metrics, len(rows(1, 2)))
    append(metrics, rows(3, 3, again=1))
    third = following.poll()
    assert [(e.event, [r["step"] for r in e.data.get("rows", [])]) for e in third] == [
        ("again", []),
        ("rows", [1, 2, 3]),
    ]


def test_a_large_batch_is_told_in_parts_of_which_none_is_lost(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    append(run / "policy" / "metrics.jsonl", rows(1, 1234))
    told = [e for e in watch.Following(run, {}).poll() if e.event == "rows"]
    assert [len(e.data["rows"]) for e in told] == [500, 500, 234]
    assert watch._cursor(str(told[0].id)) == {}
    assert watch._cursor(str(told[-1].id)) == {"policy/metrics": (run / "policy" / "metrics.jsonl").stat().st_size}


@pytest.mark.parametrize("text", ["", "x", "[]", '{"policy/metrics": -1}', '{"../x": 1}', '{"policy/metrics": 1e99}'])
def test_a_strange_cursor_is_the_start(text: str) -> None:
    assert watch._cursor(text) == {}


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_runs_over_http(client: Client, tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "deep/er")
    append(run / "policy" / "metrics.jsonl", rows(1, 40))
    sample = {"step": 5, "prompt": "p", "response": "new", "reference": "old", "proxy": 1.0, "truth": -1.0}
    append(run / "policy" / "samples.jsonl", json.dumps({**sample, "step": 0}) + "\n" + json.dumps(sample) + "\n")
    admin = client("boss", "admin")
    assert admin.get("/api/runs").json()[0]["name"] == "deep/er"
    assert admin.get("/api/runs/deep/er").json()["logs"] == ["policy"]
    found = admin.get("/api/runs/deep/er/series/policy?most=20").json()
    assert (found["rows"], len(found["steps"])) == (40, 20)
    assert admin.get("/api/runs/deep/er/series/secrets").status_code == 404
    assert admin.get("/api/runs/deep/er/samples").json()["steps"] == [0, 5]
    assert admin.get("/api/runs/deep/er/samples?step=0").json()["samples"][0]["step"] == 0
    admin.post("/api/projects", json={"name": "p"})
    body = {"project": "p", "step": 5, "index": 0}
    assert admin.post("/api/runs/deep/er/pairs", json=body).json() == {"added": 1}
    assert admin.post("/api/runs/deep/er/pairs", json=body).json() == {"added": 0}
    assert admin.post("/api/runs/deep/er/pairs", json={**body, "index": 1}).status_code == 404
    item = admin.post("/api/projects/p/queue", json={"count": 1}).json()["items"][0]
    assert {item["left"]["text"], item["right"]["text"]} == {"old", "new"}
    assert "policy@" not in json.dumps(item)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_runs_and_sweeps_of_the_first_version_are_skipped(client: Client, tmp_path: Path) -> None:
    """They have ladder.json, and format 1, and names of figures that this version doesn't know."""
    for name in ("older", "sweep-older/older"):
        older = make_run(tmp_path / "runs", name)
        (older / "pipeline.json").rename(older / "ladder.json")
        append(older / "policy" / "evaluations.jsonl", json.dumps({"step": 1, "truth": 0.5, "early_signs": []}) + "\n")
    sweep = {"format": 1, "recipe": "r", "over": "policy.kl_coef", "points": [{"at": 1}], "runs": [{"run": "older"}]}
    (tmp_path / "runs" / "sweep-older" / "sweep.json").write_text(json.dumps(sweep))
    make_run(tmp_path / "runs", "newer")
    admin = client("boss", "admin")
    assert [run["name"] for run in admin.get("/api/runs").json()] == ["newer"]
    assert admin.get("/api/sweeps").json() == []
    for path in ("runs/older", "runs/older/series/policy", "runs/older/samples", "sweeps/sweep-older"):
        assert admin.get(f"/api/{path}").status_code == 404
    assert admin.get("/api/frontier?run=older&run=newer").status_code == 404


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_hundred_thousand_rows_are_read_once(client: Client, tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "long")
    append(run / "policy" / "metrics.jsonl", rows(1, 100_000))
    admin = client("boss", "admin")
    first = admin.get("/api/runs/long/series/policy").json()
    assert first["rows"] == 100_000
    assert len(first["steps"]) <= 1500
    started = time.monotonic()
    append(run / "policy" / "metrics.jsonl", rows(100_001, 100_010))
    assert admin.get("/api/runs/long/series/policy").json()["rows"] == 100_010
    assert time.monotonic() - started < 2  # what was read is kept


def test_many_rows_at_once_are_read_as_one_by_one(tmp_path: Path) -> None:
    """Whatever the rows are: columns that come and go, texts among numbers, steps that are told again."""
    odd = [
        [{"step": i, "a": float(i), "b": None if i % 3 else 2} for i in range(5)],
        [{"step": i, "a": float(i), "c": 1.0} for i in range(5, 9)],
        [{"step": 9, "a": "x", "c": True}, {"step": 10, "a": 1e999, "c": [1]}],
        [{"step": 7, "a": 0.5, "c": 0.25}, {"step": 8, "a": 0.5, "c": 0.25}],
        [{"a": 1.0}, {"step": None}, {"step": 11, "a": 3, "b": 4, "c": 5}],
    ]
    at_once, singly = log.Columns(tmp_path / "m.jsonl"), log.Columns(tmp_path / "m.jsonl")
    for batch in odd:
        append(tmp_path / "m.jsonl", "".join(json.dumps(row) + "\n" for row in batch))
        at_once.update()
        for row in batch:
            singly._add(row)
    assert at_once.steps == singly.steps == array("d", [*range(7), 7, 8, 11])
    assert at_once.columns.keys() == singly.columns.keys() == {"a", "b", "c"}
    for key in "abc":
        assert repr(at_once.columns[key]) == repr(singly.columns[key])


def test_a_run_younger_than_the_list_is_found(tmp_path: Path) -> None:
    """A page is opened at once after its run has begun: the list of a moment ago doesn't have it."""
    library = Library(tmp_path)
    assert library.table() == []
    (tmp_path / "sweep" / "fresh").mkdir(parents=True)
    (tmp_path / "sweep" / "fresh" / "recipe.toml").write_text("seed = 1\n")
    assert library.run("sweep/fresh")["name"] == "sweep/fresh"
    with pytest.raises(LookupError, match="there is no run 'other'"):
        library.path("other")
