"""Charts against the KL of what the anchor protects: fluency, and answers that the reward model was fitted on. And a sentence
about length.
"""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup

from trueward.evaluation.statistics import NINETY_FIVE
from trueward.reporting.chart_series import Series
from trueward.reporting.charts import line_chart

Report = dict[str, Any]
SPACE = "\u00a0"
AT_HOME = 1.0  # % of the SFT policy's own answers that count as outliers


def perplexity(nll: float | None) -> float | None:
    """exp of the nats a token: the number of equally likely tokens with the same loss."""
    return None if nll is None or nll > 100 else math.exp(nll)


def rows(history: list[Report]) -> list[Report]:
    """The evaluations in training with their perplexities and their outliers in %, in order."""
    readable = [{**row, "sft_perplexity": perplexity(row.get("sft_nll"))} for row in history]
    far = [row.get("outlier_share") for row in history]
    return [
        {**row, "outliers": None if share is None else 100 * share} for row, share in zip(readable, far, strict=True)
    ]


def plots(history: list[Report], best_step: int | None) -> dict[str, list[Markup]]:
    """SVG by name, points in the order of their KL; a quantity that was never measured is left out."""
    evaluations = sorted((row for row in rows(history) if row.get("kl") is not None), key=lambda row: float(row["kl"]))
    x = [row.get("kl") for row in evaluations]
    best = next((i for i, row in enumerate(evaluations) if row.get("step") == best_step), None)

    def plot(title: str, y_label: str, key: str, expected: float | None = None, percent: bool = False) -> list[Markup]:
        values = [row.get(key) for row in evaluations]
        if not any(v is not None for v in values):
            return []
        lines = [Series(key.replace("_", " ") if expected is None else "policy", values)]
        if expected is not None:
            lines.append(Series("usual", [expected for _ in evaluations], kind="proxy"))
        drawn = line_chart(title, "KL to the SFT policy, nats", y_label, lines, x=x, best=best,
                           best_label=f"best: step {best_step}", percent=percent, width=400, height=290)  # fmt: skip
        return [Markup(drawn)]  # noqa: S704 (it escapes what it is given)

    return {
        "perplexity": plot("Perplexity under SFT by distance", "perplexity under the SFT policy", "sft_perplexity"),
        "distinct": plot("Different word pairs by distance", "of all word pairs", "distinct_2", percent=True),
        "outliers": plot("Answers far from home by distance", "% of all answers", "outliers", AT_HOME),
        "correlation": plot("Proxy with truth by distance", "correlation", "proxy_truth_correlation"),
    }


def length_line(policy: Report, sft: Report) -> str:
    """The proxy's and the truth's gain between answers of the same length, in a sentence; empty if not measured."""
    if policy.get("proxy_at_length") is None or policy.get("proxy") is None:
        return ""
    whole = policy["proxy"] - (sft.get("proxy") or 0.0)
    text = f"The proxy gained {_signed(whole)}{SPACE}SD; "
    text += f"between answers that are equally long it is {_equal_length(policy, 'proxy')}"
    if policy.get("truth_at_length") is not None and policy.get("truth") is not None:
        gained = policy["truth"] - (sft.get("truth") or 0.0)
        text += f". The truth gained {_signed(gained)}{SPACE}SD; between those it is {_equal_length(policy, 'truth')}"
    if policy.get("length_matched") is not None:
        text += (
            f" ({100 * policy['length_matched']:.0f}{SPACE}% of the policy’s answers have SFT’s of about their length)"
        )
    error = policy.get("proxy_at_length_se") or 0.0
    bought = whole > 0.2 and policy["proxy_at_length"] - NINETY_FIVE * error <= 0
    return f"{text}. The reward was bought with length." if bought else f"{text}."


def _equal_length(policy: Report, key: str) -> str:
    error = policy.get(f"{key}_at_length_se")
    within = "" if error is None else f" ±{SPACE}{NINETY_FIVE * error:.2f}"
    return f"{_signed(policy[f'{key}_at_length'])}{within}"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
