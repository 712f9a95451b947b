"""What git says of a figure's age."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from figures.pages import Made
from figures.registry import ROOT


def git(*words: str, root: Path = ROOT) -> str:
    """What git prints. `ValueError` where it fails."""
    done = subprocess.run(["git", *words], cwd=root, text=True, capture_output=True, check=False)  # noqa: S603, S607
    if done.returncode:
        raise ValueError(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def is_known(commit: str, root: Path = ROOT) -> bool:
    """Whether the commit is part of this one's past, as far as the clone goes back."""
    words = ["git", "merge-base", "--is-ancestor", commit, "HEAD"]
    return subprocess.run(words, cwd=root, capture_output=True, check=False).returncode == 0  # noqa: S603


def since(commit: str, paths: Sequence[str], root: Path = ROOT) -> int:
    """How many commits after this one changed what the figure shows."""
    return int(git("rev-list", "--count", f"{commit}..HEAD", "--", *paths, root=root))


def changed(paths: Sequence[str], root: Path = ROOT) -> list[str]:
    """Files under these paths that aren't as they were committed."""
    return [row[3:] for row in git("status", "--porcelain", "--", *paths, root=root).splitlines()]


def head(root: Path = ROOT) -> Made:
    """The commit that is checked out."""
    commit, day = git("log", "-1", "--format=%h %cd", "--date=short", root=root).split()
    return Made(commit, day)
