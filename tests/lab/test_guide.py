"""docs/lab.md says what the engine says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trueward.lab import presets
from trueward.lab.sitting import sit
from trueward.lab.verdict import FALL, GAIN, LOST, NEAR, STILL

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "lab.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip().strip("`").replace("−", "-") for cell in row.strip("|").split("|")]
    for row in re.findall(r"^\| `[\w-]+` \| [\d.]+ \|.*\|$", GUIDE, re.MULTILINE)
]


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]} {row[1]}" for row in ROWS])
def test_the_numbers(row: list[str]) -> None:
    name, beta, proxy, start, true, peak, kl, word = row
    found = sit(name, [(float(beta), 3000)])
    first, last = found.run.history[0], found.run.history[-1]
    shown = [float(proxy), float(start), float(true), float(kl)]
    assert shown == pytest.approx([last.proxy, first.true, last.true, last.kl], abs=5.1e-4)
    assert found.verdict.word == word
    if peak:
        value, step = peak.split(", step ")
        assert (float(value), int(step)) == (
            pytest.approx(first.true + found.verdict.peak, abs=5.1e-4),
            found.verdict.peak_step,
        )


def test_no_row_was_overlooked() -> None:
    assert len(ROWS) == 16
    assert set(re.findall(r"^\| `([\w-]+)` \| [a-z]", GUIDE, re.MULTILINE)) == set(presets.tables())


def test_the_rules_are_the_engines() -> None:
    for text in (f"below {STILL}", f"below {NEAR}", f"than {FALL} s", f"than {GAIN} s"):
        assert text.replace("0.", ".") in GUIDE
    assert LOST == 0.25
    assert "a quarter of that" in GUIDE


def test_the_pictures_are_small() -> None:
    named = re.findall(r"\]\((images/[\w-]+\.png)\)", GUIDE)
    assert sorted(named) == sorted(f"images/{p.name}" for p in (DOCS / "images").glob("lab-*.png"))
    for path in named:
        raw = (DOCS / path).read_bytes()
        assert raw.startswith(b"\x89PNG")
        assert len(raw) < 150_000, path
