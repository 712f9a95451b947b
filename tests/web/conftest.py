"""A browser that stays quiet, for the tests of the pages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trueward.lab import page, server

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


class Shown:
    """A page of the lab, with what its tests ask most; all else is the browser's page."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)

    def text(self, id: str) -> str:
        return str(self.page.locator(f"#{id}").text_content())

    def number(self, id: str) -> float:
        return float(self.text(id).replace("−", "-").replace(",", ""))

    def unfold(self) -> None:
        """Opens everything that can be opened."""
        self.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        self.page.wait_for_timeout(50)

    def until(self, expression: str, seconds: float = 15) -> None:
        """Playwright's own waiting evaluates text inside of the page, which the page's policy forbids."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"never came true: {expression}"
            time.sleep(0.02)


@pytest.fixture
def open_quietly(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page from a file, and when the test is over: it asked for nothing, complained of nothing, was not too wide."""
    opened: list[tuple[Any, Path, int, list[str], list[str]]] = []

    def open_file(path: Path, *, width: int, scheme: str) -> Any:
        asked: list[str] = []
        complaints: list[str] = []
        shown = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("console", lambda message: complaints.append(message.text))
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.goto(path.as_uri())
        opened.append((shown, path, width, asked, complaints))
        return shown

    yield open_file
    for shown, path, width, asked, complaints in opened:
        assert asked == [path.as_uri()]
        assert complaints == []
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        shown.close()


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lab") / "index.html"
    path.write_text(page.whole(), encoding="utf-8")
    return path


@pytest.fixture
def address() -> Iterator[str]:
    """The lab, served."""
    with server.server() as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server.address(serving)
        serving.shutdown()
        thread.join()


@pytest.fixture
def lab(browser: Any, exported: Path) -> Iterator[Callable[..., Shown]]:
    """Opens the exported page at a link. When the test is over: it asked for nothing and complained of nothing."""
    said: list[str] = []
    asked: list[str] = []
    contexts = []

    def open_at(link: str = "", *, width: int = 1200, still: bool = True, url: str = "", **more: Any) -> Shown:
        motion = "reduce" if still else "no-preference"
        context = browser.new_context(viewport={"width": width, "height": 900}, reduced_motion=motion, **more)
        contexts.append(context)
        shown = Shown(context.new_page())
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.goto((url or exported.as_uri()) + (f"#{link}" if link else ""))
        shown.until("globalThis.trueward !== undefined")
        return shown

    yield open_at
    for context in contexts:
        context.close()
    assert said == []
    ours = ("file:///", "http://127.0.0.1:", "data:image/svg+xml,")
    assert all(url.startswith(ours) for url in asked), asked


@pytest.fixture(scope="session")
def database_server() -> Iterator[str]:
    """With STUDIO_TESTS_ON=postgresql the directory of a PostgreSQL's socket; else nothing, and studios are on SQLite."""
    if os.environ.get("STUDIO_TESTS_ON", "") != "postgresql":
        yield ""
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "studio"))
    import own_postgresql

    with own_postgresql.server() as made:
        yield str(made.folder)


@pytest.fixture
def served(tmp_path: Path, browser: Any, database_server: str) -> Iterator[Any]:
    """A studio in this process; at its end no page has complained or asked another origin for anything."""
    url = own_schema(database_server) if database_server else ""
    with live_studio.serving_studio(tmp_path, browser, url) as made:
        yield made


def own_schema(folder: str) -> str:
    """The address of an empty schema of its own in a PostgreSQL."""
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(f"host={folder} user=postgres dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")  # type: ignore[arg-type]  # a name made here
    return f"postgresql://postgres@/postgres?host={folder}&options=-csearch_path%3D{name}"


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


@pytest.fixture
def check_page(axe: str) -> Callable[[Any, str], None]:
    """No serious violation of axe's rules, nothing wider than the screen, one heading of the first level."""

    def check(page: Any, name: str) -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], name
        assert page.locator("h1").count() == 1, name
        page.evaluate(axe)
        found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        bad = [
            (v["id"], v["help"], [n["html"][:150] for n in v["nodes"]][:4])
            for v in found["violations"]
            if v["impact"] in ("serious", "critical")
        ]
        assert bad == [], name

    return check
