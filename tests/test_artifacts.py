"""A stage's directory: whole or not there, hashed, taken over, and told apart from a damaged one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trueward import artifacts
from trueward.artifacts import Artifact


def finished(folder: Path) -> Artifact:
    (folder / "model").mkdir(parents=True)
    (folder / "model/weights").write_bytes(b"abc")
    (folder / "log.jsonl").write_text("{}\n")
    (folder / "checkpoints/step-1").mkdir(parents=True)
    (folder / "checkpoints/step-1/state.json").write_text("{}")
    return artifacts.finish(folder, stage="sft", digest="d", parents=("p",), summary={"n": 1}, seconds=1.23456)


def test_a_manifest_says_what_is_there(tmp_path: Path) -> None:
    made = finished(tmp_path / "sft")
    table = json.loads((tmp_path / "sft/manifest.json").read_text())
    assert table["files"] == {
        "log.jsonl": hashlib.sha256(b"{}\n").hexdigest(),
        "model/weights": hashlib.sha256(b"abc").hexdigest(),
    }
    assert (table["format"], table["stage"], table["digest"], table["parents"]) == (2, "sft", "d", ["p"])
    found = artifacts.load(tmp_path / "sft")
    assert found is not None
    assert (found.path, found.stage, found.digest, found.parents) == (made.path, "sft", "d", ("p",))
    assert (found.summary, found.seconds) == ({"n": 1}, 1.235)
    assert found.model == tmp_path / "sft/model"


def test_no_manifest_no_artifact(tmp_path: Path) -> None:
    assert artifacts.load(tmp_path) is None
    assert artifacts.load(tmp_path / "nothing") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 3}', '{"format": 2, "files": 3}'])
def test_a_damaged_manifest(tmp_path: Path, text: str) -> None:
    finished(tmp_path / "sft")
    (tmp_path / "sft/manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.json: ") as caught:
        artifacts.load(tmp_path / "sft")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    finished(tmp_path / "sft")
    (tmp_path / "sft/model/weights").unlink()
    with pytest.raises(ValueError, match=r"sft: model/weights is missing, though the manifest lists it; remove"):
        artifacts.load(tmp_path / "sft")


@pytest.mark.parametrize("links", [True, False])
def test_adopt(tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = finished(tmp_path / "one/sft")
    (tmp_path / "two/sft").mkdir(parents=True)
    (tmp_path / "two/sft/older").write_text("what was begun here")
    if not links:

        def refuse(source: Path, target: Path) -> None:
            raise OSError("no links on this file system")

        link = artifacts.link
        monkeypatch.setattr(artifacts, "link", lambda source, target: link(source, target, refuse))
    found = artifacts.adopt(made.path, tmp_path / "two/sft")
    assert (found.digest, found.seconds, found.summary) == ("d", 1.235, {"n": 1})
    there = sorted(str(p.relative_to(found.path)) for p in found.path.rglob("*") if p.is_file())
    assert there == ["log.jsonl", "manifest.json", "model/weights"]
    assert (found.path / "model/weights").samefile(made.path / "model/weights") == links


def test_replacing_leaves_the_old_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "deep/a.json"
    artifacts.write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        artifacts.write_text(path, "half of the n" * 10_000 + "\ud800")
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["a.json"]
    artifacts.write_text(path, "new")
    assert path.read_text() == "new"


def test_json(tmp_path: Path) -> None:
    artifacts.write_json(tmp_path / "a.json", {"β": [1, None]})
    assert artifacts.read_json(tmp_path / "a.json") == {"β": [1, None]}
    assert "β" in (tmp_path / "a.json").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="not JSON compliant"):
        artifacts.write_json(tmp_path / "b.json", float("nan"))
    assert not (tmp_path / "b.json").exists()
    with pytest.raises(ValueError, match=r"c\.json: no such file"):
        artifacts.read_json(tmp_path / "c.json")
    (tmp_path / "d.json").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"d\.json: damaged, not JSON"):
        artifacts.read_json(tmp_path / "d.json")


def test_leftovers_of_a_killed_writer_are_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "policy/.best.tmp/deep").mkdir(parents=True)
    (tmp_path / "policy/.best.tmp/deep/weights").write_text("half")
    (tmp_path / "policy/.best.tmp/.config.json.7.tmp").write_text("half")
    (tmp_path / ".pipeline.json.7.tmp").write_text("half")
    kept = [tmp_path / ".lock", tmp_path / "notes.tmp", tmp_path / "policy/metrics.jsonl"]
    for path in kept:
        path.write_text("whole")
    artifacts.remove_leftovers(tmp_path)
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted(kept)
    assert not (tmp_path / "policy/.best.tmp").exists()


def flipped(raw: bytes) -> bytes:
    return bytes([raw[0] ^ 1]) + raw[1:]


@pytest.mark.parametrize("damage", [flipped, lambda raw: raw[:1], lambda raw: b"", lambda raw: b"[]"])
@pytest.mark.parametrize("name", ["model/weights", "log.jsonl"])
def test_a_changed_file_is_one_line(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    finished(tmp_path / "sft")
    file = tmp_path / "sft" / name
    file.write_bytes(damage(file.read_bytes()))
    os.utime(file, ns=(1, 1))
    with pytest.raises(
        ValueError, match=rf"sft: {name} is damaged, it has changed .*; remove the directory to"
    ) as caught:
        artifacts.load(tmp_path / "sft")
    assert "\n" not in str(caught.value)


def test_only_what_has_another_size_or_time_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy is whole, and read once; damage that keeps both is for `hash_all`."""
    finished(tmp_path / "sft")
    hashed: list[str] = []
    sha256 = artifacts.sha256

    def listens(path: Path) -> str:
        hashed.append(path.name)
        return sha256(path)

    monkeypatch.setattr(artifacts, "sha256", listens)
    assert artifacts.load(tmp_path / "sft")
    assert hashed == []
    os.utime(tmp_path / "sft/log.jsonl", ns=(1, 1))
    assert artifacts.load(tmp_path / "sft")
    assert hashed == ["log.jsonl"]
    file = tmp_path / "sft/model/weights"
    status = file.stat()
    file.write_bytes(flipped(file.read_bytes()))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert artifacts.load(tmp_path / "sft")
    with pytest.raises(ValueError, match="sft: model/weights is damaged"):
        artifacts.load(tmp_path / "sft", hash_all=True)


def test_a_changed_number_in_a_manifest(tmp_path: Path) -> None:
    finished(tmp_path / "sft")
    manifest = tmp_path / "sft/manifest.json"
    manifest.write_text(manifest.read_text().replace('"n": 1', '"n": 2'))
    with pytest.raises(ValueError, match=r"manifest\.json: damaged, it has changed since it was written"):
        artifacts.load(tmp_path / "sft")


def test_what_an_earlier_version_wrote_is_hashed(tmp_path: Path) -> None:
    """Without sizes, times and a digest of its own a manifest is read all the same."""
    finished(tmp_path / "sft")
    manifest = tmp_path / "sft/manifest.json"
    table = json.loads(manifest.read_text())
    del table["states"], table["sha256"]
    manifest.write_text(json.dumps(table))
    assert artifacts.load(tmp_path / "sft")
    (tmp_path / "sft/log.jsonl").write_text("[]\n")
    with pytest.raises(ValueError, match=r"log\.jsonl is damaged"):
        artifacts.load(tmp_path / "sft")


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"digest": 3}'])
def test_a_damaged_mark_of_what_was_begun(tmp_path: Path, text: str) -> None:
    assert artifacts.begun(tmp_path) is None
    (tmp_path / "unfinished.json").write_text(text)
    with pytest.raises(ValueError, match=r"unfinished\.json: damaged") as caught:
        artifacts.begun(tmp_path)
    assert "\n" not in str(caught.value)
