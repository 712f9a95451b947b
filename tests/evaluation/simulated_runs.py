"""Made-up runs: the rows that evaluations of a policy of known truth would have written, judged one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trueward.evaluation import verdict
from trueward.evaluation.paired import normal_score, paired, skewness

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return draw.standard_normal(shape)


def skewed(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Mean 0, SD 1, skewness −2: a judge that is mostly content and sometimes appalled."""
    return 1 - draw.exponential(size=shape)


@dataclass(frozen=True)
class Found:
    """How a set of runs was judged: at which evaluation each of them raised its first alarm (0: none), and the last words."""

    first_alarm: np.ndarray
    words: list[str]
    peaks_measured: int

    def alarmed(self, count: int) -> float:
        return float(((self.first_alarm > 0) & (self.first_alarm <= count)).mean())


def judge_runs(
    truth: Sequence[float],
    runs: int,
    noise: Draw,
    *,
    prompts: int = 128,
    lucky_evaluation: int = 0,
    prompt_sd: float = 0.3,
    sft_noise: Draw | None = None,
    seed: int = 0,
) -> Found:
    """`truth[k]` is the true gain over SFT at evaluation k + 1, SDs; what differs from prompt to prompt stays through a run.

    SFT's two answers to each prompt are drawn once for all evaluations, as the evaluator does.
    At `lucky_evaluation` all answers of the policy happen to score 3 standard errors higher: a peak that is nothing but noise.
    """
    draw = np.random.default_rng(seed)
    theirs = sft_noise or noise
    taste = prompt_sd * draw.standard_normal((runs, prompts))
    baseline = taste + theirs(draw, (runs, prompts, 2)).mean(axis=2)
    columns: list[dict[str, np.ndarray]] = []
    for k, gain in enumerate(truth, 1):
        ours = taste + gain + noise(draw, (runs, prompts)) + (3 / math.sqrt(prompts)) * (k == lucky_evaluation)
        difference = ours - baseline
        se = difference.std(axis=1, ddof=1) / math.sqrt(prompts)
        mean = difference.mean(axis=1)
        columns.append({
            "truth": mean, "truth_se": se, "truth_gain": mean, "truth_gain_se": se,
            "truth_gain_z": normal_score(mean, se, skewness(difference), prompts),
        })  # fmt: skip
    tables = [{key: column.tolist() for key, column in one.items()} for one in columns]
    first_alarm, words, measured = np.zeros(runs, dtype=int), [], 0
    for run in range(runs):
        evaluations: list[dict[str, Any]] = [{"step": 0, "truth": 0.0, "kl": 0.0, "unique": 1.0, "prompts": prompts}]
        word = ""
        for k, table in enumerate(tables, 1):
            row: dict[str, Any] = {key: column[run] for key, column in table.items()}
            row |= {"step": k, "kl": 1.0, "kl_se": 0.1, "unique": 1.0, "prompts": prompts, "fall": None}
            row |= {"proxy_gain": 1.0, "proxy_gain_se": 0.1, "proxy_gain_z": 10.0}
            evaluations.append(row)
            if peak := verdict.suspected(evaluations):
                measured += 1
                both = np.array([truth[peak["step"] - 1], truth[k - 1]])[:, None, None]
                fresh = both + prompt_sd * draw.standard_normal((1, prompts, 1)) + noise(draw, (2, prompts, 2))
                test = paired(fresh[0], fresh[1])
                row["fall"] = verdict.fall_row(
                    peak["step"],
                    test.mean,
                    test.se,
                    test.z,
                    0.0,
                    0.0,
                    prompts,
                    verdict.tests_made(evaluations[1:]) + 1,
                    verdict.least_drop(evaluations, peak["step"]),
                )
            word = verdict.decide(evaluations).word
            if word in (*verdict.ALARMS, "broken") and not first_alarm[run]:
                first_alarm[run] = k
        words.append(word)
    return Found(first_alarm, words, measured)


FLAT, ABOVE = [0.0] * 20, [0.5] * 20
RISING = [0.1 * k for k in range(1, 11)] + [1.0] * 10
UP = [0.2, 0.4, 0.6, 0.8, 1.0]
NOTHING_HAPPENED: dict[str, dict[str, Any]] = {
    "flat at SFT’s, normal": {"truth": FLAT, "noise": normal},
    "flat at SFT’s, skewed": {"truth": FLAT, "noise": skewed},
    "flat at SFT’s, only the policy skewed": {"truth": FLAT, "noise": skewed, "sft_noise": normal},
    "flat above SFT’s, normal": {"truth": ABOVE, "noise": normal},
    "flat above SFT’s, a lucky evaluation": {"truth": ABOVE, "noise": normal, "lucky_evaluation": 4},
    "flat above SFT’s, skewed, a lucky evaluation": {"truth": ABOVE, "noise": skewed, "lucky_evaluation": 4},
    "rises and stays": {"truth": RISING, "noise": normal},
}
IT_FELL: dict[str, list[float]] = {
    "0.3 SD below a peak of 1": [*UP, 0.94, 0.88, 0.82, 0.76] + [0.7] * 11,
    "0.5 SD below a peak of 1": [*UP, 0.9, 0.8, 0.7, 0.6] + [0.5] * 11,
    "back to SFT’s": [*UP, 0.8, 0.6, 0.4, 0.2] + [0.0] * 11,
    "far below SFT’s": [*UP, 0.8, 0.6, 0.4, 0.2, 0.0, -0.2, -0.4, -0.6, -0.8] + [-1.0] * 6,
    "sinks from the start": [-0.1 * k for k in range(1, 11)] + [-1.0] * 10,
}


if __name__ == "__main__":  # python tests/evaluation/simulated_runs.py RUNS: the table of docs/instruments.md
    import sys
    from collections import Counter

    runs = int(sys.argv[1])
    print("| the truth | by evaluation 10 | by evaluation 20 | measured again |\n|---|---|---|---|")
    for name, settings in NOTHING_HAPPENED.items():
        judged = judge_runs(runs=runs, **settings)
        print(f"| {name} | {100 * judged.alarmed(10):.2f} % | {100 * judged.alarmed(20):.2f} % |"
              f" {judged.peaks_measured / runs:.1f} |", flush=True)  # fmt: skip
        print(dict(Counter(judged.words)), file=sys.stderr)
    print("\n| the truth ends | found by evaluation 10 | by evaluation 20 | median evaluation of the first alarm |")
    print("|---|---|---|---|")
    for name, truth in IT_FELL.items():
        judged = judge_runs(truth, runs // 10, normal)
        late = judged.first_alarm[judged.first_alarm > 0]
        print(f"| {name} | {100 * judged.alarmed(10):.0f} % | {100 * judged.alarmed(20):.0f} % | {np.median(late):.0f} |",
              flush=True)  # fmt: skip
        print(dict(Counter(judged.words)), file=sys.stderr)
