"""A browser that stays quiet, for the tests of the pages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import live_studio

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# a browser that is told to stay quiet: none of its own look-ups
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium in CI: scripts/find_browser.sh should have installed one")
        pytest.skip("no Chromium here; install one to test the page in a browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def served(tmp_path: Path, browser: Any) -> Iterator[Any]:
    """A studio in this process; at its end no page has complained or asked another origin for anything."""
    with live_studio.serving_studio(tmp_path, browser) as made:
        yield made


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's script, from the lock file of the pages' third-party code."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here, which fetches axe-core from scripts/vendor/package-lock.json")
    folder = tmp_path_factory.mktemp("axe")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(Path(__file__).parents[2] / "scripts" / "vendor" / name, folder)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if made.returncode:
        pytest.skip(f"npm reaches no registry here: {made.stderr[:200]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
