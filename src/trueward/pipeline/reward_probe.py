"""The probe beside the reward model: a straight line through the SFT policy's frozen states, on the same unseen prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trueward.evaluation import clustered, reward_report
from trueward.evaluation.probe import FOLDS, Probe, fit_probe
from trueward.evaluation.statistics import student_quantile
from trueward.models.layer_states import layer_count, layer_states
from trueward.models.network import Network
from trueward.records import Comparison
from trueward.scorers.ensemble import Proxy
from trueward.training.env import Env

NOT_MEASURED: dict[str, Any] = dict.fromkeys(
    ("probe_accuracy", "probe_accuracy_low", "probe_accuracy_high", "probe_layer", "probe_comparisons", "probe_ahead",
     "probe_ahead_low", "probe_ahead_high")
)  # fmt: skip


def probe_figures(
    policy: Network, proxy: Proxy, train: Sequence[Comparison], held_out: Sequence[Comparison], count: int, env: Env
) -> dict[str, Any]:
    """The accuracy of a probe on the held-out comparisons, and how far it is ahead of the reward model there.

    count: comparisons that it is fitted to at most; 0: none is fitted. All None where that can't be: for a table, or where the
    comparisons are of fewer than five prompts or all ties.
    """
    layers = layer_count(policy)
    some = list(train[:count])
    decided = [c for c in held_out if c.probability != 0.5]
    if not layers or not decided or len({c.prompt.id for c in some}) < FOLDS or all(c.probability == 0.5 for c in some):
        return dict(NOT_MEASURED)
    tried = sorted({max(1, layers // 2), layers})
    env.progress.start("reward model: a probe", 2)
    fitted_to = _differences(policy, some, tried, env)
    env.progress.at(1)
    unseen = _differences(policy, decided, tried, env)
    labels = np.array([c.probability for c in some])
    probes = [fit_probe(states, labels, [c.prompt.id for c in some]) for states in fitted_to]
    best = min(range(len(tried)), key=lambda i: probes[i].loss)
    figures = compare_probe(probes[best], unseen[best], proxy, decided)
    env.progress.end(f"accuracy {figures['probe_accuracy']}")
    return {"probe_layer": tried[best], "probe_comparisons": len(some), **figures}


def compare_probe(probe: Probe, unseen: np.ndarray, proxy: Proxy, decided: Sequence[Comparison]) -> dict[str, Any]:
    """Both on the same comparisons, with 95 % intervals clustered by prompt. unseen: differences of states [n, d]."""
    raw = np.asarray(proxy.raw([side for c in decided for side in c.completions()])).reshape(-1, 2)
    labels, prompts = np.array([c.probability for c in decided]), reward_report.by_prompt(decided)
    ours = reward_report.right(probe.margins(unseen), labels)
    theirs = reward_report.right(raw[:, 0] - raw[:, 1], labels)
    accuracy, low, high = clustered.share(ours, prompts)
    ahead, low_ahead, high_ahead = mean_with_interval(ours - theirs, prompts)
    return {
        "probe_accuracy": round(accuracy, 4),
        "probe_accuracy_low": round(low, 4),
        "probe_accuracy_high": round(high, 4),
        "probe_ahead": round(ahead, 4),
        "probe_ahead_low": round(low_ahead, 4),
        "probe_ahead_high": round(high_ahead, 4),
    }


def mean_with_interval(x: np.ndarray, clusters: np.ndarray) -> tuple[float, float, float]:
    """The mean of x [n] with its 95 % interval by Student's t over clusters; (mean, −1, 1) for a single cluster."""
    groups = len(np.unique(clusters))
    mean = float(x.mean())
    if groups < 2:
        return mean, -1.0, 1.0
    between = groups / (groups - 1) * float((clustered.sums(x - mean, clusters) ** 2).sum()) / len(x) ** 2
    width = student_quantile(0.975, groups - 1) * math.sqrt(between)
    return mean, mean - width, mean + width


def _differences(policy: Network, comparisons: Sequence[Comparison], layers: Sequence[int], env: Env) -> np.ndarray:
    sides = [side for c in comparisons for side in c.completions()]
    states = layer_states(policy, sides, layers, env.micro_batch_tokens)
    return np.asarray(states[:, ::2] - states[:, 1::2])
