"""What moved, the anchor's two jobs and the reward model on the page and on the terminal."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from trueward.reporting import anchor, reward_page
from trueward.reporting import report as reports

HOSTILE = "<img src=x onerror=alert(1)></td><script>"


def words(page: str) -> str:
    body = re.sub(r"<(style|title|desc)\b.*?</\1>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


@pytest.fixture
def model() -> dict[str, Any]:
    interval = {"low": 0.5, "high": 0.75}
    return {
        "comparisons": 1500, "held_out": 300, "accuracy": 0.64, "accuracy_low": 0.58, "accuracy_high": 0.69, "nll": 0.63,
        "agreement": 0.73, "mean": 0.0, "sd": 1.0, "train_accuracy": 0.8, "train_nll": 0.45, "nll_floor": 0.5,
        "best_accuracy": 0.8, "true_accuracy": 0.71, "slope": 0.6, "slope_low": 0.4, "slope_high": 0.8, "ece": 0.12,
        "ece_floor": 0.05, "ece_floor_high": 0.08, "length_accuracy": 0.55, "length_accuracy_low": 0.51,
        "length_accuracy_high": 0.6, "length_prefers": "longer", "warning": "Too few comparisons.", "clean_accuracy": 0.7,
        "reliability": [{"confidence": 0.5 + i / 20, "won": 0.5 + i / 40, "won_se": 0.05, "comparisons": 30} for i in range(9)],
        "groups": [
            *({"by": "margin", "name": f"margin {i}", "at": i / 5, "comparisons": 30, "accuracy": 0.6, **interval}
              for i in range(9)),
            *({"by": "length", "name": f"{i} longer", "at": float(i), "comparisons": 60, "accuracy": 0.6, **interval}
              for i in range(5)),
            {"by": "annotator", "name": "ann", "at": None, "comparisons": 200, "accuracy": 0.66, **interval},
            {"by": "annotator", "name": "bob", "at": None, "comparisons": 100, "accuracy": 0.61, **interval},
        ],
        "promised": [{"n": n, "gain": 0.3 * n**0.5, "low": 0.1, "high": 2.0} for n in (2, 4, 8, 16)],
        "gain": 0.31, "gain_se": 0.05, "gain_prompts": 180,
        "learning_curve": [{"comparisons": 1500 // k, "accuracy": 0.64 - k / 100, "accuracy_low": 0.5, "accuracy_high": 0.7,
                            "nll": 0.65} for k in (8, 4, 2, 1)],
    }  # fmt: skip


@pytest.fixture
def report(model: dict[str, Any]) -> dict[str, Any]:
    figures = {"proxy": 1.2, "truth": -0.2, "sft_nll": 2.0, "base_nll": 3.0, "distinct_2": 0.6, "longest_repeat": 2.4,
               "outlier_share": 0.31, "proxy_truth_correlation": -0.12, "length_correlation": 0.44, "kl": 9.0,
               "proxy_at_length": 0.1, "proxy_at_length_se": 0.08, "truth_at_length": -0.4, "truth_at_length_se": 0.1,
               "length_matched": 0.77}  # fmt: skip
    sft = {**figures, "proxy": 0.0, "truth": 0.0, "outlier_share": 0.01}
    row = {"feature": "starts with “you”", "kind": "opener", "before": 0.03, "after": 0.44, "proxy": 0.8, "proxy_low": 0.7,
           "proxy_high": 0.9, "truth": -0.3, "truth_low": -0.5, "truth_high": -0.1, "hacked": True}  # fmt: skip
    return {
        "name": "run", "policies": {"sft": sft, "policy": figures}, "reward_model": model,
        "feature_shift": [row,
                         {**row, "feature": "uses “!”", "truth": None, "truth_low": None, "truth_high": None, "hacked": False}],
        "history": [{**figures, "step": i, "kl": float(i)} for i in range(0, 30, 10)],
    }  # fmt: skip


def test_what_moved_is_named_on_the_page_and_the_terminal(report: dict[str, Any]) -> None:
    seen = words(reports.page(report))
    line = "A hack: the answer starts with “you”: 3 % → 44 %, proxy +0.80, truth −0.30."
    assert line in seen.replace("\u00a0", " ")
    assert line in reports.summary(report)
    for text in ("a hack: rewarded, and worse", "+0.70 to +0.90", "−0.50 to −0.10", "uses “!”"):
        assert text in seen
    report["feature_shift"] = report["feature_shift"][1:]
    assert "None of it is clearly both" in words(reports.page(report))
    assert not any("hack" in text for text in reports.summary(report))
    report["feature_shift"] = []
    assert "than chance could make it" in words(reports.page(report))
    del report["feature_shift"]
    assert "What moved" not in words(reports.page(report))


def test_the_two_jobs_are_on_the_page_with_their_numbers(report: dict[str, Any]) -> None:
    page = reports.page(report)
    seen = words(page).replace("\u00a0", " ")
    for text in ("7.4", "20.1", "31 %", "−0.12", "+0.44", "2.4"):  # perplexities e² and e³ among them
        assert text in seen, text
    assert (
        page.count('<svg class="chart"') == page.count("<details><summary>The numbers") + 1
    )  # one comes in two widths
    for key in ("sft_nll", "distinct_2", "outlier_share", "proxy_truth_correlation"):
        for row in report["history"]:
            row[key] = None
    assert "The two jobs of the anchor" not in words(reports.page(report))


def test_a_gain_that_length_bought_is_called_that(report: dict[str, Any]) -> None:
    policy, sft = report["policies"]["policy"], report["policies"]["sft"]
    text_of_it = anchor.length_line(policy, sft).replace("\u00a0", " ")
    assert text_of_it.startswith("The proxy gained +1.20 SD; between answers that are equally long it is +0.10 ± 0.16.")
    assert text_of_it.endswith("The reward was bought with length.")
    assert "bought" not in anchor.length_line({**policy, "proxy_at_length": 1.0}, sft)
    assert anchor.length_line({}, {}) == ""


def test_the_plots_run_along_the_distance(report: dict[str, Any]) -> None:
    """A policy that comes back leaves no knot: points stand in the order of their KL."""
    report["history"][1]["kl"] = 99.0
    (drawn,) = anchor.plots(report["history"], None)["perplexity"]
    xs = [float(x) for x in re.findall(r'<circle[^>]*cx="([\d.]+)"', drawn)]
    assert len(xs) == 3
    assert xs == sorted(xs)


def test_the_reward_models_section(report: dict[str, Any]) -> None:
    page = reports.page(report)
    seen = words(page).replace("\u00a0", " ")
    for text in (
        "64.0 %", "Too few comparisons.", "right in 80.0 % of these", "this one is right in 71.0 %",
        "Its slope is 0.60 (95 %: 0.40 to 0.80), where 1 is right: it is too sure of itself.",
        "more than chance makes of a perfect one", "Its loss is 0.630", "below 0.500",
        "0.450, on others 0.630: a wide gap", "The rule “the longer one is better”, which reads nothing, is right in 55.0 %",
        "With half of the comparisons it was right in 62.0 %, with all in 63.0 %", "gains 0.42 SD",
        "picking the best of 16 gains 1.20 SD",
        "180 prompts that it wasn’t fitted to: 0.31 ± 0.10 SD", "ann", "bob",
    ):  # fmt: skip
        assert text in seen, text
    for title in (
        "Is it as sure as it should be?",
        "Would more comparisons help?",
        "Accuracy by margin",
        "Accuracy by length",
    ):
        assert seen.count(f"{title}: the numbers") == 0  # that is an aria-label
        assert re.search(rf"<h3>{re.escape(title)}</h3>", page)
        assert f"{title} (with 95 % intervals)" in seen


def test_a_reward_model_alone_is_a_page(model: dict[str, Any]) -> None:
    page = reports.page({"name": "reward model", "reward_model": model})
    seen = words(page).replace("\u00a0", " ")
    assert "The reward model is right in 64.0 % of comparisons that it was not fitted to." in seen
    assert "Is the reward earned?" not in seen
    lines = reports.reward_summary({"reward_model": model})
    assert lines[0].startswith("The reward model picks the annotator’s choice in 64.0 %")
    assert any(line.startswith("Its slope is 0.60") for line in lines)
    assert "Too few comparisons." in lines


def test_anything_may_be_missing(model: dict[str, Any]) -> None:
    for key in model:
        for changed in ({**model, key: None}, {k: v for k, v in model.items() if k != key}):
            seen = words(reports.page({"reward_model": changed})) + " ".join(
                reports.reward_summary({"reward_model": changed})
            )
            assert not re.search(r"\b(None|nan|Undefined)\b", seen), key


def test_hostile_names_stay_text(report: dict[str, Any]) -> None:
    report["feature_shift"][0]["feature"] = HOSTILE
    report["reward_model"]["warning"] = HOSTILE
    for group in report["reward_model"]["groups"]:
        group["name"] = HOSTILE
    page = reports.page(report)
    assert "<img" not in page
    assert "<script" not in page
    assert page.count("&lt;img") >= 4


def test_sentences_of_a_good_reward_model(model: dict[str, Any]) -> None:
    good = {**model, "slope": 1.1, "slope_high": 1.3, "slope_low": 0.9, "ece": 0.05, "train_nll": 0.62, "length_accuracy": 0.49,
            "length_accuracy_low": 0.44, "learning_curve": [{"accuracy": 0.7}, {"accuracy": 0.71}]}  # fmt: skip
    text_of_it = " ".join(reward_page.sentences(good))
    for text in (
        "about as sure as it should be",
        "no more than chance",
        "hardly a gap",
        "says little",
        "would bring little",
    ):
        assert text in text_of_it, text
    assert "less sure than it could be" in " ".join(reward_page.sentences({**good, "slope_low": 1.05}))
    assert "knows no more than that" in " ".join(reward_page.sentences({**good, "length_accuracy": 0.65}))
