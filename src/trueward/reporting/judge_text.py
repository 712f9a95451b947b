"""The judge of a report in sentences: how much it judged and how far it agrees with others."""

from __future__ import annotations

from typing import Any

from trueward.evaluation.statistics import NINETY_FIVE

Row = dict[str, Any]


def of(report: Row) -> Row:
    """The figures of the judge that labelled the comparisons or is the proxy itself; empty without one."""
    labels = (report.get("annotators") or {}).get("judge")
    proxy = (report.get("reward") or {}).get("judge")
    return labels or proxy or {}


def sentences(report: Row) -> list[str]:
    """Which model judged and how reliable it is; empty without a judge."""
    judge = of(report)
    if not judge:
        return []
    labels = bool((report.get("annotators") or {}).get("judge"))
    compares = labels or (report.get("reward") or {}).get("judge", {}).get("flipped") is not None
    what = "pairs were compared" if compares else "of SFT’s answers were rated"
    by = "a written principle" if judge.get("principles") == 1 else f"{judge.get('principles')} written principles"
    lines = [
        f"The labels are an AI’s, no person’s: {judge.get('requests', 0):,} {what} by {judge.get('model')}, by {by}."
    ]
    if (share := judge.get("agreement")) is not None:
        interval = f"95 %: {_percent(judge['agreement_low'])}–{_percent(judge['agreement_high'])} %"
        lines.append(
            f"It picks the same answer as {judge.get('agreement_with')} in {_percent(share)} % of "
            f"{judge.get('agreement_pairs', 0):,} pairs ({interval}); a coin would in 50 %."
        )
    else:
        lines.append("Nothing was there that it could be held against.")
    if (bias := judge.get("position_bias")) is not None:
        error = "" if judge.get("position_bias_se") is None else f" ± {NINETY_FIVE * judge['position_bias_se']:.2f}"
        lines.append(
            f"It likes the answer shown first by {bias:+.2f}{error} logits, which asking in both orders takes out; the order "
            f"alone decides {_percent(judge.get('flipped') or 0.0)} % of the pairs.".replace("-", "−")
        )
    if judge.get("failed"):
        lines.append(f"{judge['failed']:,} were left without a judgement, the first for: {judge.get('failure')}.")
    if judge.get("cost"):
        lines.append(f"Its answers cost {judge['cost']:.4f}.")
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
