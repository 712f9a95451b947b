"""A peak is measured again on prompts that no evaluation used: false alarms with policy × prompt effects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trueward.evaluation import peak_fall, verdict
from trueward.evaluation.paired import paired
from trueward.evaluation.verdict_monitor import VerdictMonitor
from trueward.pipeline.held_out import HeldOut, divide
from trueward.records import Prompt

RUNS, LOOKS, STEP_PROMPTS = 240, 20, 30
NULL = {"as large as the noise": (0.7, 0.7), "answers hardly vary": (1.0, 0.1)}  # SDs: policy × prompt, answer


class Flat:
    """Policies that are equally good on average, each better on some prompts and worse on others: [looks, prompts]."""

    truths = (SimpleNamespace(span=None),)

    def __init__(self, there: int, effect: float, noise: float, seed: int) -> None:
        self.seed, self.noise = seed, noise
        self.draw = np.random.default_rng(seed)
        self.effect = effect * self.draw.standard_normal((LOOKS + 1, there))

    def truth(self, policy: Any, prompts: Sequence[Prompt], answers: int, *purpose: str | int) -> np.ndarray:
        of = [int(p.text) for p in prompts]
        return self.effect[policy(), of][:, None] + self.noise * self.draw.standard_normal((len(of), answers))


def run(there: int, effect: float, noise: float, seed: int, divided: HeldOut) -> list[str]:
    """The verdicts of a run of 20 evaluations of the same step prompts."""
    flat = Flat(there, effect, noise, seed)
    now, best = [0], [0]
    monitor = VerdictMonitor(
        flat, lambda: now[0], lambda: lambda: best[0], divided.reserved, len(divided.steps), divided.missing
    )  # type: ignore[arg-type]
    n = len(divided.steps)
    rows: list[dict[str, Any]] = [{"step": 0, "truth": 0.0, "kl": 0.0, "unique": 1.0, "prompts": n}]
    words = []
    for step in range(1, LOOKS + 1):
        now[0] = step
        ours = 1.0 + flat.truth(lambda: step, divided.steps, 1)[:, 0]  # noqa: B023
        test = paired(ours, noise * flat.draw.standard_normal(n))
        se = float(ours.std(ddof=1) / math.sqrt(n))
        row: dict[str, Any] = {"step": step, "truth": float(ours.mean()), "truth_se": se, "kl": 1.0, "kl_se": 0.1}
        row |= {"truth_gain": test.mean, "truth_gain_z": test.z, "proxy_gain_z": 9.0, "unique": 1.0, "prompts": n}
        if row["truth"] > max((r["truth"] for r in rows[1:]), default=-math.inf):
            best[0] = step
        told, _ = monitor([*rows, row])
        rows.append({**row, "fall": told["fall"]})
        words.append(told["verdict"])
    return words


@pytest.mark.parametrize("name", NULL)
def test_false_alarms_with_few_prompts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 5 % of runs. Measured again on the evaluations' own prompts 12 % alarm, and 29 % where answers hardly vary."""
    monkeypatch.setattr(peak_fall, "bootstrap", lambda x, seed: (0.0, 0.0))
    there = 40
    divided = divide([Prompt(text=str(i)) for i in range(there)], STEP_PROMPTS)
    assert divided.missing == 0
    words = [run(there, *NULL[name], seed, divided) for seed in range(RUNS)]
    alarmed = np.mean([any(word in verdict.ALARMS for word in one) for one in words])
    assert alarmed <= verdict.ALPHA + 3 * math.sqrt(verdict.ALPHA * (1 - verdict.ALPHA) / RUNS)
    used = [Prompt(text=str(i)) for i in range(STEP_PROMPTS)]
    reused = HeldOut(used, used, 0)
    words = [run(there, *NULL[name], seed, reused) for seed in range(RUNS // 2)]
    assert np.mean([any(word in verdict.ALARMS for word in one) for one in words]) > 0.07


def test_with_too_few_prompts_no_alarm_is_given() -> None:
    """It says so at every evaluation, with the number that is missing, and never calls what it can't test learning."""
    divided = divide([Prompt(text=str(i)) for i in range(35)], STEP_PROMPTS)
    assert divided.missing == 5
    flat = Flat(35, 0.0, 0.1, 0)
    monitor = VerdictMonitor(flat, lambda: 0, lambda: lambda: 0, divided.reserved, len(divided.steps), divided.missing)  # type: ignore[arg-type]
    rows: list[dict[str, Any]] = [{"step": 0, "truth": 0.0, "prompts": 30}]
    for step, truth in enumerate((1.0, 0.2), 1):
        row = {"step": step, "truth": truth, "truth_se": 0.05, "truth_gain": truth, "truth_gain_z": 20 * truth}
        rows.append({**row, "proxy_gain_z": 9.0, "prompts": 30})
    for until, word in ((2, "learning"), (3, "inconclusive")):
        told, decided = monitor(rows[:until])
        assert (told["verdict"], told["prompts_missing"], told["fall"]) == (word, 5, None)
        assert "no alarm can be given: 5 more held-out prompts are needed" in told["rule"]
        assert decided.numbers["prompts_missing"] == 5
