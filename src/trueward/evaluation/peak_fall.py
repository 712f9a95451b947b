"""How far the truth is below a peak that was measured again, from the scores of both: no model, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trueward.evaluation import verdict
from trueward.evaluation.paired import by_prompt, paired
from trueward.evaluation.statistics import bootstrap
from trueward.seeds import seed_for

Row = Mapping[str, Any]


def fall(
    seed: int,
    peak_step: int,
    peak: np.ndarray,
    now: np.ndarray,
    test: int,
    *where: str | int,
    least: float = 0.0,
    span: float | None = None,
) -> Row | None:
    """The `fall` between fresh truths at a peak and now, each [prompts] or [prompts, answers], SDs; over the prompts that both
    have one of, None for fewer than two of them.

    least: the smallest drop that counts. span: as in `paired`. where: names the purpose of the random draws.
    """
    known = np.isfinite(by_prompt(peak)) & np.isfinite(by_prompt(now))
    peak, now = peak[known], now[known]
    if len(peak) < 2:
        return None
    drop = paired(peak, now, span)
    low, high = bootstrap(by_prompt(peak) - by_prompt(now), seed_for(seed, "fall", *where))
    return verdict.fall_row(peak_step, drop.mean, drop.se, drop.z, low, high, drop.prompts, test, least)
