"""The site: every page has its place in it, links lead where the repository's do, nothing comes from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import trueward

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LOADED = re.compile(r"<(?:script|img|iframe|source)[^>]* src=\"?([^\" >]+)|<link[^>]* href=\"?([^\" >]+)")
"""What a browser fetches by itself."""


@pytest.fixture(scope="module")
def hooks() -> Any:
    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "scripts/site_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pages(nav: list[Any]) -> Iterator[str]:
    for entry in nav:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        yield from pages(value) if isinstance(value, list) else [value]


def test_every_page_has_its_place_in_the_navigation(hooks: Any) -> None:
    listed = list(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    written = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} | set(hooks.PAGES.values())
    assert {page for page in listed if "#" not in page} == written
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("index.md", "[the lab](docs/lab.md#x)", "[the lab](lab.md#x)"),
        ("index.md", "![A plot\nof two](docs/images/a.png)", "![A plot\nof two](images/a.png)"),
        ("index.md", "[how](CONTRIBUTING.md)", "[how](contributing.md)"),
        ("nano.md", "[home](../README.md#use-it)", "[home](index.md#use-it)"),
        ("nano.md", "[`reviews`](../README.md)", "[`reviews`](index.md)"),
        ("algorithms/ppo.md", "[losses](../losses.md) [all](README.md)", "[losses](../losses.md) [all](README.md)"),
        ("contributing.md", "[a page](docs/log.md)", "[a page](log.md)"),
        ("tour.md", "([source](../src/trueward/seeds.py))", "(source (`src/trueward/seeds.py`))"),
        ("tour.md", "[src/trueward/seeds.py](../src/trueward/seeds.py)", "src/trueward/seeds.py"),
        ("speed.md", "[pictures](images)", "pictures (`docs/images`)"),
        ("formats.md", "```jsonl prompts\n{}\n```\n", "```jsonl\n{}\n```\n"),
        ("tour.md", "[here](#below) [a](https://a.org/b)", "[here](#below) [a](https://a.org/b)"),
        (
            "tour.md",
            "`[x](../README.md)`\n\n```\n[x](../README.md)\n```\n",
            "`[x](../README.md)`\n\n```\n[x](../README.md)\n```\n",
        ),
    ],
)
def test_links_are_those_of_the_site(hooks: Any, page: str, text: str, expected: str) -> None:
    assert hooks.rewritten(text, page) == expected


def test_anchors_are_those_of_the_repository(hooks: Any) -> None:
    assert hooks.anchor("Earned, or hacked? `trueward x`") == "earned-or-hacked-trueward-x"
    assert hooks.anchor("A – B") == "a--b"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the extra `docs` isn't installed")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_the_reference_is_made_from_the_docstrings(site: Path) -> None:
    page = (site / "api.html").read_text(encoding="utf-8")
    for name in trueward.__all__:
        assert f'id="trueward.{name}"' in page or name == "__version__", name
    assert "β, the price of a nat of KL in SDs of the reward under SFT" in page
    assert 'id="trueward.Completion.finished"' in page
    assert "model_config" not in page
    assert ":::" not in page


def test_the_home_page_is_the_readme(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    assert 'src="images/sweep-nano.png"' in page
    assert (site / "images/sweep-nano.png").is_file()


def test_pages_are_read_as_the_repository_reads_them(site: Path, hooks: Any) -> None:
    """Each heading of the second level has the repository's anchor, and no fence is taken for text."""
    for source in [*(ROOT / name for name in hooks.PAGES), *DOCS.rglob("*.md")]:
        name = hooks.PAGES.get(source.name) if source.parent == ROOT else source.relative_to(DOCS).as_posix()
        page = (site / name.replace("README.md", "index.md").replace(".md", ".html")).read_text(encoding="utf-8")
        text = re.sub(r"^```.*?^```[ \t]*$", "", source.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for heading in re.findall(r"^## (.*)$", text, re.MULTILINE):
            assert f'id="{hooks.anchor(heading)}"' in page, f"{source.name}: {heading}"
        assert not re.search(r"<p>[^<]*```(?!`)", page), source.name


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        for sources in LOADED.findall(page.read_text(encoding="utf-8")):
            source = "".join(sources)
            assert not re.match(r"(https?:)?//", source), f"{page.name}: {source}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", sheet.read_text(encoding="utf-8")), sheet.name
