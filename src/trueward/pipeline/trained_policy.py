"""The result of the stage `policy`: the last policy, the best one, and their metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from trueward.artifacts import Artifact
from trueward.evaluation.verdict_monitor import first_ratio
from trueward.models import loading
from trueward.models.network import Network
from trueward.pipeline.relabel import LOG, refitted_proxy
from trueward.scorers.ensemble import Proxy
from trueward.training.env import Env
from trueward.training.journal import BEST, EVALUATIONS, METRICS, Journal, read_log

Row = dict[str, Any]


@dataclass(frozen=True)
class TrainedPolicy:
    """A trained policy. Networks are loaded on each call, and not held."""

    load: Callable[[], Network] = field(repr=False)
    """The last policy, frozen."""
    load_best: Callable[[], Network] | None = field(repr=False)
    """The checkpoint of the highest truth, if the truth was measured."""
    refitted: Callable[[], Proxy | None] = field(repr=False)
    """The last reward model that it was trained on, if it was refitted."""
    evaluations: list[Row] = field(repr=False)
    metrics: list[Row] = field(repr=False)
    summary: Row
    refits: list[Row] = field(default_factory=list, repr=False)
    """A row for each refitted reward model."""

    @property
    def ratio_first(self) -> float | None:
        """`val/ratio_first` of the first step; None if the loop has none, or it is rounding."""
        return first_ratio(self.metrics)

    @cached_property
    def history(self) -> list[Row]:
        """The evaluations in training."""
        return self.evaluations

    @classmethod
    def of(
        cls, policy: Network, journal: Journal, refitted: Proxy | None, summary: Row, refits: Sequence[Row] = ()
    ) -> TrainedPolicy:
        """The result of a run in memory, with the metrics and the best checkpoint of its journal."""
        best = journal.kept(BEST)
        return cls(
            lambda: policy,
            None if best is None else lambda: best,
            lambda: refitted,
            journal.rows(EVALUATIONS),
            journal.rows(METRICS),
            summary,
            list(refits),
        )


def write(result: TrainedPolicy, folder: Path) -> Row:
    """Write the last policy; logs and the best checkpoint are in the directory already."""
    loading.save(result.load(), folder / "model")
    return result.summary


def write_summary(result: TrainedPolicy, folder: Path) -> Row:
    """Write nothing: of a control only the logs and the summary are stored."""
    return result.summary


def read(artifact: Artifact, env: Env) -> TrainedPolicy:
    """The result, from the stage's directory."""
    folder = artifact.path
    best = folder / BEST
    return TrainedPolicy(
        lambda: env.load(artifact.model),
        (lambda: env.load(best)) if best.is_dir() else None,
        lambda: refitted_proxy(folder, env),
        read_log(folder / EVALUATIONS),
        read_log(folder / METRICS),
        artifact.summary,
        read_log(folder / LOG),
    )
