"""Numbers as they are printed: signs, shares, intervals, durations; a missing number is a dash or an empty text."""

from __future__ import annotations

from trueward.evaluation.statistics import NINETY_FIVE

MISSING = "–"
SPACE = "\u00a0"  # between a number and its unit, so that no line breaks there


def signed(value: float | None, digits: int = 2) -> str:
    """With a sign: +1.20 or −0.31."""
    return MISSING if value is None else f"{value:+.{digits}f}".replace("-", "−")


def plain(value: float | None, digits: int = 2) -> str:
    """With thousands separators and a true minus sign: 9.1."""
    return MISSING if value is None else f"{value:,.{digits}f}".replace("-", "−")


def percent(value: float | None, digits: int = 0) -> str:
    """A share as 85 %; 99.6 % is not rounded to 100 %."""
    while value is not None and digits < 2 and value not in (0, 1) and round(100 * value, digits) in (0, 100):
        digits += 1
    return MISSING if value is None else f"{100 * value:.{digits}f}{SPACE}%"


def between(low: float | None, high: float | None, digits: int = 0) -> str:
    """An interval of shares as 82–88 %; empty if an end is missing."""
    return "" if low is None or high is None else f"{100 * low:.{digits}f}–{100 * high:.{digits}f}{SPACE}%"


def within(error: float | None, digits: int = 2) -> str:
    """± half a 95 % interval, from a standard error; empty if there is none."""
    return "" if error is None else f"±{SPACE}{NINETY_FIVE * error:.{digits}f}"


def span(low: float | None, high: float | None, digits: int = 2) -> str:
    """An interval as +0.61 to +0.98; empty if an end is missing."""
    return "" if low is None or high is None else f"{signed(low, digits)} to {signed(high, digits)}"


def share_within(error: float | None) -> str:
    """± half a 95 % interval of a share, in percentage points; empty if there is no standard error."""
    return "" if error is None else f"±{SPACE}{100 * NINETY_FIVE * error:.0f}"


def count(value: float | None) -> str:
    """A count as 11,000."""
    return MISSING if value is None else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """Seconds as 12 s, 3 min 05 s, 1 h 12 min."""
    if seconds is None:
        return MISSING
    if seconds < 59.95:
        return f"{seconds:.1f}{SPACE}s"
    if seconds < 3599.5:
        return f"{round(seconds) // 60}{SPACE}min {round(seconds) % 60:02d}{SPACE}s"
    return f"{round(seconds / 60) // 60}{SPACE}h {round(seconds / 60) % 60:02d}{SPACE}min"
