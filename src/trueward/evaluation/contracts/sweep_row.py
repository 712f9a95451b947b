"""One run of a sweep: a row of `runs` in sweep.json."""

from __future__ import annotations

from typing import Any

from trueward.evaluation.contracts.contract import Contract, Figure
from trueward.evaluation.verdict import Word


class SweepEvaluation(Contract):
    """An evaluation in training, cut down to what a sweep's charts draw."""

    step: int
    """Steps done."""
    proxy: Figure
    """Mean score of the proxy, SDs."""
    truth: Figure
    """Mean of the first truth, SDs."""
    kl: Figure
    """Mean KL to the SFT policy, nats."""


class SweepRow(Contract):
    """A finished run. Figures without a word on whose are those of the last policy's answers to held-out prompts."""

    value: Any
    """The value of the swept setting, as in the recipe."""
    seed: int
    """The run's seed."""
    run: str
    """The run's directory, under the sweep's."""
    proxy: Figure
    """Mean score of the proxy, SDs."""
    proxy_se: Figure
    """Its standard error over prompts."""
    truth: Figure
    """Mean of the first truth, SDs; null without truths."""
    truth_se: Figure
    """Its standard error over prompts."""
    win_rate: Figure
    """Share of SFT's answers won against by the truth, ties half."""
    kl: Figure
    """Mean KL of whole answers to the SFT policy, nats."""
    length: Figure
    """Mean tokens of an answer."""
    eos_rate: Figure
    """Share of answers that ended by themselves."""
    distinct_1: Figure
    """Distinct words / words."""
    best_truth: Figure
    """Truth of the best checkpoint in the final evaluation, SDs; null if there is none."""
    best_step: int | None
    """The step of the highest truth in training; null without truths or without training."""
    sft_truth: Figure
    """Truth of the SFT policy in the final evaluation, SDs."""
    verdict: Word | None
    """The run's verdict in one word."""
    history: list[SweepEvaluation]
    """The evaluations in training."""


class FailedSweepRow(Contract):
    """A run that ended with an error."""

    value: Any
    """The value of the swept setting, as in the recipe."""
    seed: int
    """The run's seed."""
    run: str
    """The run's directory, under the sweep's."""
    error: str
    """What went wrong, in one line."""
