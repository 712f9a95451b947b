"""The sdist and the wheel: how they are built, and what has to be in them (check_release.py and check_wheel.py)."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

IN_WHEEL = (  # patterns that at least one file has to match
    "trueward/__init__.py",
    "trueward/py.typed",
    "trueward/recipes/*.toml",
    "trueward/assets/base/*.json",
    "trueward/assets/base/*.safetensors",
    "trueward/reporting/*.html.jinja",
    "trueward/lab/presets.json",
    "trueward/lab/nano.json",
    "trueward/lab/reviews.json",
    "trueward/lab/web/index.html",
    "trueward/lab/web/*.js",
    "trueward/lab/web/*.css",
    "trueward/studio/demonstration.jsonl",
    "trueward/studio/page/index.html",
    "trueward/studio/page/*.js",
    "trueward/studio/page/*.css",
    "trueward/studio/page/vendor.txt",
    "trueward-*.dist-info/METADATA",
    "trueward-*.dist-info/entry_points.txt",
    "trueward-*.dist-info/licenses/LICENSE",
)
IN_SDIST = (
    "PKG-INFO",
    "pyproject.toml",
    "constraints.txt",
    "Makefile",
    "README.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "docs/*.md",
    "examples/*.py",
    "examples/quickstart.ipynb",
    "src/trueward/py.typed",
    "tests/*/test_*.py",
)
JUNK_FOLDERS = {"__pycache__", "node_modules", ".venv", ".git"}
JUNK_AT_THE_TOP = {"runs", "dist", "build", "mutants"}  # `runs` is also a room of the studio
JUNK_NAMES = ("*.pyc", "*.orig", "*.rej", "*~", ".DS_Store", ".coverage")


class Distributions(NamedTuple):
    """The two files of a release."""

    sdist: Path
    wheel: Path


def build(root: Path, out: Path) -> Distributions:
    """Both into the folder `out`; the wheel from the unpacked sdist, so that an sdist that lacks a file can't go unnoticed."""
    sdist = _hatchling(root, "sdist", out)
    unpacked = out / "unpacked"
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    return Distributions(sdist, _hatchling(source, "wheel", out))


def _hatchling(root: Path, target: str, out: Path) -> Path:
    before = set(out.glob("*"))
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(out)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    made = [path for path in out.glob("*") if path not in before]
    if done.returncode or len(made) != 1:
        raise ValueError(f"hatchling built no {target}: {(done.stderr.strip() or 'no file').splitlines()[-1]}")
    return made[0]


def files(archive: Path) -> list[str]:
    """The names of a distribution's files; those of an sdist without the folder that all of them lie in."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return [item.filename for item in wheel.infolist() if not item.is_dir()]
    with tarfile.open(archive) as sdist:
        return [item.name.partition("/")[2] for item in sdist if item.isfile()]


def missing(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The patterns that no file matches."""
    every = list(names)
    return [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in every)]


def junk(names: Iterable[str]) -> list[str]:
    """Files that belong to nobody's release: caches, runs, leftovers."""
    left = []
    for name in names:
        *folders, file = name.split("/")
        in_junk = any(f in JUNK_FOLDERS or f.endswith("_cache") or f == ".hypothesis" for f in folders)
        at_the_top = bool(folders) and folders[0] in JUNK_AT_THE_TOP
        if in_junk or at_the_top or any(fnmatchcase(file, pattern) for pattern in JUNK_NAMES):
            left.append(name)
    return left


def problems(built: Distributions) -> list[str]:
    """What is wrong with the contents of the two files, a line each."""
    lines = []
    for archive, patterns in ((built.sdist, IN_SDIST), (built.wheel, IN_WHEEL)):
        names = files(archive)
        lines += [f"{archive.name}: has no {pattern}" for pattern in missing(names, patterns)]
        lines += [f"{archive.name}: {name} should not be in it" for name in junk(names)]
    for name in files(built.wheel):
        if not fnmatchcase(name, "trueward/*") and not fnmatchcase(name, "trueward-*.dist-info/*"):
            lines.append(f"{built.wheel.name}: {name} lies outside the package")
    return lines


def describe(archive: Path) -> str:
    """Name, size and number of files, as a line."""
    return f"{archive.name:36} {archive.stat().st_size / 1e6:6.1f} MB {len(files(archive)):5} files"
