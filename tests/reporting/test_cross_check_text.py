"""A second reward model in words: on the page of a run, in that of a reward model, on the terminal."""

from __future__ import annotations

from typing import Any

from trueward.reporting import cross_check_text, reward_page
from trueward.reporting import report as page

SECOND = {"comparisons": 350, "accuracy": 0.61, "accuracy_low": 0.52, "accuracy_high": 0.7, "nll": 0.67, "mean": 0.1, "sd": 0.9,
          "correlation": 0.634}  # fmt: skip
ROW = {
    "step": 10, "prompts": 64, "proxy": 1.2, "proxy_se": 0.1, "proxy_gain": 1.2, "proxy_gain_se": 0.1, "proxy_gain_z": 9.0,
    "second_gain": 0.2, "second_gain_se": 0.1, "second_shortfall": 0.4, "second_shortfall_se": 0.1, "second_shortfall_z": 3.9,
}  # fmt: skip
SFT = {"step": 0, "proxy": 0.0, "proxy_gain": 0.0, "second_gain": 0.0, "second_gain_se": None, "prompts": 64}


def report(**policy: Any) -> dict[str, Any]:
    row = {**ROW, **policy}
    return {
        "name": "run", "policies": {"sft": SFT, "policy": row}, "history": [SFT, row],
        "reward_model": {"comparisons": 351, "accuracy": 0.64, "second": SECOND},
    }  # fmt: skip


def test_what_it_sees_and_what_it_can_not() -> None:
    (text,) = cross_check_text.sentences(report())
    assert "sees +0.20 ±\u00a00.20\u00a0SD where the proxy gained +1.20 ±\u00a00.20\u00a0SD." in text
    assert text.endswith(
        "It is no truth: what all comparisons get wrong, both models have learned, and it does not show here."
    )
    html = page.page(report())
    for line in (text, "What a second reward model sees"):
        assert line in html.replace("&nbsp;", "\u00a0")


def test_the_alarm_in_a_sentence() -> None:
    alarm = cross_check_text.alarm(report())
    assert alarm.startswith(
        "An early warning: a second reward model, fitted to the other half of the comparisons, sees +0.20 SD"
    )
    assert alarm in page.summary(report())
    quiet = report(second_gain=1.1, second_shortfall=-0.5, second_shortfall_z=-5.0)
    assert cross_check_text.alarm(quiet) == ""


def test_the_reward_models_own_section() -> None:
    text = cross_check_text.of_model(report()["reward_model"])
    assert text in reward_page.sentences(report()["reward_model"])
    for part in ("fitted to 351 comparisons, and a second reward model to 350", "right in 61.0", "correlate by 0.63"):
        assert part in text
    without = {"comparisons": 351, "second": {**SECOND, "accuracy": None, "correlation": None}}
    assert cross_check_text.of_model(without).endswith("of other prompts (reward.cross_check).")


def test_a_run_without_one_says_nothing() -> None:
    alone = {"name": "run", "policies": {"policy": {"proxy": 1.0}}, "history": [], "reward_model": {"comparisons": 700}}
    assert cross_check_text.sentences(alone) == []
    assert cross_check_text.alarm(alone) == cross_check_text.of_model({"comparisons": 700}) == ""
    assert "second reward model" not in page.page(alone)
