"""A sweep as a page and as a table: truth and proxy by value, and by distance from the SFT policy."""

from __future__ import annotations

from html import escape
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from trueward.instruments.report import percent, plain, signed

Sweep = dict[str, Any]


def page(sweep: Sweep) -> str:
    return f"<!doctype html><html lang=en><meta charset=utf-8><title>Sweep</title><p>{escape(sweep['sentence'])}</p></html>"


def table(sweep: Sweep) -> Table:
    """A row for each value, no wider than 100 columns."""
    key, advice = sweep["over"], sweep.get("advice") or {}
    title = Text(f"{sweep['recipe']} over {key}: the last policy on fresh prompts", style="bold")
    caption = "proxy, truth: SDs under SFT; KL: nats; ±: 95 %, from the seeds where there are several"
    shown = Table(box=box.SIMPLE_HEAD, title=title, caption=caption, title_justify="left", caption_justify="left")
    shown.add_column(key.rpartition(".")[2])
    for name in ("seeds", "proxy", "truth", "win rate", "KL"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("verdicts")
    shown.add_column("")
    for point in sweep["points"]:
        value = point["value"]
        as_good = value in advice.get("as_good", [])
        said = "best" if value == advice.get("best") else "as good" if as_good else ""
        verdicts = ", ".join(f"{word} ({n})" if n > 1 else word for word, n in point["verdicts"].items())
        shown.add_row(
            Text(f"{value:g}" if isinstance(value, float) else str(value)),
            str(point["seeds"]),
            f"{signed(point['proxy'])} {half(point['proxy_half'])}",
            f"{signed(point['truth'])} {half(point['truth_half'])}",
            percent(point["win_rate"]),
            plain(point["kl"], 1),
            verdicts,
            Text(said, style="bold" if said == "best" else ""),
        )
    return shown


def half(width: float | None) -> str:
    """± half a 95 % interval; nothing when it isn't known."""
    return "" if width is None or width != width else f"± {width:.2f}"
