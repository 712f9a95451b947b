"""Time to truth, from curves to the ratio; the prediction's arithmetic; the charts as files."""

import argparse
from typing import Any
from xml.etree import ElementTree

import pytest
import time_to_truth
from speed import drawing, prediction, results, rows
from speed.arrival import Arrival, arrival, race


def points(*rows: tuple[float, float, float]) -> list[dict[str, Any]]:
    return [{"seconds": s, "truth_gain": t, "kl": k} for s, t, k in rows]


CURVE = points((1.0, 0.5, 2.0), (2.0, 1.1, 9.0), (3.0, 1.2, 4.0))


def test_arrival_needs_the_truth_and_the_kl() -> None:
    assert arrival(CURVE, goal=1.0, kl=10.0) == Arrival(2.0, 9.0)
    assert arrival(CURVE, goal=1.0, kl=5.0) == Arrival(3.0, 4.0)
    assert arrival(CURVE, goal=1.0, kl=3.0) is None
    assert arrival(CURVE, goal=2.0, kl=99.0) is None


def test_the_ratio_is_of_seeds_with_themselves() -> None:
    fast, slow = points((1.0, 1.0, 1.0)), points((4.0, 1.0, 1.0))
    found = race([(fast, points((10.0, 1.0, 1.0))), (slow, points((20.0, 1.0, 1.0)))], goal=1.0, kl=2.0)
    assert found == (2.5, 15.0, 7.5, 5.0, 10.0, False)


def test_a_peer_that_never_arrives_counts_with_the_time_it_had() -> None:
    found = race([(points((2.0, 1.0, 1.0)), points((5.0, 0.1, 1.0), (30.0, 0.4, 1.0)))], goal=1.0, kl=2.0)
    assert found is not None
    assert (found.peer, found.ratio, found.bound) == (30.0, 15.0, True)


def test_no_ratio_where_ours_never_arrives() -> None:
    assert race([(points((2.0, 0.1, 1.0)), CURVE)], goal=1.0, kl=20.0) is None


def test_the_peer_may_choose_its_learning_rate() -> None:
    slow, fast, lost = points((9.0, 1.2, 3.0)), points((5.0, 1.1, 3.0)), points((1.0, 0.9, 3.0))
    far = points((1.0, 3.0, 50.0), (2.0, 0.2, 1.0))
    named = {name: {"points": p} for name, p in {"slow": slow, "fast": fast, "lost": lost, "far": far}.items()}
    assert time_to_truth.best(named, goal=1.0, kl=10.0) == "fast"
    assert time_to_truth.best({n: named[n] for n in ("far", "lost")}, goal=1.0, kl=10.0) == "lost"


def test_the_row_says_what_the_ratio_is() -> None:
    asked = argparse.Namespace(goal=1.0, kl=10.0, epochs=0, minibatches=0)
    ours, theirs = [{"memory": 1e9, "points": CURVE}], [{"memory": 2e9, "points": points((8.0, 0.1, 1.0))}]
    found = race([(CURVE, theirs[0]["points"])], 1.0, 10.0)
    row = time_to_truth.as_row(found, ours, theirs, "3e-4", asked)
    assert set(results.FIELDS) <= row.keys()
    assert (row["ours"], row["peer"], row["ratio"], row["memory_peer"]) == (2.0, 8.0, 4.0, 2e9)
    assert "lower bound" in row["note"]
    assert rows.cells(row)[2:6] == ("2 s", "8", "TRL 1.12 PPOTrainer", "4.00 [4.00, 4.00]")
    assert time_to_truth.as_row(None, ours, theirs, "3e-4", asked)["ratio"] is None


def test_prediction_by_hand() -> None:
    gpu = prediction.Gpu("round", products=1e12, bandwidth=1e11, memory=0.0)
    model = prediction.Model("round", weights=1e9, layers=10, kv_width=100)
    assert model.cached == 4000  # keys and values, 2 bytes each
    settings: dict[str, Any] = {"share": 0.5, "decoding": 0.5, "prompt": 10, "answer": 20, "epochs": 1, "gpu": gpu}
    drawn, rest = prediction.rollout_seconds(model, gpus=1, rows=4, **settings)
    # 2 GB of weights and what 4 rows of 20 tokens on the average have cached, through 100 GB/s, at half the limit; 20 times.
    assert drawn == pytest.approx((2e9 + 4 * 20 * 4000) / 1e11 / 0.5 * 20 / 4)
    # 30 tokens: policy and value network learn (6 each); anchor, values, sampling and the reward model (2 each).
    assert rest == pytest.approx((2 * 8 + 4) * 1e9 * 30 / 0.5e12)
    many, _ = prediction.rollout_seconds(model, gpus=1, rows=400, **settings)
    assert many == pytest.approx(2e9 * 400 / 1e12 / 0.5 * 20 / 400)  # bound by the products now
    both = prediction.rollout_seconds(model, gpus=8, rows=4, **settings)
    assert both == pytest.approx((drawn / 7.2, rest / 7.2))
    assert prediction.full_memory(1e9) == 36e9
    assert prediction.adapter_memory(1e9, 0.01) == pytest.approx(2.34e9)


def test_a_chart_is_a_file_of_its_own() -> None:
    several = [("a", 1, [1, 2, 4], [3, 6, 12]), ("b", 2, [1, 2, 4], [1, 1, 1])]
    text = drawing.doublings("Cost", "amount", "seconds", several)
    root = ElementTree.fromstring(text)  # noqa: S314
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("viewBox") == f"0 0 {860 + drawing.ROOM} 330"
    assert "--truth" in text
    # `a` grows as the work: two doublings of both.
    assert "a: starts with 0 at 0, is highest with 2 at 2, ends with 2 at 2." in text
    assert "b: starts with 0 at 0, is highest with 0 at 0, ends with 0 at 2." in text
