"""The alignment tax on the page and on the terminal."""

from __future__ import annotations

from typing import Any

import pytest

from trueward.reporting import guards_panel
from trueward.reporting import report as reports

HOSTILE = "<img src=x onerror=alert(1)>"


def row(policy: float, z: float) -> dict[str, Any]:
    gain = policy - 0.8
    return {
        "policy": policy,
        "sft": 0.8,
        "gain": gain,
        "gain_se": 0.04,
        "gain_z": z,
        "items": 128,
        "missing": 2,
        "failure": None,
    }


SILENT = {
    "policy": None, "sft": None, "gain": None, "gain_se": None, "gain_z": None, "items": 0, "missing": 0,
    "failure": "out of memory",
}  # fmt: skip


@pytest.fixture
def report() -> dict[str, Any]:
    looks = [(20, {"lm-eval:ifeval,limit=200": row(0.7, -2.9), HOSTILE: row(0.81, 0.2)}),
             (40, {"lm-eval:ifeval,limit=200": row(0.5, -7.0), HOSTILE: SILENT})]  # fmt: skip
    return {"name": "run", "history": [{"step": 0}, *({"step": step, "guards": guards} for step, guards in looks)]}


def test_a_line_for_each_guard_with_what_it_measured_last(report: dict[str, Any]) -> None:
    fell, other = guards_panel.panel(report).lines
    assert (fell.name, fell.step, fell.last["policy"], fell.fell, fell.looks) == (
        "lm-eval:ifeval,limit=200",
        40,
        0.5,
        True,
        2,
    )
    assert (other.step, other.last["policy"], other.fell, other.unmeasured) == (20, 0.81, False, 1)


def test_what_fell_and_what_was_not_measured_is_said_on_page_and_terminal(report: dict[str, Any]) -> None:
    lines = [
        "The guard lm-eval:ifeval,limit=200 fell: 0.500 at step 40, SFT’s 0.800.",
        f"The guard {HOSTILE} was not measured at 1 of its 2 looks (out of memory).",
    ]
    assert guards_panel.sentences(report) == lines
    assert [line for line in reports.summary(report) if "guard" in line] == lines
    page = reports.page(report)
    assert "Alignment tax" in page
    assert "<small>fell</small>" in page
    assert HOSTILE not in page
    assert "Guards by step" in page


def test_a_report_without_guards_has_no_panel() -> None:
    assert "Alignment tax" not in reports.page({"name": "run", "history": [{"step": 0}, {"step": 5}]})
    assert guards_panel.panel({}).charts == []


def test_a_guard_that_never_ran_has_dashes_and_no_chart() -> None:
    report = {"name": "run", "history": [{"step": 5, "guards": {"lm-eval:x": SILENT}}]}
    assert guards_panel.panel(report).charts == []
    assert "was not measured at 1 of its 1 looks" in reports.page(report)
