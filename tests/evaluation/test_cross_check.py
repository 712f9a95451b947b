"""The alarm of a second reward model: what it says, and how often it says so by chance."""

import re
from typing import Any

import numpy as np
import pytest

from trueward.evaluation.cross_check import ALPHA, cross_check_warning, first_alarm, second_gains
from trueward.evaluation.measurement import paired_gain

PROMPTS, LOOKS = 64, 10


def row(step: int, proxy: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """An evaluation whose answers gain so much, [prompts], over a reference that scores 0."""
    home = np.zeros((len(proxy), 2))
    return {
        "step": step,
        "prompts": len(proxy),
        **paired_gain("proxy", proxy, home),
        **second_gains(proxy, home, second, home),
    }


def run(rng: np.random.Generator, seen: float, height: float = 1.0, prompts: int = PROMPTS) -> list[dict[str, Any]]:
    """Evaluations of a run whose proxy rises to `height`, of which the second model sees this share; the noise of either model
    stays with a prompt over all evaluations for one half, so they depend on each other as those of a run do."""
    lasting = rng.normal(size=(2, prompts))
    rows = []
    for look in range(1, LOOKS + 1):
        gain = height * look / LOOKS
        both = rng.normal(size=prompts)
        own = (rng.normal(size=(2, prompts)) + lasting) / np.sqrt(2)
        rows.append(row(look, gain + both + own[0], seen * gain + both + own[1]))
    return rows


def alarms(seen: float, runs: int, height: float = 1.0) -> float:
    rng = np.random.default_rng(7)
    return float(np.mean([first_alarm(run(rng, seen, height)) is not None for _ in range(runs)]))


@pytest.mark.parametrize("seen", [1.0, 0.5], ids=["exchangeable errors", "exactly half is seen"])
def test_false_alarms_are_at_most_5_percent_of_runs(seen: float) -> None:
    """Over ten evaluations that depend on each other. With 1,000 runs 5 % has an error of 0.7."""
    assert alarms(seen, 1000) <= ALPHA + 3 * 0.007


def test_a_proxy_that_does_not_rise_raises_no_alarm() -> None:
    """Both models say that the answers are worse; half of a loss is more than all of it, and no gain is missing."""
    assert alarms(1.0, 300, height=-2.0) == 0
    assert alarms(1.0, 300, height=0.0) <= ALPHA + 3 * 0.0126


def test_a_gain_that_the_second_model_does_not_see_is_found() -> None:
    assert alarms(0.0, 100, height=2.0) > 0.95
    assert alarms(-0.5, 100, height=2.0) == 1


def test_what_both_have_learned_is_not_seen() -> None:
    """A taste that all annotators share lifts both scores: the alarm knows nothing of it, whatever it is worth."""
    rng = np.random.default_rng(1)
    hack = [row(step, rng.normal(3, 1, PROMPTS), rng.normal(3, 1, PROMPTS)) for step in range(1, 6)]
    assert cross_check_warning(hack) == ""


def test_the_warning_in_words() -> None:
    rng = np.random.default_rng(0)
    quiet = row(10, rng.normal(0, 1, PROMPTS), rng.normal(0, 1, PROMPTS))
    loud = row(20, rng.normal(2, 0.1, PROMPTS), rng.normal(-0.5, 0.1, PROMPTS))
    assert cross_check_warning([]) == cross_check_warning([quiet]) == ""
    told = cross_check_warning([quiet, loud])
    assert "sees −0.5" in told
    assert re.search(r"where the proxy gained \+(1\.9|2\.0)", told)
    assert "surely saw less than half of the proxy’s gain at step 20" in cross_check_warning([quiet, loud, quiet])


def test_rows_without_a_second_model_or_of_few_prompts_are_not_tested() -> None:
    rng = np.random.default_rng(0)
    few = row(10, rng.normal(2, 0.1, 19), rng.normal(0, 0.1, 19))
    without = {k: v for k, v in few.items() if not k.startswith("second")} | {"prompts": 64}
    assert first_alarm([few, without]) is None


def test_gains_are_paired_by_prompt_with_the_mean_of_the_references_answers() -> None:
    rng = np.random.default_rng(3)
    proxy, second = rng.normal(1, 1, 40), rng.normal(0.2, 1, 40)
    proxy_home, second_home = rng.normal(0, 1, (40, 2)), rng.normal(0, 1, (40, 2))
    figures = second_gains(proxy, proxy_home, second, second_home)
    gain = second - second_home.mean(1)
    missing = 0.5 * (proxy - proxy_home.mean(1)) - gain
    assert figures["second_gain"] == pytest.approx(gain.mean(), abs=1e-5)
    assert figures["second_gain_se"] == pytest.approx(gain.std(ddof=1) / 40**0.5, abs=1e-5)
    assert figures["second_shortfall"] == pytest.approx(missing.mean(), abs=1e-5)
    itself = second_gains(proxy, proxy_home, second, second_home, is_reference=True)
    assert (itself["second_gain"], itself["second_gain_se"], itself["second_shortfall"]) == (0, None, 0)
