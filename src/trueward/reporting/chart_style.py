"""The style of charts: CSS, colours and the shapes of marks."""

from __future__ import annotations

from typing import Literal

Kind = Literal["truth", "proxy"]
KINDS: tuple[Kind, ...] = ("truth", "proxy")

# Blue and orange stay apart for every common kind of colour blindness, and the proxy is also dashed and hollow, so
# that nothing depends on colour alone. Both pass 4.5:1 as text on their theme's background.
STYLE = """
:root{--truth:#0b65a3;--proxy:#b54708;--chart-ink:#4b5560;--chart-rule:#e3e6ea;--chart-paper:#fff}
@media screen and (prefers-color-scheme:dark){
:root{--truth:#6cb6ff;--proxy:#f2a65a;--chart-ink:#a8b1bb;--chart-rule:#2b3138;--chart-paper:#14171a}}
.chart{display:block;width:100%;height:auto;font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.chart text{fill:var(--chart-ink);font-variant-numeric:tabular-nums}
.chart .plot{fill:none}
.chart .grid{stroke:var(--chart-rule)}
.chart .zero{stroke:var(--chart-ink);stroke-opacity:.7}
.chart .best{stroke:var(--chart-ink);stroke-dasharray:2 4}
.chart .truth{color:var(--truth)}
.chart .proxy{color:var(--proxy)}
.chart .mark{fill:currentColor;stroke:currentColor;stroke-width:2;stroke-linejoin:round}
.chart .mark.proxy{fill:var(--chart-paper)}
.chart .bar{stroke:currentColor;stroke-width:1.5;stroke-opacity:.75}
.chart .lead{stroke:currentColor;stroke-opacity:.5}
.chart .line{fill:none;stroke:currentColor;stroke-width:2.25;stroke-linejoin:round;stroke-linecap:round}
.chart .line.proxy{stroke-dasharray:7 5}
.chart .band{fill:currentColor;fill-opacity:.13}
.chart .dot{fill:currentColor;stroke:currentColor;stroke-width:1.5}
.chart .dot.proxy{fill:var(--chart-paper)}
.chart .line.thin{stroke-width:1.4;stroke-opacity:.6}
.chart .line.thin.proxy{stroke-dasharray:5 4}
.chart .dot.thin{fill-opacity:.7;stroke-opacity:.7;stroke-width:1}
.chart .ring{fill:none;stroke:currentColor;stroke-width:2}
.chart text.name{fill:currentColor;font-weight:600;paint-order:stroke;stroke:var(--chart-paper);stroke-width:3px;
stroke-linejoin:round}
"""

# For one of several runs; the first colour is that of the reference. Eight colours are hard to tell apart, so there are
# names beside the marks, and four shapes.
TONES = (
    ("#3f4954", "#c6ced6"),
    ("#0b65a3", "#6cb6ff"),
    ("#b54708", "#f2a65a"),
    ("#00745a", "#4fd1a5"),
    ("#9a3a8c", "#e8a9e6"),
    ("#75600a", "#e3cf63"),
    ("#0a6f80", "#62d3e3"),
    ("#bd2453", "#f2587f"),
)
TONE_STYLE = (
    "".join(f".chart .tone-{i}{{color:{light}}}" for i, (light, _) in enumerate(TONES))
    + "@media screen and (prefers-color-scheme:dark){"
    + "".join(f".chart .tone-{i}{{color:{dark}}}" for i, (_, dark) in enumerate(TONES))
    + "}\n"
)
SHAPES = (
    "M-5 0A5 5 0 1 1 5 0A5 5 0 1 1-5 0Z",
    "M-4.5-4.5H4.5V4.5H-4.5Z",
    "M0-6.4L6.4 0L0 6.4L-6.4 0Z",
    "M0-6L5.8 4.6H-5.8Z",
)


def shape(tone: int) -> str:
    """The path of a mark: neighbours differ in shape as well as in colour, and repeated colours have another shape."""
    return SHAPES[(tone + tone // len(TONES)) % len(SHAPES)]


def css_class(kind: Kind, tone: int | None) -> str:
    """The CSS classes of a line or mark of a kind, `truth` or `proxy`. tone: its number where it is one of several."""
    return kind if tone is None else f"{kind} tone-{tone % len(TONES)}"
