"""Whether the wheel works for who has nothing else: built, installed outside the repository, run (`make wheel-check`).

    python scripts/check_wheel.py [PYTHON ...]

For each Python that pyproject.toml names and that is on PATH (or for those given): a new environment in a temporary folder,
the wheel with the versions of constraints.txt, `import trueward`, `trueward run tiny` to its report, and
examples/ten_lines.py. A Python that isn't there is named as not run. Exit code 1 if something failed or none was there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import distributions
from check_release import package_version

ROOT = Path(__file__).resolve().parents[1]
TEN_LINES = Path("examples/ten_lines.py")
SMALL = (
    "sft.epochs=0.3",
    "comparisons.count=120",
    "policy.steps=3",
    "policy.batch_size=16",
    "policy.minibatches=2",
    "evaluation.every=1",
    "evaluation.final_prompts=16",
    "evaluation.step_prompts=16",
)
PROBE = "import ensurepip, sys, venv; print('.'.join(map(str, sys.version_info[:3])))"
IMPORT = """
import json, sys, time
start = time.perf_counter()
import trueward
seconds = time.perf_counter() - start
print(json.dumps([trueward.__version__, trueward.__file__, round(1000 * seconds), "torch" in sys.modules]))
"""


class Python(NamedTuple):
    """An interpreter that answers: where it is, and its whole version."""

    path: str
    version: str


class NotThere(NamedTuple):
    """One that doesn't, and why."""

    name: str
    reason: str


def supported(root: Path) -> list[str]:
    """The versions of Python that the package says it runs on, from its classifiers."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stated = re.findall(r"Programming Language :: Python :: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE)
    return list(stated)


def probe(path: str) -> Python | NotThere:
    """Ask an interpreter for its version; one that can't make an environment counts as not there."""
    try:
        done = subprocess.run([path, "-c", PROBE], capture_output=True, text=True, timeout=60, env=environment())
    except (OSError, subprocess.TimeoutExpired) as error:
        return NotThere(path, f"does not start ({error})")
    if done.returncode:
        lines = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()
        return NotThere(path, f"does not start ({lines[-1 if lines[0].startswith('Traceback') else 0]})")
    return Python(path, done.stdout.strip())


def on_path(name: str, folders: Iterable[str]) -> Python | NotThere:
    """The first interpreter of that name that answers: a manager's shim may stand before it, and answer nothing."""
    last = NotThere(name, "not on PATH")
    for folder in folders:
        if path := shutil.which(name, path=folder):
            answer = probe(path)
            if isinstance(answer, Python):
                return answer
            last = NotThere(name, answer.reason)
    return last


def environment() -> dict[str, str]:
    """The caller's, without what would let the repository or another environment be seen; models can't be downloaded."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {**{k: v for k, v in os.environ.items() if k not in hidden}, "HF_HUB_OFFLINE": "1"}


def call(command: list[str], folder: Path) -> str:
    """What a command prints; `ValueError` with its last lines if it fails."""
    done = subprocess.run(
        command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise ValueError(f"{' '.join(command[:4])} …: exit code {done.returncode}\n{last}")
    return done.stdout


def check(python: Python, wheel: Path, folder: Path) -> Iterator[str]:
    """Everything for one interpreter, a line when something is done; `ValueError` at the first thing that fails."""
    clock = time.perf_counter()

    def took() -> str:
        nonlocal clock
        before, clock = clock, time.perf_counter()
        return f"{clock - before:.0f} s"

    home, empty = folder / "environment", folder / "empty"
    empty.mkdir()
    call([python.path, "-m", "venv", str(home)], folder)
    inside = str(home / "bin" / "python")
    constraints = str(ROOT / "constraints.txt")
    call([inside, "-m", "pip", "install", "--quiet", "--no-compile", "-c", constraints, str(wheel)], folder)
    yield f"installed in {took()}"

    version, file, milliseconds, has_torch = json.loads(call([inside, "-c", IMPORT], empty))
    if (version, has_torch) != (package_version(ROOT), False) or home not in Path(file).parents:
        raise ValueError(f"import trueward: version {version} from {file}, with torch: {has_torch}")
    yield f"import trueward in {milliseconds} ms, without torch"

    took()
    changes = [word for change in SMALL for word in ("--set", change)]
    call([str(home / "bin" / "trueward"), "run", "tiny", "--quiet", "--out", "runs/tiny", *changes], empty)
    report = json.loads((empty / "runs/tiny/report.json").read_text(encoding="utf-8"))
    if report["trueward"] != version or not (empty / "runs/tiny/report.html").stat().st_size:
        raise ValueError(f"runs/tiny: a report of version {report['trueward']}, or an empty page")
    yield f"trueward run tiny in {took()}"

    if (ROOT / TEN_LINES).is_file():
        shutil.copy(ROOT / TEN_LINES, empty)
        call([inside, TEN_LINES.name], empty)
        yield f"{TEN_LINES} in {took()}"
    else:
        yield f"{TEN_LINES}: not there"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", help="interpreters to try, in place of those on PATH")
    given = parser.parse_args().pythons
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    pythons = [probe(p) for p in given] if given else [on_path(f"python{v}", folders) for v in supported(ROOT)]
    begun, failed, ran = time.perf_counter(), False, 0
    with tempfile.TemporaryDirectory(prefix="wheel-check-") as folder:
        try:
            built = distributions.build(ROOT, Path(folder))
            print(*map(distributions.describe, built), sep="\n", flush=True)
            for problem in distributions.problems(built):
                print(f"check_wheel: {problem}", file=sys.stderr)
                failed = True
        except ValueError as error:
            sys.exit(f"check_wheel: {error}")
        for number, python in enumerate(pythons):
            if isinstance(python, NotThere):
                print(f"{python.name}: not run: {python.reason}", flush=True)
                failed |= bool(given)
                continue
            room = Path(folder) / f"python-{number}"
            room.mkdir()
            try:
                for line in check(python, built.wheel, room):
                    print(f"Python {python.version}: {line}", flush=True)
                ran += 1
            except (ValueError, OSError) as error:
                print(f"check_wheel: Python {python.version}: {error}", file=sys.stderr)
                failed = True
            shutil.rmtree(room)  # torch for one interpreter at a time
    print(f"{ran} of {len(pythons)} interpreters, {time.perf_counter() - begun:.0f} s in all")
    if failed or not ran:
        sys.exit(1)


if __name__ == "__main__":
    main()
