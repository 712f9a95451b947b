"""Fuzz what reads files, settings and answers of others: `python scripts/fuzz.py [--seconds 60] [--only NAME]`.

The targets are the tests in tests/fuzz. With atheris (`pip install atheris`) each is steered by the lines it reaches; without,
hypothesis draws examples for about as long. Exit code 1 if a target fails; the failing input is printed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

TARGETS = Path(__file__).parents[1] / "tests" / "fuzz" / "test_readers.py"
EXAMPLES_A_SECOND = 20
ATHERIS = """
import importlib.util, sys
import atheris
with atheris.instrument_imports(include=["trueward"]):
    spec = importlib.util.spec_from_file_location("readers", sys.argv[1])
    readers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readers)
target = getattr(readers, sys.argv[2]).hypothesis.fuzz_one_input
atheris.Setup([sys.argv[0], f"-max_total_time={sys.argv[3]}", "-max_len=8192", "-rss_limit_mb=8192", "-verbosity=0",
               "-print_final_stats=1", f"-artifact_prefix={sys.argv[4]}/"], target)
atheris.Fuzz()
"""


def targets() -> list[str]:
    """The names of the tests that hypothesis feeds."""
    lines = TARGETS.read_text(encoding="utf-8").splitlines()
    given = [n for n, line in enumerate(lines) if line == "@fuzzed"]
    return [
        next(line for line in lines[n:] if line.startswith("def ")).split("(")[0].removeprefix("def ") for n in given
    ]


def main() -> int:
    """Fuzz every target; 1 if one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="of each target")
    parser.add_argument("--only", default="", help="the targets with this in their name")
    given = parser.parse_args()
    names = [name for name in targets() if given.only in name]
    inputs = TARGETS.parents[2] / "build" / "fuzz"
    inputs.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names:
        if importlib.util.find_spec("atheris") is not None:
            command = [sys.executable, "-c", ATHERIS, str(TARGETS), name, str(given.seconds), str(inputs)]
        else:
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:timeout", f"{TARGETS}::{name}"]
        print(f"{name}, {given.seconds} s", flush=True)
        environment = {**os.environ, "FUZZ_EXAMPLES": str(EXAMPLES_A_SECOND * given.seconds)}
        if subprocess.run(command, env=environment, check=False).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "nothing found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
