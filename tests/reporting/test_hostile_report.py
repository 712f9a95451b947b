"""Every text in a report as an attack, one after the other: on its page, on the terminal, in a notebook's table."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from trueward.api import printed
from trueward.api.frames import frame
from trueward.reporting import report

ATTACK = "\"'><img src=x onerror=alert(1)></textarea></title><script>alert(1)</script>{{7*7}}\x1b[2J\x9b31m[/red]"


class Seen(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.scripts = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.scripts += tag == "script"
        self.attributes |= {name for name, _ in attrs}


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the texts are; of a list's elements, those of the first."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*before, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value[:1]):
            yield from places(inner, (*before, i))
    elif isinstance(value, str):
        yield before


def test_no_text_of_a_report_is_more_than_text(baseline: Path) -> None:
    table = json.loads((baseline / "report.json").read_text())
    plain = Seen(report.page(table))
    tried = 0
    for place in places(table):
        attacked = copy.deepcopy(table)
        inner = attacked
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] += ATTACK
        try:
            page = report.page(attacked)
            text = printed.printed(report.table(attacked), *report.summary(attacked, True))
        except (KeyError, ValueError):
            continue  # one of a few words, and this is none of them
        tried += 1
        seen = Seen(page)
        assert seen.tags <= plain.tags, place
        assert seen.scripts == plain.scripts, place
        assert "onerror" not in seen.attributes, place
        assert not {"\x1b", "\x9b"} & set(page + text), place
    assert tried > 50


def test_a_notebooks_table_escapes() -> None:
    pytest.importorskip("pandas")
    table = frame([{"prompt": {"text": ATTACK}, ATTACK: ATTACK, "parts": {ATTACK: 1}}])
    seen = Seen(table._repr_html_())
    assert not seen.tags & {"img", "script"}
    assert "onerror" not in seen.attributes
