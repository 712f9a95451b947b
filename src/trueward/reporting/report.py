"""A run's report.json as one self-contained HTML page, as a table for the terminal, and as sentences below that.

Only what the report holds is printed: a missing number is a dash, a missing part is left out.
"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from rich import box
from rich.table import Table
from rich.text import Text

from trueward.evaluation.printable import printable
from trueward.reporting import (
    anchor,
    criteria_map,
    cross_check_text,
    doctor_text,
    guards_panel,
    judge_panel_text,
    judge_text,
    people_text,
    report_charts,
    report_rows,
    report_text,
    reward_page,
    verdict_text,
)
from trueward.reporting.chart_style import STYLE, TONE_STYLE
from trueward.reporting.formatting import SPACE, between, count, duration, percent, plain, signed, within
from trueward.reporting.report_rows import POLICIES
from trueward.reporting.template import template

Report = dict[str, Any]


def page(report: Report) -> str:
    """An HTML page that needs no network and runs no scripts; all text from the report is escaped."""
    report = printable(report)
    verdict = report.get("verdict") or {}
    return template("report.html.jinja").render(
        report=report,
        headline=report_text.headline(report),
        meaning=verdict_text.MEANING.get(str(verdict.get("word")), ""),
        tone=verdict_text.TONE.get(str(verdict.get("word")), "unsure"),
        facts=verdict_text.facts(verdict.get("numbers") or {}),
        stopped=report_text.stopped_line(report),
        names=POLICIES,
        other_truths=report_rows.other_truths(report),
        plots=report_charts.plots(report),
        anchor=anchor.plots(report_rows.history(report), report.get("best_step")),
        length_line=anchor.length_line(report_rows.policy(report, "policy"), report_rows.policy(report, "sft")),
        hacked=report_text.hacked_line(report),
        second=cross_check_text.sentences(report),
        doctor=doctor_text.first(report.get("doctor")),
        reward=reward_page.plots(report.get("reward_model") or {}),
        reward_sentences=reward_page.sentences(report.get("reward_model") or {}),
        history=report_rows.history(report),
        policies=[(key, name) for key, name in POLICIES.items() if report_rows.policy(report, key)],
        samples=report_rows.worst_first(report.get("samples") or []),
        ceiling=report_text.ceiling_line(report),
        optimiser=report_text.optimiser_line(report),
        untrained=report_rows.is_best_of_n(report),
        prompts=report_text.prompts_line(report),
        by_n=report_rows.best_of_n(report),
        passes=report_text.verifier_line(report),
        judged=judge_text.sentences(report),
        judges=judge_panel_text.rows(report),
        panel=[*judge_panel_text.sentences(report), *criteria_map.sentences(report)],
        criteria=criteria_map.maps(report),
        shade=criteria_map.shade,
        guards=guards_panel.panel(report),
        guard_sentences=guards_panel.sentences(report),
        people=people_text.sentences(report.get("people") or {}),
        recipe=report_text.recipe_text(report.get("recipe") or {}),
        total=report_rows.total_seconds(report),
        chart_style=Markup(STYLE + TONE_STYLE),  # noqa: S704 (our own constant)
    )


def table(report: Report) -> Table:
    """A row for each policy, at most 100 columns wide."""
    report = printable(report)
    title = Text(f"{report.get('name') or 'run'}: measured on {report_text.prompts_line(report)}", style="bold")
    caption = "proxy, truth: SDs above SFT’s mean; KL: nats; length: tokens; ± and ranges: 95 %"
    out = Table(box=box.SIMPLE_HEAD, title=title, caption=caption, title_justify="left", caption_justify="left")
    out.add_column("")
    for name in ("proxy", "truth", "win rate\nagainst SFT", "KL", "length", "ended", "distinct-1"):
        out.add_column(name, justify="right", no_wrap=True)
    for key, name in POLICIES.items():
        if row := report_rows.policy(report, key):
            cells = [
                f"{signed(row.get('proxy'))} {within(row.get('proxy_se'))}",
                f"{signed(row.get('truth'))} {within(row.get('truth_se'))}",
                f"{percent(row.get('win_rate'))} {between(row.get('win_rate_low'), row.get('win_rate_high'))}",
                plain(row.get("kl"), 1),
                plain(row.get("length"), 1),
                percent(row.get("eos_rate")),
                plain(row.get("distinct_1"), 2),
            ]
            out.add_row(Text(name), *(Text(cell.replace(SPACE, " ").strip()) for cell in cells))
    return out


def summary(report: Report, verbose: bool = False) -> list[str]:
    """The lines below the table: what happened, how good the reward model is, who judged, time and memory.

    verbose: with the verdict's test statistics after its sentence.
    """
    report = printable(report)
    verdict = report.get("verdict")
    lines = [verdict_text.sentence(verdict)[:1].upper() + verdict_text.sentence(verdict)[1:]] if verdict else []
    if verbose and verdict and (numbers := verdict_text.statistics(verdict)):
        lines.append(numbers)
    if report.get("stopped"):
        lines.append(report_text.stopped_line(report))
    lines += [text for text in (report_text.headline(report), report_text.hacked_line(report)) if text]
    lines += cross_check_text.sentences(report)
    if alarm := cross_check_text.alarm(report):
        lines.append(alarm)
    if finding := doctor_text.first(report.get("doctor")):
        lines.append(f"{finding} `trueward doctor RUN` says more.")
    model = report.get("reward_model") or {}
    if model.get("accuracy") is not None:
        interval = between(model.get("accuracy_low"), model.get("accuracy_high"), 1)
        text = (
            f"The reward model picks the annotator’s choice in {percent(model['accuracy'], 1)} of held-out comparisons"
        )
        lines.append(f"{text} (95{SPACE}%: {interval})." if interval else f"{text}.")
    if passes := report_text.verifier_line(report):
        lines.append(passes)
    if ceiling := report_text.ceiling_line(report):
        lines.append(ceiling)
    if optimiser := report_text.optimiser_line(report):
        lines.append(optimiser)
    if model.get("warning"):
        lines.append(model["warning"])
    if (report.get("annotators") or {}).get("simulated"):
        lines.append("The annotators are simulated: programs chose between the answers, no person did.")
    lines += judge_text.sentences(report)
    lines += judge_panel_text.sentences(report) + criteria_map.sentences(report)
    lines += guards_panel.sentences(report)
    lines += people_text.sentences(report.get("people") or {})
    if (total := report_rows.total_seconds(report)) is not None:
        lines.append(f"It took {duration(total)} in all.")
    if (memory := report.get("peak_memory_mb")) is not None:
        lines[-1] += f" At its peak it held {count(memory)} MB of memory."
    return [line.replace(SPACE, " ") for line in lines]


def reward_summary(report: Report) -> list[str]:
    """The same for a reward model alone: its accuracy, and its other figures in sentences."""
    model = printable(report).get("reward_model") or {}
    _, *lines = summary(report)
    return [line.replace(SPACE, " ") for line in [*lines, *reward_page.sentences(model)]]
