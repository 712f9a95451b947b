"""The reward model's section of the report: its charts, and its figures in sentences.

The table may be of an older version or of a ready model: missing figures are left out.
"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from trueward.evaluation.statistics import NINETY_FIVE
from trueward.reporting import cross_check_text, start_text
from trueward.reporting.chart_series import Series
from trueward.reporting.charts import line_chart

Table = dict[str, Any]
SPACE = "\u00a0"


def plots(model: Table) -> dict[str, list[Markup]]:
    """SVG by name; a plot without points is left out."""
    bins = model.get("reliability") or []
    by = {name: [g for g in model.get("groups") or [] if g.get("by") == name] for name in ("margin", "length")}
    curve = model.get("learning_curve") or []
    return {
        "reliability": _plot(
            "Is it as sure as it should be?", "how sure it was, %", "it was right",
            [_percent(b.get("confidence")) for b in bins],
            Series("was right", [b.get("won") for b in bins], [b.get("won_se") for b in bins]),
            Series("ideal", [b.get("confidence") for b in bins], kind="proxy"),
        ),
        "margin": _accuracies("Accuracy by margin", "difference of the two rewards", by["margin"]),
        "length": _accuracies("Accuracy by length", "words by which the better one was longer", by["length"]),
        "curve": _plot(
            "Would more comparisons help?", "comparisons it was fitted to", "held-out accuracy",
            [row.get("comparisons") for row in curve],
            Series("accuracy", [row.get("accuracy") for row in curve],
                   [_error(row.get("accuracy_low"), row.get("accuracy_high")) for row in curve]),
            Series("a coin", [0.5 for _ in curve], kind="proxy"),
        ),
    }  # fmt: skip


def _accuracies(title: str, x_label: str, groups: list[Table]) -> list[Markup]:
    return _plot(
        title, x_label, "held-out accuracy", [g.get("at") for g in groups],
        Series("accuracy", [g.get("accuracy") for g in groups], [_error(g.get("low"), g.get("high")) for g in groups]),
        Series("a coin", [0.5 for _ in groups], kind="proxy"),
    )  # fmt: skip


def _plot(title: str, x_label: str, y_label: str, x: list[float | None], *lines: Series) -> list[Markup]:
    if len([v for v in lines[0].values if v is not None]) < 2:
        return []
    drawn = line_chart(title, x_label, y_label, lines, x=x, percent=True, width=400, height=300)
    return [Markup(drawn)]  # noqa: S704 (it escapes what it is given)


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _error(low: float | None, high: float | None) -> float | None:
    return None if low is None or high is None else (high - low) / (2 * NINETY_FIVE)


def sentences(model: Table) -> list[str]:
    """The figures explained in sentences, a paragraph each."""
    made = (
        start_text.of_model(model),
        cross_check_text.of_model(model),
        _ceiling(model),
        _sureness(model),
        _floor(model),
        _memory(model),
        _length(model),
        _curve(model),
        _gain(model),
    )
    return [text for text in made if text]


def _ceiling(model: Table) -> str:
    best, true = model.get("best_accuracy"), model.get("true_accuracy")
    if best is None or true is None:
        return ""
    return (
        f"A program chose here, so what people’s choices would hide is known. A perfect reward model would be right in "
        f"{_share(best)} of these comparisons; the rest is the annotators’ own noise. Against their utility without that "
        f"noise this one is right in {_share(true)}."
    )


def _sureness(model: Table) -> str:
    slope, low, high = (model.get(key) for key in ("slope", "slope_low", "slope_high"))
    error, floor, most = (model.get(key) for key in ("ece", "ece_floor", "ece_floor_high"))
    if slope is None or low is None or high is None:
        return ""
    verdict = (
        "it is too sure of itself"
        if high < 1
        else "it is less sure than it could be"
        if low > 1
        else "it is about as sure as it should be, as far as these comparisons can tell"
    )
    text = f"Its slope is {slope:.2f} (95{SPACE}%: {_signed(low)} to {_signed(high)}), where 1 is right: {verdict}."
    if error is None or floor is None or most is None:
        return text
    judged = (
        "no more than chance makes of a perfect one" if error <= most else "more than chance makes of a perfect one"
    )
    return (
        f"{text} What it says of its chances is off by {_share(error)} on average (its calibration error); with so few "
        f"comparisons a perfectly calibrated model would show {_share(floor)}, and up to {_share(most)} in 19 of 20 cases, "
        f"so this is {judged}."
    )


def _floor(model: Table) -> str:
    nll, floor = model.get("nll"), model.get("nll_floor")
    if nll is None or floor is None:
        return ""
    return f"Its loss is {nll:.3f}. A coin has 0.693, and nothing can get below {floor:.3f} with annotators this noisy."


def _memory(model: Table) -> str:
    nll, train = model.get("nll"), model.get("train_nll")
    if nll is None or train is None:
        return ""
    gap = nll - train
    if gap > 0.1:
        judged = "a wide gap: it learned comparisons by heart; fewer epochs or more comparisons would help"
    elif gap > 0.03:
        judged = "a small gap: a little was learned by heart"
    else:
        judged = "hardly a gap: it did not learn them by heart"
    return f"On comparisons that it was fitted to its loss is {train:.3f}, on others {nll:.3f}: {judged}."


def _length(model: Table) -> str:
    alone, low, accuracy = (model.get(key) for key in ("length_accuracy", "length_accuracy_low", "accuracy"))
    if alone is None or low is None or accuracy is None:
        return ""
    which = model.get("length_prefers") or "longer"
    text = f"The rule “the {which} one is better”, which reads nothing, is right in {_share(alone)}"
    if alone >= accuracy:
        return f"{text}: the reward model knows no more than that."
    if low > 0.5:
        return f"{text}: length is part of what annotators like here, and a policy may find that out."
    return f"{text}: length alone says little here."


def _curve(model: Table) -> str:
    curve = [row for row in model.get("learning_curve") or [] if row.get("accuracy") is not None]
    if len(curve) < 2:
        return ""
    half, whole = curve[-2], curve[-1]
    gained = whole["accuracy"] - half["accuracy"]
    text = f"With half of the comparisons it was right in {_share(half['accuracy'])}, with all in {_share(whole['accuracy'])}"
    if gained > 0.02:
        return f"{text}: still rising, so more comparisons would help."
    return f"{text}: more of the same would bring little."


def _gain(model: Table) -> str:
    promised = {row.get("n"): row for row in model.get("promised") or []}
    two, many = promised.get(2) or {}, promised.get(16) or {}
    if two.get("gain") is None:
        return ""
    text = (
        f"Such an accuracy promises that picking the better of two answers by it gains {_signed(two['gain'])}{SPACE}SD of "
        f"truth ({_signed(two.get('low') or 0.0)} to {_signed(two.get('high') or 0.0)})"
    )
    if many.get("gain") is not None:
        text += f", and picking the best of 16 gains {_signed(many['gain'])}{SPACE}SD"
    gain, error, prompts = (model.get(key) for key in ("gain", "gain_se", "gain_prompts"))
    if gain is None or error is None or prompts is None:
        return text + "."
    return (
        f"{text}. Measured on two answers to each of {prompts:,} prompts that it wasn’t fitted to: "
        f"{_signed(gain)} ±{SPACE}{NINETY_FIVE * error:.2f}{SPACE}SD."
    )


def _share(value: float) -> str:
    return f"{100 * value:.1f}{SPACE}%"


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
