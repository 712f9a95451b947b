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

from trueward.instruments import anchor, charts, judge_words, people_words, prescription, reward_page, spoken
from trueward.instruments.charts import NINETY_FIVE, Series, line_chart
from trueward.instruments.noise import flips, label_ceiling, undo_noise
from trueward.instruments.order_statistics import promised_truth
from trueward.instruments.printed import (
    SPACE,
    between,
    count,
    duration,
    percent,
    plain,
    share_within,
    signed,
    span,
    within,
)

Report = dict[str, Any]
Show = Callable[..., str]
POLICIES = {"base": "base", "sft": "SFT", "policy": "policy", "best": "best"}
PAIR: tuple[tuple[str, Literal["truth", "proxy"]], ...] = (("truth", "truth"), ("proxy", "proxy"))


def page(report: Report) -> str:
    """One HTML page that needs no network and runs no scripts; every text in the report is shown as text."""
    report = clean(report)
    verdict = report.get("verdict") or {}
    return template("report.html.jinja").render(
        report=report,
        headline=headline(report),
        meaning=spoken.MEANING.get(str(verdict.get("word")), ""),
        look=spoken.LOOK.get(str(verdict.get("word")), "unsure"),
        facts=spoken.facts(verdict.get("numbers") or {}),
        stopped=stopped_line(report),
        names=POLICIES,
        other_truths=_other_truths(report),
        plots=_plots(report),
        anchor=anchor.plots(_history(report), report.get("best_step")),
        length_line=anchor.length_line(_policy(report, "policy"), _policy(report, "sft")),
        hacked=hacked_line(report),
        doctor=prescription.first(report.get("doctor")),
        reward=reward_page.plots(report.get("reward_model") or {}),
        reward_sentences=reward_page.sentences(report.get("reward_model") or {}),
        history=_history(report),
        policies=[(key, name) for key, name in POLICIES.items() if _policy(report, key)],
        samples=_worst_first(report.get("samples") or []),
        ceiling=ceiling_line(report),
        optimiser=optimiser_line(report),
        untrained=_untrained(report),
        by_n=_by_n(report),
        passes=verifier_line(report),
        judged=judge_words.sentences(report),
        people=people_words.sentences(report.get("people") or {}),
        recipe=recipe_text(report.get("recipe") or {}),
        total=_total(report),
        chart_style=Markup(charts.STYLE),  # noqa: S704 (our own constant)
    )


def table(report: Report) -> Table:
    """A row for each policy, no wider than 100 columns."""
    report = clean(report)
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
    report = clean(report)
    verdict = report.get("verdict")
    lines = [spoken.sentence(verdict)[:1].upper() + spoken.sentence(verdict)[1:]] if verdict else []
    if report.get("stopped"):
        lines.append(stopped_line(report))
    lines += [text for text in (headline(report), hacked_line(report)) if text]
    if ill := prescription.first(report.get("doctor")):
        lines.append(f"{ill} `trueward doctor RUN` says more.")
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
    if said := optimiser_line(report):
        lines.append(said)
    if model.get("warning"):
        lines.append(model["warning"])
    if (report.get("annotators") or {}).get("simulated"):
        lines.append("The annotators are simulated: programs chose between the answers, no person did.")
    lines += judge_words.sentences(report)
    lines += people_words.sentences(report.get("people") or {})
    if (total := _total(report)) is not None:
        lines.append(f"It took {duration(total)} in all.")
    if (memory := report.get("peak_memory_mb")) is not None:
        lines[-1] += f" At its peak it held {count(memory)} MB of memory."
    return [line.replace(SPACE, " ") for line in lines]


def reward_summary(report: Report) -> list[str]:
    """The same of a reward model alone: its accuracy, and what its other figures say."""
    model = clean(report).get("reward_model") or {}
    _, *lines = summary(report)
    return [line.replace(SPACE, " ") for line in [*lines, *reward_page.sentences(model)]]


def headline(report: Report) -> str:
    """What the numbers say, in one or two plain sentences."""
    report = clean(report)
    policy, sft, best = (_policy(report, key) for key in ("policy", "sft", "best"))
    model = report.get("reward_model") or {}
    if not report.get("policies") and model.get("accuracy") is not None:
        return f"The reward model is right in {percent(model['accuracy'], 1)} of comparisons that it was not fitted to."
    if not policy:
        return "No tuned policy has been measured yet."
    optimiser = report.get("optimiser") or {}
    said = [_change("truth", policy, sft), _change("the proxy", policy, sft)]
    text = " and ".join(part for part in said if part) or "neither truth nor proxy was measured"
    untrained = _untrained(report)
    if policy.get("kl") is not None:
        text += f", at a KL of {'at most ' if untrained else ''}{plain(policy['kl'], 1)}{SPACE}nats"
    if policy.get("win_rate") is not None:
        text += f"; {percent(policy['win_rate'])} of its answers are preferred to SFT’s"
    text = text[0].upper() + text[1:] + "."
    if untrained:
        text = (
            f"Nothing was trained: the SFT policy answered each prompt {count(optimiser.get('n'))} times, and the "
            f"reward model’s favourite was kept. {text}"
        )
    step, peak, last = report.get("best_step"), best.get("truth"), policy.get("truth")
    if step is not None and peak is not None and last is not None and peak > last:
        text += f" Truth was higher at step {step}: {signed(peak)}{SPACE}SD, against {signed(last)} at the end."
    return text


def hacked_line(report: Report) -> str:
    """The first thing that the proxy pays for and the truth does not like, with its numbers; nothing if there is none."""
    row = next((r for r in report.get("moved") or [] if r.get("hacked")), None)
    if row is None:
        return ""
    return (
        f"A hack: the answer {row.get('feature')}: {percent(row.get('before'))} → {percent(row.get('after'))}, "
        f"proxy {signed(row.get('proxy'))}, truth {signed(row.get('truth'))}."
    )


def stopped_line(report: Report) -> str:
    """Why training ended before its last step, if it did."""
    if not report.get("stopped"):
        return ""
    rows, planned = _history(report), ((report.get("recipe") or {}).get("policy") or {}).get("steps")
    at = f" at step {rows[-1]['step']}" + (f" of {planned}" if planned else "") if rows else ""
    return f"Training stopped{at}, as evaluation.stop_when asks: {report['stopped']}."


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


def _plots(report: Report) -> dict[str, list[Markup]]:
    """The plots' SVG by name: one for every width, or a wide one and one for phones."""
    history, above = _history(report), "SDs above the SFT policy"
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

    def by_n(rows: list[Report]) -> list[Markup]:
        places = [math.log2(row["n"]) for row in rows]
        lines = [Series(name, [row.get(name) for row in rows], [row.get(f"{name}_se") for row in rows], look)
                 for name, look in PAIR]  # fmt: skip
        named = {place: count(row["n"]) for place, row in zip(places, rows, strict=True)}
        return [Markup(line_chart(  # noqa: S704
                "Proxy and truth by answers to choose from", "answers to choose from", above, lines, x=places,
                x_names=named, width=width, height=height,
            ))
            for width, height in ((880, 340), (400, 310))] if len(rows) > 1 else []  # fmt: skip

    both = series("truth", "truth"), series("proxy", "proxy", "proxy")
    by_step = "training step"
    return {
        "by_n": by_n(_by_n(report)),
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
    if policy.get(f"{key}_gain") is not None:  # prompt by prompt, against fresh answers: what the verdict goes by
        delta, noise = policy[f"{key}_gain"], NINETY_FIVE * (policy.get(f"{key}_gain_se") or 0.0)
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
    low, high = label_ceiling(agreement)
    bounds = f"{percent(low)} and {percent(high)}"
    return f"{text}, so the best accuracy that any reward model can have on them lies between {bounds}."


def optimiser_line(report: Report) -> str:
    """What the optimiser says of itself, in a sentence: DPO's accuracy without a reward model, best-of-n's distance."""
    report = clean(report)
    optimiser = report.get("optimiser") or {}
    if (accuracy := optimiser.get("held_out_accuracy")) is not None:
        return (
            f"DPO’s own reward, how much likelier it makes an answer than SFT does, picks the annotator’s choice in "
            f"{percent(accuracy, 1)} of the same held-out comparisons."
        )
    if (bound := optimiser.get("kl_bound")) is not None:
        return (
            f"Keeping the best of {count(optimiser.get('n'))} answers moves at most {plain(bound)}{SPACE}nats from SFT, "
            "whatever the reward model is like."
        )
    return ""


def _untrained(report: Report) -> bool:
    return (report.get("optimiser") or {}).get("kind") == "best_of_n"


def _by_n(report: Report) -> list[Report]:
    """The rows of best of n, each with the truth that the reward model's accuracy promises, as far as it is known.

    The accuracy is that on noisy choices: their noise is undone as if every choice were equally likely to be flipped.
    """
    model = report.get("reward_model") or {}
    accuracy, agreement = model.get("accuracy"), model.get("agreement")
    rows: list[Report] = [row for row in report.get("best_of_n") or [] if row.get("n") is not None]
    if accuracy is None or agreement is None or not 0.5 < agreement <= 1:
        return rows
    noiseless = undo_noise(accuracy, flips(agreement))
    return [{**row, "promised": promised_truth(noiseless, int(row["n"]))} for row in rows]


def _total(report: Report) -> float | None:
    spent = [s for s in (report.get("seconds") or {}).values() if s is not None]
    return sum(spent) if spent else None


def _policy(report: Report, key: str) -> Report:
    return (report.get("policies") or {}).get(key) or {}


def clean(value: Any) -> Any:
    """A report as it can be shown: NaN becomes a missing number; control characters, which a terminal obeys, and half
    surrogates become visible."""
    if isinstance(value, dict):
        return {clean(key): clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [clean(inner) for inner in value]
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
def template(name: str) -> Template:
    """A page's template, with the ways to write numbers as its filters."""
    here = FileSystemLoader(Path(__file__).parent)
    door = Environment(loader=here, autoescape=True, undefined=ChainableUndefined, trim_blocks=True)
    door.filters |= {
        f.__name__: _or_missing(f) for f in (signed, plain, percent, within, count, duration, share_within)
    }
    door.filters["perplexity"] = lambda nll: None if isinstance(nll, Undefined) else anchor.perplexity(nll)
    door.globals |= {"between": _or_missing(between), "span": _or_missing(span)}
    door.filters |= {"of": lambda key, policies, name: policies[key].get(name)}
    return door.get_template(name)
