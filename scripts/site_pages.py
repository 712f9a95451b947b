"""Hooks of mkdocs (mkdocs.yml): the pages outside docs/, links as the repository has them, anchors as GitHub makes them.

A link is written for who reads the repository. On the site a page of README, CONTRIBUTING or CHANGELOG leads to its page here,
and a link to anything else outside docs/ (a source file, a folder) is text with its path, since the site doesn't hold it.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files of the repository's root, and the pages that they are."""
CODE_OR_LINK = re.compile(
    r"^```.*?^```[ \t]*$|(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)|`[^`\n]+`",
    re.MULTILINE | re.DOTALL,
)
"""A fence, a link or code in a line, whichever begins first: what stands in code is no link."""


def on_config(config: Any) -> Any:
    config.mdx_configs.setdefault("toc", {})["slugify"] = anchor
    return config


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File  # here, so that tests of the links need no mkdocs

    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **rest: Any) -> str:
    return rewritten(markdown, page.file.src_uri)


def anchor(heading: str, separator: str = "-") -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", separator)


def rewritten(markdown: str, page: str) -> str:
    """A page's text with its links as the site needs them; they come relative to its file. page: its place on the site."""
    return CODE_OR_LINK.sub(lambda m: _link(m, page) if m["target"] else _code(m[0]), markdown)


def _code(text: str) -> str:
    """A fence without the further words after its language, which the tests of the documentation read: "jsonl prompts"."""
    return re.sub(r"\A```([\w-]+) [^\n]*", r"```\1", text)


def _link(link: re.Match[str], page: str) -> str:
    image, text = link["image"], link["text"]
    path, hash_, part = link["target"].partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return link[0]
    here = next((source for source, name in PAGES.items() if name == page), f"docs/{page}")
    there = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
    if there in PAGES:
        there = PAGES[there]
    elif there.startswith("docs/") and not (ROOT / there).is_dir():
        there = there.removeprefix("docs/")
    else:
        return text if there in text else f"{text} (`{there}`)"
    relative = os.path.relpath(there, posixpath.dirname(page) or ".")
    return f"{image}[{text}]({relative}{hash_}{part})"
