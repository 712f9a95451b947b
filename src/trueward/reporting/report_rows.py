"""Rows of report.json for a page or table: policies, history, samples, best of n. Empty where they are missing."""

from __future__ import annotations

import math
from typing import Any

from trueward.evaluation.order_statistics import promised_truth

Report = dict[str, Any]
POLICIES = {"base": "base", "sft": "SFT", "policy": "policy", "best": "best"}


def policy(report: Report, key: str) -> Report:
    """A policy's row of the final evaluation: `base`, `sft`, `policy` or `best`; empty if it wasn't measured."""
    return (report.get("policies") or {}).get(key) or {}


def history(report: Report) -> list[Report]:
    """The evaluations in training, each with √KL; 0 for a KL estimate below zero."""
    rows = [row for row in report.get("history") or [] if row.get("step") is not None]
    return [{**row, "root": None if row.get("kl") is None else math.sqrt(max(row["kl"], 0.0))} for row in rows]


def other_truths(report: Report) -> list[str]:
    """Names of the truths beyond the first."""
    names = [name for key in POLICIES for name in policy(report, key).get("truths") or {}]
    return list(dict.fromkeys(names))[1:]


def worst_first(samples: list[Report]) -> list[Report]:
    """Samples by the proxy's score of the policy's answer minus the truth's, largest first; those without scores last."""

    def gap(sample: Report) -> float:
        answer = (sample.get("answers") or {}).get("policy") or {}
        proxy, truth = answer.get("proxy"), answer.get("truth")
        return -math.inf if proxy is None or truth is None else float(proxy - truth)

    return sorted(samples, key=gap, reverse=True)


def is_best_of_n(report: Report) -> bool:
    """Whether the optimiser was best-of-n, which trains nothing."""
    return (report.get("optimiser") or {}).get("kind") == "best_of_n"


def best_of_n(report: Report) -> list[Report]:
    """The rows of best of n, each with the truth that the reward model's accuracy without noise predicts, if it is known.

    For the numbers that the reward model's own page prints, they are those.
    """
    model = report.get("reward_model") or {}
    accuracy = model.get("clean_accuracy")
    known = {row["n"]: row["gain"] for row in model.get("promised") or []}
    rows: list[Report] = [row for row in report.get("best_of_n") or [] if row.get("n") is not None]
    if accuracy is None:
        return rows
    return [{**row, "promised": known.get(row["n"], promised_truth(accuracy, int(row["n"])))} for row in rows]


def total_seconds(report: Report) -> float | None:
    """Seconds of all stages; None if none is known."""
    spent = [s for s in (report.get("seconds") or {}).values() if s is not None]
    return sum(spent) if spent else None
