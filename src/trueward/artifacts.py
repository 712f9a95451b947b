"""A stage's directory and its manifest: written once, whole or not at all.

Every file is written to a temporary name, flushed to disk and renamed; the manifest comes last, so its presence means
that the stage is complete.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
UNFINISHED = "unfinished.json"  # the digest that a stage's files belong to until its manifest is there
CHECKPOINTS = "checkpoints"
PIPELINE, OLDER = "pipeline.json", "ladder.json"  # a run's list of stages, and what 0.1 called it
KEYS = {"stage": str, "digest": str, "parents": list, "summary": dict, "files": dict}
FORMAT = 2  # of the manifest and of everything that goes into a fingerprint


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; what is written there becomes `path` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing(path, temporary):
            yield temporary
            flush(temporary)
            temporary.replace(path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Errors of a full disk or a read-only one name a path, those of libraries that write files themselves (in Rust) too.

    temporary: a name that nobody knows, in whose place `path` is named.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None
    except Exception as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if not found:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from None


def home() -> Path | None:
    """This account's home directory; None for one that has none, as in a container under a number without a name."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def expanded(path: str | Path) -> Path:
    """The path with `~` replaced. `ValueError` if there is no such home directory."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{path}: there is no such home directory") from None


def sync_directory(path: Path) -> None:
    """Make a rename in this directory last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all. `ValueError` for NaN and infinity."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file; `ValueError` in one line if it's missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: damaged, not JSON ({error})") from None


def remove_leftovers(directory: Path) -> None:
    """Take away the temporary files and directories of a writer that was killed."""
    for leftover in list(directory.rglob(".*.tmp")):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Make a file's content last through a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_run(path: Path) -> bool:
    """Whether a directory is a run's. `ValueError` in one line for a run of trueward 0.1, whose files have other names."""
    if (path / PIPELINE).is_file():
        return True
    if (path / OLDER).is_file():
        raise ValueError(
            f"{path}: a run of trueward 0.1, which this version does not read; make it again (`trueward run` with a new "
            "--out) or read it with trueward 0.1"
        )
    return False


def no_such_run(name: str) -> str:
    """The message that there is no run of this name, with near names under runs/."""
    runs = Path("runs")
    there = sorted(path.name for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []
    near = [*difflib.get_close_matches(name, there, n=3), *(run for run in there if run.startswith(name))]
    text = "there is no such run (neither a run's directory nor a name under runs/)"
    return text + (f"; near are {', '.join(list(dict.fromkeys(near))[:3])}" if near else "")


@dataclass(frozen=True)
class Artifact:
    """A finished stage: its directory, its digest, its parents' digests, the summary it wrote, and the seconds it took."""

    path: Path
    stage: str
    digest: str
    parents: tuple[str, ...]
    summary: dict[str, Any]
    seconds: float

    @property
    def model(self) -> Path:
        """The directory of the stage's model, if it has one."""
        return self.path / "model"


def finish(
    path: Path, *, stage: str, digest: str, parents: tuple[str, ...], summary: dict[str, Any], seconds: float
) -> Artifact:
    """Close a stage's directory: flush and hash every file, write the manifest, drop what only a resume needs."""
    files: dict[str, str] = {}
    states: dict[str, list[int]] = {}
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name not in (MANIFEST, UNFINISHED) and not in_checkpoints(file, path):
            flush(file)
            name = str(file.relative_to(path))
            states[name] = _state(file)
            files[name] = sha256(file)
    table = {
        "format": FORMAT,
        "stage": stage,
        "digest": digest,
        "parents": list(parents),
        "seconds": round(seconds, 3),
        "summary": summary,
        "files": files,
        "states": states,
    }
    table["sha256"] = _own_digest(table)
    write_json(path / MANIFEST, table)
    (path / UNFINISHED).unlink(missing_ok=True)
    shutil.rmtree(path / CHECKPOINTS, ignore_errors=True)
    return Artifact(path, stage, digest, parents, summary, seconds)


def load(path: Path, *, hash_all: bool = False) -> Artifact | None:
    """The finished artifact in a directory, or None. `ValueError` in one line if the manifest or a file isn't as it was.

    A file of the size and time that the manifest holds is taken for whole, any other is hashed; with `hash_all` each one is.
    """
    if not (path / MANIFEST).is_file():
        return None
    table = read_json(path / MANIFEST)
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise ValueError(f"{path / MANIFEST}: expected a manifest of format {FORMAT}")
    if not KEYS.items() <= {k: type(v) for k, v in table.items()}.items() or not isinstance(
        table.get("seconds"), int | float
    ):
        raise ValueError(f"{path / MANIFEST}: damaged, some of its fields are missing; remove the directory")
    if "sha256" in table and table["sha256"] != _own_digest(table):
        raise ValueError(f"{path / MANIFEST}: damaged, it has changed since it was written; remove the directory")
    states = table.get("states", {}) if "sha256" in table and not hash_all else {}
    for name, digest in table["files"].items():
        file = path / name
        if not file.is_file():
            raise ValueError(
                f"{path}: {name} is missing, though the manifest lists it; remove the directory to make it again"
            )
        if _state(file) != states.get(name) and sha256(file) != digest:
            raise ValueError(
                f"{path}: {name} is damaged, it has changed since the manifest was written; remove the directory to "
                "make it again"
            )
    return Artifact(path, table["stage"], table["digest"], tuple(table["parents"]), table["summary"], table["seconds"])


def _state(file: Path) -> list[int]:
    """A file's bytes and when it was last written, in nanoseconds."""
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


def _own_digest(table: dict[str, Any]) -> str:
    """The SHA-256 of a manifest's other fields."""
    rest = json.loads(json.dumps({key: value for key, value in table.items() if key != "sha256"}))
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def begun(path: Path) -> str | None:
    """The digest of what was begun in a directory and isn't finished. `ValueError` in one line if its mark is damaged."""
    if not (path / UNFINISHED).is_file():
        return None
    table = read_json(path / UNFINISHED)
    if not isinstance(table, dict) or not isinstance(table.get("digest"), str):
        raise ValueError(f"{path / UNFINISHED}: damaged, it names no digest; remove {path} to make this stage again")
    return str(table["digest"])


def in_checkpoints(file: Path, directory: Path) -> bool:
    """Whether a file is there only to resume from."""
    return CHECKPOINTS in file.relative_to(directory).parts


def adopt(source: Path, target: Path) -> Artifact:
    """The same artifact in another run: its files linked (copied where links aren't to be had), the manifest last."""
    shutil.rmtree(target, ignore_errors=True)
    for file in sorted(source.rglob("*")):
        part = file.relative_to(source)
        if file.is_file() and file.name not in (MANIFEST, UNFINISHED) and not in_checkpoints(file, source):
            (target / part).parent.mkdir(parents=True, exist_ok=True)
            link(file, target / part)
    with replacing(target / MANIFEST) as temporary:
        shutil.copyfile(source / MANIFEST, temporary)
    found = load(target)
    assert found is not None
    return found


def link(source: Path, target: Path, link_file: Callable[[Path, Path], None] = os.link) -> None:
    """A hard link, or a copy on a file system that has none. Artifacts are never changed, so both are the same."""
    try:
        link_file(source, target)
    except OSError:
        shutil.copyfile(source, target)
