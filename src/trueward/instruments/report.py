"""What a run found, from report.json: one self-contained HTML page, a table for the terminal, a line in words.

Only what the report holds is said: a number that is missing is a dash, a part that is missing is left out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, Template, Undefined
from markupsafe import Markup
from rich import box
from rich.table import Table
from rich.text import Text

from trueward.instruments import charts
from trueward.instruments.charts import NINETY_FIVE, Series, line_chart

Report = dict[str, Any]
Show = Callable[..., str]
POLICIES = {"base": "base", "sft": "SFT", "policy": "policy", "best": "best"}
MISSING = "–"
SPACE = "\u00a0"  # between a number and its unit, so that no line breaks there


def page(report: Report) -> str:
    """One HTML page that needs no network and runs no scripts; every text in the report is shown as text."""
    report = _clean(report)
    return _template().render(
        report=report,
        headline=headline(report),
        names=POLICIES,
        other_truths=_other_truths(report),
        plots=_plots(report),
        history=_history(report),
        policies=[(key, name) for key, name in POLICIES.items() if _policy(report, key)],
        samples=_worst_first(report.get("samples") or []),
        ceiling=ceiling_line(report),
        passes=verifier_line(report),
        recipe=recipe_text(report.get("recipe") or {}),
        total=_total(report),
        chart_style=Markup(charts.STYLE),  # noqa: S704 (our own constant)
    )


def table(report: Report) -> Table:
    """A row for each policy, no wider than 100 columns."""
    report = _clean(report)
    title = Text(f"{report.get('name') or 'run'}: measured on fresh prompts", style="bold")
    caption = "proxy, truth: SDs under SFT; KL: nats; length: tokens; ± and ranges: 95 %"
    shown = Table(box=box.SIMPLE_HEAD, title=title, caption=caption, title_justify="left", caption_justify="left")
    shown.add_column("")
    for name in ("proxy", "truth", "win rate\nagainst SFT", "KL", "length", "ended", "distinct-1"):
        shown.add_column(name, justify="right", no_wrap=True)
    for key, name in POLICIES.items():
        if row := _policy(report, key):
            cells = [
                f"{signed(row.get('proxy'))} {within(row.get('proxy_se'))}",
                f"{signed(row.get('truth'))} {within(row.get('truth_se'))}",
                f"{percent(row.get('win_rate'))} {between(row.get('win_rate_low'), row.get('win_rate_high'))}",
                plain(row.get("kl"), 1),
                plain(row.get("length"), 1),
                percent(row.get("eos_rate")),
                plain(row.get("distinct_1"), 2),
            ]
            shown.add_row(Text(name), *(Text(cell.replace(SPACE, " ").strip()) for cell in cells))
    return shown


def summary(report: Report) -> list[str]:
    """The lines under the table: what happened, how good the reward model is, who judged, time and memory."""
    report = _clean(report)
    lines = [headline(report)]
    model = report.get("reward_model") or {}
    if model.get("accuracy") is not None:
        interval = between(model.get("accuracy_low"), model.get("accuracy_high"), 1)
        said = (
            f"The reward model picks the annotator’s choice in {percent(model['accuracy'], 1)} of held-out comparisons"
        )
        lines.append(f"{said} (95{SPACE}%: {interval})." if interval else f"{said}.")
    if passes := verifier_line(report):
        lines.append(passes)
    if ceiling := ceiling_line(report):
        lines.append(ceiling)
    if (report.get("annotators") or {}).get("simulated"):
        lines.append("The annotators are simulated: programs chose between the answers, no person did.")
    if (total := _total(report)) is not None:
        lines.append(f"It took {duration(total)} in all.")
    if (memory := report.get("peak_memory_mb")) is not None:
        lines[-1] += f" At its peak it held {count(memory)} MB of memory."
    return [line.replace(SPACE, " ") for line in lines]


def headline(report: Report) -> str:
    """What the numbers say, in one or two plain sentences."""
    report = _clean(report)
    policy, sft, best = (_policy(report, key) for key in ("policy", "sft", "best"))
    if not policy:
        return "No tuned policy has been measured yet."
    said = [_change("truth", policy, sft), _change("the proxy", policy, sft)]
    text = " and ".join(part for part in said if part) or "neither truth nor proxy was measured"
    if policy.get("kl") is not None:
        text += f", at a KL of {plain(policy['kl'], 1)}{SPACE}nats"
    if policy.get("win_rate") is not None:
        text += f"; {percent(policy['win_rate'])} of its answers are preferred to SFT’s"
    text = text[0].upper() + text[1:] + "."
    step, peak, last = report.get("best_step"), best.get("truth"), policy.get("truth")
    if step is not None and peak is not None and last is not None and peak > last:
        text += f" Truth was higher at step {step}: {signed(peak)}{SPACE}SD, against {signed(last)} at the end."
    return text


def recipe_text(recipe: Report) -> str:
    """The recipe as TOML; what is not set is a comment, since TOML has no word for it."""
    lines: list[str] = []

    def section(path: str, content: Report) -> None:
        if path:
            lines.extend([""] * bool(lines) + [f"[{path}]"])
        for key, value in sorted(content.items(), key=lambda item: isinstance(item[1], dict)):
            if isinstance(value, dict):
                section(f"{path}.{key}" if path else key, value)
            else:
                words = json.dumps(value, ensure_ascii=False)
                lines.append(f"# {key} is not set" if value is None else f"{key} = {words}")

    section("", recipe)
    return "\n".join(lines)


def signed(value: float | None, digits: int = 2) -> str:
    """+1.20 or −0.31."""
    return MISSING if value is None else f"{value:+.{digits}f}".replace("-", "−")


def plain(value: float | None, digits: int = 2) -> str:
    """9.1, with a true minus sign."""
    return MISSING if value is None else f"{value:,.{digits}f}".replace("-", "−")


def percent(value: float | None, digits: int = 0) -> str:
    """85 %; 99.6 % stays apart from 100 %."""
    while value is not None and digits < 2 and value not in (0, 1) and round(100 * value, digits) in (0, 100):
        digits += 1
    return MISSING if value is None else f"{100 * value:.{digits}f}{SPACE}%"


def between(low: float | None, high: float | None, digits: int = 0) -> str:
    """82–88 %, or nothing when an end is missing."""
    return "" if low is None or high is None else f"{100 * low:.{digits}f}–{100 * high:.{digits}f}{SPACE}%"


def within(error: float | None, digits: int = 2) -> str:
    """± half a 95 % interval, from a standard error; nothing when there is none."""
    return "" if error is None else f"±{SPACE}{NINETY_FIVE * error:.{digits}f}"


def count(value: float | None) -> str:
    """11,000."""
    return MISSING if value is None else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """12 s, 3 min 05 s, 1 h 12 min."""
    if seconds is None:
        return MISSING
    if seconds < 59.95:
        return f"{seconds:.1f}{SPACE}s"
    if seconds < 3599.5:
        return f"{round(seconds) // 60}{SPACE}min {round(seconds) % 60:02d}{SPACE}s"
    return f"{round(seconds / 60) // 60}{SPACE}h {round(seconds / 60) % 60:02d}{SPACE}min"


def _plots(report: Report) -> dict[str, list[Markup]]:
    """The plots' SVG by name: one for every width, or a wide one and one for phones."""
    history = _history(report)
    steps, roots = [row["step"] for row in history], [row["root"] for row in history]
    best = next((i for i, step in enumerate(steps) if step == report.get("best_step")), None)

    def series(name: str, key: str, look: Literal["truth", "proxy"] = "truth") -> Series:
        return Series(name, [row.get(key) for row in history], [row.get(f"{key}_se") for row in history], look)

    def plot(title: str, x_label: str, y_label: str, *lines: Series, wide: bool = False, share: bool = False,
             x: Sequence[float | None] = steps) -> list[Markup]:  # fmt: skip
        if not any(value is not None for line in lines for value in line.values):
            return []
        return [Markup(line_chart(  # noqa: S704 (it escapes what it is given)
                title, x_label, y_label, lines, x=x, best=best, best_label=f"best: step {report.get('best_step')}",
                percent=share, width=width, height=height,
            ))
            for width, height in ([(880, 340), (400, 310)] if wide else [(400, 290)])]  # fmt: skip

    both = series("truth", "truth"), series("proxy", "proxy", "proxy")
    by_step, above = "training step", "SDs above the SFT policy"
    return {
        "steps": plot("Proxy and truth by step", by_step, above, *both, wide=True),
        "root": plot("Proxy and truth by distance", "√KL to the SFT policy", above, *both, x=roots),
        "kl": plot("Distance from SFT by step", by_step, "KL to the SFT policy, nats", series("KL", "kl")),
        "length": plot("Answer length by step", by_step, "tokens", series("length", "length")),
        "ended": plot("Answers that ended by step", by_step, "of all answers", series("ended", "eos_rate"), share=True),
    }


def _history(report: Report) -> list[Report]:
    """The evaluations in training, each with the root of its KL; an estimate below zero has none and is put at zero."""
    rows = [row for row in report.get("history") or [] if row.get("step") is not None]
    return [{**row, "root": None if row.get("kl") is None else math.sqrt(max(row["kl"], 0.0))} for row in rows]


def _other_truths(report: Report) -> list[str]:
    """Names of the truths beyond the first, which is the one called truth."""
    names = [name for key in POLICIES for name in _policy(report, key).get("truths") or {}]
    return list(dict.fromkeys(names))[1:]


def _loose(value: Any) -> str:
    """A value of which nothing is known but that it came from JSON."""
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", "−")
    return MISSING if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _worst_first(samples: list[Report]) -> list[Report]:
    """By how much more the proxy likes the policy's answer than the truth does; those without scores last."""

    def gap(sample: Report) -> float:
        answer = (sample.get("answers") or {}).get("policy") or {}
        proxy, truth = answer.get("proxy"), answer.get("truth")
        return -math.inf if proxy is None or truth is None else float(proxy - truth)

    return sorted(samples, key=gap, reverse=True)


def _change(name: str, policy: Report, sft: Report) -> str:
    """`truth rose by 1.20 SD`; a change inside its own 95 % interval is called that."""
    key = name.split()[-1]
    if (now := policy.get(key)) is None:
        return ""
    delta = now - (sft.get(key) or 0.0)  # the unit's zero is the SFT policy
    # As if the two were independent: they share prompts, so the interval is rather too wide than too narrow.
    noise = NINETY_FIVE * math.hypot(policy.get(f"{key}_se") or 0.0, sft.get(f"{key}_se") or 0.0)
    if abs(delta) <= noise:
        return f"{name} did not change measurably ({signed(delta)} ±{SPACE}{noise:.2f}{SPACE}SD)"
    return f"{name} {'rose' if delta > 0 else 'fell'} by {abs(delta):.2f}{SPACE}SD"


def verifier_line(report: Report) -> str:
    """How many answers a verifier of 0 and 1 passes, SFT's and the policy's; nothing for other proxies."""
    if (report.get("reward") or {}).get("kind") != "verifier":
        return ""
    sft, policy = (_policy(report, key).get("proxy_raw") for key in ("sft", "policy"))
    if sft is None or policy is None or not (0 <= sft <= 1 and 0 <= policy <= 1):
        return ""
    return f"The verifier’s score is {percent(max(sft, 0.0))} on average for SFT’s answers, {percent(policy)} for the policy’s."


def ceiling_line(report: Report) -> str:
    """What agreement between annotators allows at best: with p the chance of one's choice on a pair, two agree in
    E[p² + (1 − p)²] and the best guess is right in E[max(p, 1 − p)], which lies between A and (1 + √(2A − 1)) / 2."""
    sources = (report.get("reward_model") or {}, report.get("annotators") or {})
    if (agreement := next((s["agreement"] for s in sources if s.get("agreement") is not None), None)) is None:
        return ""
    text = f"Two annotators agree on {percent(agreement)} of comparisons"
    if not 0.5 <= agreement <= 1:  # then they are not independent draws, and nothing follows
        return text + "."
    bounds = f"{percent(agreement)} and {percent((1 + math.sqrt(2 * agreement - 1)) / 2)}"
    return f"{text}, so the best accuracy that any reward model can have on them lies between {bounds}."


def _total(report: Report) -> float | None:
    spent = [s for s in (report.get("seconds") or {}).values() if s is not None]
    return sum(spent) if spent else None


def _policy(report: Report, key: str) -> Report:
    return (report.get("policies") or {}).get(key) or {}


def _clean(value: Any) -> Any:
    """NaN becomes a missing number; control characters, which a terminal obeys, and half surrogates become visible."""
    if isinstance(value, dict):
        return {_clean(key): _clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        visible = re.sub(r"[\x00-\x08\x0b-\x1f]", lambda m: chr(0x2400 + ord(m[0])), value.replace("\r\n", "\n"))
        return re.sub(r"[\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", visible)
    return value


def _or_missing(show: Show) -> Show:
    """In a template, what is not in the report is undefined; it is shown as a number that is None is."""
    return lambda *given: show(*(None if isinstance(value, Undefined) else value for value in given))


@cache
def _template() -> Template:
    here = FileSystemLoader(Path(__file__).parent)
    door = Environment(loader=here, autoescape=True, undefined=ChainableUndefined, trim_blocks=True)
    door.filters |= {f.__name__: _or_missing(f) for f in (signed, plain, percent, within, count, duration)}
    door.globals["between"] = _or_missing(between)
    door.filters |= {"loose": _loose, "of": lambda key, policies, name: policies[key].get(name)}
    return door.get_template("report.html.jinja")
