"""One line for every stage: what, how far, time left."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress as RichProgress
from rich.progress import TextColumn

from trueward import progress
from trueward.progress import Bars, Progress, ProgressBars, ProgressLines, bar_line, clock


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time; set its only element."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (60, "1:00"), (3725, "62:05")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_lines_say_what_how_far_and_time_left(at: list[float]) -> None:
    out = io.StringIO()
    lines = ProgressLines(out, every=5.0)
    lines.start("sft", 10)
    for done in range(1, 11):
        at[0] += 2
        lines.at(done, f"nll {done}")
    lines.end("nll 10")
    assert out.getvalue().splitlines() == [
        "sft: 3/10, 0:14 left, nll 3",
        "sft: 6/10, 0:08 left, nll 6",
        "sft: 9/10, 0:02 left, nll 9",
        "sft: done in 0:20, nll 10",
    ]


def test_a_resumed_stage_judges_by_what_was_done_here(at: list[float]) -> None:
    out = io.StringIO()
    lines = ProgressLines(out, every=1.0)
    lines.start("ppo", 100)
    lines.at(90, "resumed")
    at[0] += 10
    lines.at(91)
    assert out.getvalue() in ("ppo: 91/100, 1:30 left\n", "ppo: 91/100, 0:45 left\n")  # never a second, as from step 0


def test_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ProgressLines()
    lines.start("prepare", 0)
    lines.end()
    assert capsys.readouterr() == ("", "prepare: done in 0:00\n")


def test_a_reporter_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    silent = Progress()
    silent.start("sft", 3)
    silent.at(1, "note")
    silent.end()
    assert capsys.readouterr() == ("", "")


def test_bars() -> None:
    bars = ProgressBars(
        RichProgress(TextColumn("{task.fields[note]}"), console=Console(file=io.StringIO()), auto_refresh=False)
    )
    bars.start("sft", 4)
    bars.at(3, "nll 2")
    task = bars.progress.tasks[0]
    assert (task.description, task.completed, task.total, task.fields["note"]) == ("sft", 3, 4, "nll 2")
    bars.end("nll 1")
    assert task.finished
    bars.start("ppo", 2)
    assert [t.description for t in bars.progress.tasks] == ["sft", "ppo"]


def test_plain_lines_where_there_is_no_terminal() -> None:
    with progress.terminal_progress() as reporter:
        assert isinstance(reporter, ProgressLines)


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True)
    monkeypatch.setattr(progress, "ScreenConsole", lambda **_: terminal)
    with progress.terminal_progress() as reporter:
        assert isinstance(reporter, ProgressBars)
        reporter.start("sft", 1)
        reporter.end()


NOTE = "proxy 1.69  truth 1.57  kl 14.30  over-optimised"
NAME, TIMES = "reward model, 3,500 comparisons", "12:31, 10:04 left"


@pytest.mark.parametrize("width", range(20, 161))
def test_time_left_and_verdict_are_never_cut(width: int) -> None:
    text = bar_line("ppo, β = 0.1", 12, 50, "1:02, 3:14 left", "proxy 1.69  kl 14.30  hacking", width).plain
    assert len(text) <= max(width, len("1:02, 3:14 left  hacking") + 2)
    assert "3:14 left" in text
    assert text.endswith("hacking")


def test_the_bar_shrinks_first_then_the_name_then_the_figures() -> None:
    def line(width: int) -> str:
        return bar_line(NAME, 1000, 2000, TIMES, NOTE, width).plain

    wide = line(150)
    assert wide.count("━") == 24
    assert NAME in wide
    assert NOTE in wide
    bars = [line(width).count("━") for width in range(150, 60, -1)]
    assert bars == sorted(bars, reverse=True)
    assert bars[-1] == 0
    no_bar = next(text for text in map(line, range(150, 60, -1)) if "━" not in text)
    assert NAME in no_bar
    assert NOTE in no_bar
    narrow = line(80)
    assert len(narrow) == 80
    assert "…" in narrow
    assert f"1000/2000  {TIMES}  " in narrow
    assert narrow.endswith("  over-optimised")


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_bars_fit_the_terminal(width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, color_system=None)
    with Bars(console=console, auto_refresh=False) as bars:
        reporter = ProgressBars(bars)
        reporter.start("policy", 40)
        reporter.at(10, NOTE)
        bars.refresh()
    rows = [row for row in out.getvalue().replace("\r", "\n").splitlines() if "policy" in row]
    assert rows
    assert all("over-optimised" in row for row in rows[1:])


def test_a_line_that_stays(at: list[float]) -> None:
    out = io.StringIO()
    lines = ProgressLines(out)
    lines.tell("prepare: 3 prompts left out: [why]")
    assert out.getvalue() == "prepare: 3 prompts left out: [why]\n"
    shown = io.StringIO()
    with Bars(console=Console(file=shown, force_terminal=True, width=60)) as bars:
        told = ProgressBars(bars)
        told.start("prepare", 1)
        told.tell("prepare: 3 prompts left out: [why]")
        told.end()
    assert "prepare: 3 prompts left out: [why]" in shown.getvalue()
    Progress().tell("nothing")
