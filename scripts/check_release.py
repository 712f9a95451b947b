"""Whether this commit can be released: tag, version, changelog, and what is in sdist and wheel (`make release-check`).

    python scripts/check_release.py [--tag v0.2.0]

Without --tag: the version tags at HEAD, or, if there is none, the tag that this version would get. Exit code 1 and a line for
each thing that is wrong.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import distributions

ROOT = Path(__file__).resolve().parents[1]
VERSION_FILE = Path("src/trueward/__init__.py")
TAG = re.compile(r"v(\d+\.\d+\.\d+)")
HEADING = re.compile(r"^## \[([^\]]+)\](?: - (.*))?$", re.MULTILINE)


class Heading(NamedTuple):
    """A version's heading in CHANGELOG.md; `date` is what stands after the dash, empty if nothing does."""

    version: str
    date: str


def package_version(root: Path) -> str:
    """The version, from the one line that holds it."""
    text = (root / VERSION_FILE).read_text(encoding="utf-8")
    versions = re.findall(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if len(versions) != 1:
        raise ValueError(f'{VERSION_FILE}: expected one line `__version__ = "X.Y.Z"`, got {len(versions)}')
    return str(versions[0])


def tags_at_head(root: Path) -> list[str]:
    """The version tags (v…) of the commit that is checked out."""
    done = subprocess.run(["git", "tag", "--points-at", "HEAD"], cwd=root, capture_output=True, text=True)
    return [tag for tag in done.stdout.split() if tag.startswith("v")]


def tag_problems(tag: str, version: str) -> list[str]:
    form = TAG.fullmatch(tag)
    if not form:
        return [f"tag {tag}: expected the form vX.Y.Z"]
    if form[1] != version:
        return [f"tag {tag}: the package says {version}; tag v{version}, or change {VERSION_FILE}"]
    return []


def headings(changelog: str) -> list[Heading]:
    return [Heading(m[1], (m[2] or "").strip()) for m in HEADING.finditer(changelog)]


def changelog_problems(changelog: str, version: str) -> list[str]:
    """The version's section has to be the top one, with a date and with something in it."""
    found = headings(changelog)
    if version not in [heading.version for heading in found]:
        return [f"CHANGELOG.md: no section for {version}; write `## [{version}] - YYYY-MM-DD`"]
    if found[0].version != version:
        return [f"CHANGELOG.md: the top section is {found[0].version}, expected {version}"]
    problems = []
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", found[0].date):
        dated = f"`## [{version}] - YYYY-MM-DD`"
        problems.append(f"CHANGELOG.md: {version} has {found[0].date or 'nothing'!r} for a date; write {dated}")
    first, *rest = HEADING.finditer(changelog)
    if not changelog[first.end() : rest[0].start() if rest else None].strip():
        problems.append(f"CHANGELOG.md: the section {version} is empty")
    return problems


def tracked(root: Path) -> set[str]:
    """The files that git knows."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    return set(filter(None, done.stdout.split("\0")))


def untracked_problems(built: distributions.Distributions, known: set[str]) -> list[str]:
    """Sdist and wheel hold what git holds: nothing that lay about, and nothing of the package left out."""
    added = set(distributions.files(built.sdist)) - known - {"PKG-INFO"}
    lines = [f"{built.sdist.name}: {name} is not in git" for name in sorted(added)]
    package = {name.removeprefix("src/") for name in known if name.startswith("src/trueward/")}
    packed = {name for name in distributions.files(built.wheel) if name.startswith("trueward/")}
    lines += [f"{built.wheel.name}: {name} is not in git" for name in sorted(packed - package)]
    lines += [f"{built.wheel.name}: lacks {name}" for name in sorted(package - packed)]
    return lines


def name_problems(built: distributions.Distributions, version: str) -> list[str]:
    expected = (f"trueward-{version}.tar.gz", f"trueward-{version}-py3-none-any.whl")
    return [f"{path.name}: expected {name}" for path, name in zip(built, expected, strict=True) if path.name != name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", default="", help="the release's tag, vX.Y.Z")
    arguments = parser.parse_args()
    problems: list[str] = []
    try:
        version = package_version(ROOT)
        tags = [arguments.tag] if arguments.tag else tags_at_head(ROOT)
        print(f"version {version}, {'tag ' + ', '.join(tags) if tags else f'no tag here: checked as v{version}'}")
        for tag in tags:
            problems += tag_problems(tag, version)
        problems += changelog_problems((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version)
        with tempfile.TemporaryDirectory() as folder:
            built = distributions.build(ROOT, Path(folder))
            print(*map(distributions.describe, built), sep="\n")
            problems += name_problems(built, version)
            problems += distributions.problems(built)
            problems += untracked_problems(built, tracked(ROOT))
    except (ValueError, OSError) as error:
        problems.append(str(error))
    for problem in problems:
        print(f"check_release: {problem}", file=sys.stderr)
    if problems:
        sys.exit(1)
    print("ready to be released")


if __name__ == "__main__":
    main()
