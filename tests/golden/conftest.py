"""The flag `--record`, and what a recording moved, printed at the end."""

from __future__ import annotations

from typing import Any

import pytest

SHOWN = 60
MOVED = pytest.StashKey[list[tuple[float, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write the golden trajectories anew, print what moved")


@pytest.fixture(scope="session")
def moved(pytestconfig: pytest.Config) -> list[tuple[float, str]]:
    """Where a recording notes what it changed: the relative move, and a line of the table."""
    return pytestconfig.stash.setdefault(MOVED, [])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not config.getoption("--record", default=False):
        return
    rows = sorted(config.stash.get(MOVED, []), reverse=True)
    terminalreporter.section("what moved, the largest relative move first" if rows else "nothing moved")
    for _, line in rows[:SHOWN]:
        terminalreporter.write_line(line)
    if len(rows) > SHOWN:
        terminalreporter.write_line(f"... and {len(rows) - SHOWN} more; git diff tests/golden shows them all")
