"""What a sweep says: means and intervals by hand, the value to take, the sides on which it fails, Gao's forms."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from trueward.evaluation import sweep
from trueward.reporting import sweep_page


def run(
    value: Any, seed: int, truth: float, proxy: float = 1.0, kl: float = 5.0, error: float = 0.05
) -> dict[str, Any]:
    return {
        "value": value, "seed": seed, "run": f"{value},{seed}", "proxy": proxy, "proxy_se": error, "truth": truth,
        "truth_se": error, "win_rate": 0.6, "kl": kl, "verdict": "learning", "history": [],
    }  # fmt: skip


def test_a_point_by_hand() -> None:
    (point,) = sweep.points([run(0.1, 0, 1.0), run(0.1, 2, 1.6), run(0.1, 1, 1.3)])
    assert (point.value, point.seeds, point.truths) == (0.1, 3, (1.0, 1.3, 1.6))
    assert point.truth == pytest.approx(1.3)
    assert point.truth_half == pytest.approx(stats.t.ppf(0.975, 2) * 0.3 / math.sqrt(3), rel=1e-9)
    assert point.verdicts == {"learning": 3}


def test_one_seed_has_the_runs_own_interval() -> None:
    (point,) = sweep.points([run(0.1, 0, 1.0, error=0.1)])
    assert point.truth_half == pytest.approx(0.196)
    assert sweep.points([run(0.1, 0, 1.0) | {"truth_se": None}])[0].truth_half is math.nan


def test_two_seeds_share_the_spread_of_all_values() -> None:
    rows = [run(0.1, 0, 1.0), run(0.1, 1, 1.2), run(0.3, 0, 2.0), run(0.3, 1, 2.6)]
    one, other = sweep.points(rows)
    pooled = math.sqrt((0.02 + 0.18) / 2)  # variances of two numbers: half their squared difference
    assert one.truth_half == other.truth_half == pytest.approx(stats.t.ppf(0.975, 2) * pooled / math.sqrt(2), rel=1e-9)


def test_a_failed_run_is_no_point() -> None:
    rows = [run(0.1, 0, 1.0), {"value": 0.2, "seed": 0, "run": "x", "error": "not a number"}]
    assert [p.value for p in sweep.points(rows)] == [0.1]


def three_sides() -> list[sweep.Point]:
    rows = []
    draw = np.random.default_rng(0)
    for value, truth, proxy, kl in (
        (0.0, -2.0, 4.0, 80.0),
        (0.1, 1.4, 1.8, 15.0),
        (0.3, 1.45, 1.5, 6.0),
        (3.0, 0.2, 0.2, 0.3),
    ):
        for seed in range(4):
            noise = draw.normal(0, 0.1)
            rows.append(run(value, seed, truth + noise, proxy, kl))
    return sweep.points(rows)


def test_the_sweet_spot_lies_between_two_failures() -> None:
    advice = sweep.advise(three_sides())
    assert advice is not None
    assert advice.best in (0.1, 0.3)
    assert set(advice.as_good) == {0.1, 0.3}
    assert (advice.below, advice.above, advice.edge) == ("past", "pinned", "")
    sentence = sweep.sentence("policy.kl_coef", advice)
    assert sentence.startswith(f"Take β = {advice.best:g} (from 0.1 to 0.3 nothing tells them apart).")
    assert "past the best" in sentence
    assert "hacked" not in sentence, "none of its runs says so"
    assert "too tightly" in sentence


def test_words_follow_the_runs_own_verdicts() -> None:
    """Two values below the best one: the runs of one say hacking, those of the other learning."""
    rows = []
    for value, truth, proxy, kl, word in (
        (0.0, -2.0, 4.0, 80.0, "hacking"),
        (0.1, 0.7, 3.0, 20.0, "learning"),
        (0.3, 1.5, 1.5, 6.0, "learning"),
    ):
        rows += [{**run(value, seed, truth + 0.01 * seed, proxy, kl), "verdict": word} for seed in range(3)]
    swept = sweep.points(rows)
    advice = sweep.advise(swept)
    assert advice is not None
    assert (advice.best, advice.below) == (0.3, "hacking")
    assert "hacked, by its runs’ own verdicts" in sweep.sentence("policy.kl_coef", advice)
    table = {"advice": advice.table(), "points": [p.table() for p in swept]}
    standings = {p["value"]: sweep_page.standing(p, table) for p in table["points"]}
    assert standings == {0.0: "hacked", 0.1: "past the best", 0.3: "best"}
    for point in table["points"]:
        assert (standings[point["value"]] == "hacked") == ("hacking" in point["verdicts"])


def test_a_best_value_at_the_edge_says_so() -> None:
    swept = [p for p in three_sides() if p.value >= 0.3]
    advice = sweep.advise(swept)
    assert advice is not None
    assert (advice.best, advice.edge, advice.above) == (0.3, "low", "pinned")
    assert "try further" in sweep.sentence("policy.kl_coef", advice)


def test_a_value_whose_runs_raise_the_alarm_is_not_as_good() -> None:
    """Seeds that fall at different times have a spread that hides it: +1.5, −4 and −2 against 1.6 are no t test's finding."""
    rows = [run(0.3, seed, 1.6 + 0.1 * seed) for seed in range(3)]
    loose = [run(0.1, seed, truth, proxy=9.0, kl=50.0) for seed, truth in enumerate((1.5, -4.0, -2.0))]
    unnoticed = sweep.advise(sweep.points([*rows, *loose]))
    assert unnoticed is not None
    assert set(unnoticed.as_good) == {0.1, 0.3}
    for row, word in zip(loose, ("learning", "hacking", "over-optimised"), strict=True):
        row["verdict"] = word
    advice = sweep.advise(sweep.points([*rows, *loose]))
    assert advice is not None
    assert (advice.as_good, advice.below) == ((0.3,), "past")
    loose[1]["verdict"] = "learning"
    advice = sweep.advise(sweep.points([*rows, *loose]))
    assert advice is not None
    assert set(advice.as_good) == {0.1, 0.3}


def test_words_can_be_swept_too() -> None:
    rows = [run(kind, seed, truth + 0.01 * seed) for kind, truth in (("ppo", 1.0), ("dpo", 0.3)) for seed in range(3)]
    advice = sweep.advise(sweep.points(rows))
    assert advice is not None
    assert (advice.best, advice.as_good, advice.edge, advice.below, advice.above) == ("ppo", ("ppo",), "", "", "")
    assert sweep.sentence("policy.kind", advice) == "Take policy.kind = ppo."


def test_nothing_is_told_apart_where_there_is_nothing() -> None:
    """Equal values: the interval holds a given neighbour of the best one about as often as the test promises."""
    draw = np.random.default_rng(3)
    fired = 0
    for _ in range(500):
        rows = [run(v, s, float(draw.normal(0, 0.3))) for v in (0.1, 0.2) for s in range(5)]
        advice = sweep.advise(sweep.points(rows))
        assert advice is not None
        fired += len(advice.as_good) < 2
    # The best of two is the one that happens to be higher, so a one-sided 5 % test fires in up to 10 % of the cases.
    assert fired / 500 < 0.10 + 4.5 * math.sqrt(0.1 * 0.9 / 500)


def test_one_value_is_no_sweep() -> None:
    assert sweep.advise(sweep.points([run(0.1, 0, 1.0)])) is None
    assert "nothing to compare" in sweep.sentence("policy.kl_coef", None)


@pytest.mark.parametrize(("kind", "alpha", "beta"), [("rl", 1.2, 0.35), ("best_of_n", 0.9, 0.1)])
def test_gaos_forms_are_found_again(kind: str, alpha: float, beta: float) -> None:
    d = np.linspace(0.2, 6, 25)
    gain = d * (alpha - beta * (np.log(d) if kind == "rl" else d))
    form = sweep.fit_form(d.tolist(), gain.tolist(), kind)
    assert form is not None
    assert (form.alpha, form.beta, form.r_squared) == pytest.approx((alpha, beta, 1.0), abs=1e-9)
    assert (form.low, form.high, form.points) == (pytest.approx(0.2), pytest.approx(6.0), 25)
    around = form(np.array([form.peak * 0.99, form.peak, form.peak * 1.01]))
    assert around[1] > around[0]
    assert around[1] > around[2]


def test_a_form_without_a_peak_and_one_without_data() -> None:
    rising = sweep.fit_form([1.0, 2.0, 3.0], [1.0, 2.1, 3.4])
    assert rising is not None
    assert rising.peak == math.inf
    assert rising.table()["peak"] is None
    assert sweep.fit_form([0.0, 1.0, 1.0, math.nan], [0.0, 1.0, 1.0, 2.0]) is None


def test_forms_take_every_evaluation_of_every_run() -> None:
    d = np.linspace(0.3, 5, 8)
    evaluations = [
        {"step": i, "kl": float(x * x), "truth": float(x * (1 - 0.4 * np.log(x))), "proxy": float(x)}
        for i, x in enumerate(d)
    ]
    rows = [
        run(0.1, 0, 1.0) | {"history": evaluations[:4]},
        run(0.1, 1, 1.0) | {"history": [*evaluations[4:], {"kl": None, "truth": 1.0}]},
    ]
    forms = sweep.forms(rows)
    assert forms["truth"].points == 8
    assert (forms["truth"].alpha, forms["truth"].beta) == pytest.approx((1.0, 0.4))
    assert forms["proxy"].beta == pytest.approx(0.0, abs=1e-9)


def result() -> dict[str, Any]:
    """What sweep.json holds, of the three sides."""
    draw = np.random.default_rng(1)
    rows = []
    for value, truth, proxy, kl in ((0.0, -2.0, 4.0, 80.0), (0.1, 1.4, 1.8, 15.0), (3.0, 0.2, 0.2, 0.3)):
        for seed in range(3):
            evaluations = [
                {"step": i, "kl": kl * i / 9, "truth": truth * i / 9, "proxy": proxy * i / 9} for i in range(10)
            ]
            rows.append(
                run(value, seed, truth + draw.normal(0, 0.1), proxy, kl)
                | {"history": evaluations, "best_step": 3, "best_truth": 1.0}
            )
    rows.append({"value": 9.0, "seed": 0, "run": "<b>", "error": "loss is <not> a number"})
    swept = sweep.points(rows)
    advice = sweep.advise(swept)
    assert advice is not None
    return {
        "recipe": "nano", "over": "policy.kl_coef", "command": "trueward sweep nano", "advice": advice.table(),
        "sentence": sweep.sentence("policy.kl_coef", advice), "points": [p.table() for p in swept],
        "forms": {k: f.table() for k, f in sweep.forms(rows).items()}, "runs": rows,
    }  # fmt: skip


def test_the_page_says_it_all_and_escapes_what_it_shows() -> None:
    page = sweep_page.page(result())
    for text in ("Take β = 0.1", "hacked", "held too tightly", "loss is &lt;not&gt; a number", "fitted", "step 3"):
        assert text in page, text
    assert "<script" not in page
    assert "<b>" not in page
    assert page.count("<svg") == 4


def test_the_table_fits_the_terminal() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(sweep_page.table(result()))
    text = console.export_text()
    assert [line.split()[0] for line in text.splitlines() if line[2:3].isdigit()] == ["0", "0.1", "3"]
    assert "past the best" in text
    assert "held too tightly" in text
    assert max(map(len, text.splitlines())) <= 100
