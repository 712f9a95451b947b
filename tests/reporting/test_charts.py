from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueward.reporting.chart_axes import ticks
from trueward.reporting.chart_labels import LINE, apart
from trueward.reporting.chart_series import Series
from trueward.reporting.charts import line_chart

values = st.floats(-1e6, 1e6, allow_nan=False)
holes = st.one_of(values, st.none(), st.just(math.nan), st.just(math.inf))


def drawn(series: list[Series], x: list[float | None], **options: object) -> ET.Element:
    return ET.fromstring(line_chart("A title", "step", "SDs", series, x=x, **options))  # noqa: S314 (our own text)


def having(svg: ET.Element, tag: str, css: str) -> list[ET.Element]:
    return [e for e in svg.iter(tag) if css in (e.get("class") or "").split()]


def plot_area(svg: ET.Element) -> tuple[float, float, float, float]:
    box = having(svg, "rect", "plot")[0]
    x, y, width, height = (float(box.get(k) or "nan") for k in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def path_points(path: ET.Element) -> list[tuple[float, float]]:
    text = (path.get("d") or "").strip("MZ")
    return [(float(a), float(b)) for a, b in (pair.split() for pair in text.split("L"))]


@given(values, values, st.integers(2, 8), st.booleans())
def test_ticks_rise_evenly_and_cover_the_data(a: float, b: float, about: int, whole: bool) -> None:
    low, high = min(a, b), max(a, b)
    values = ticks(low, high, about=about, whole=whole)
    steps = [later - earlier for earlier, later in pairwise(values)]
    assert 2 <= len(values) <= 3 * about + 3
    assert all(step > 0 for step in steps)
    assert max(steps) - min(steps) <= 1e-6 * max(steps)
    slack = 1e-6 * steps[0]
    assert values[0] <= low + slack
    assert values[-1] >= high - slack
    if whole:
        assert all(tick == int(tick) for tick in values)


def test_ticks_are_the_round_numbers_a_person_would_choose() -> None:
    assert ticks(0, 120, about=6, whole=True) == [0, 20, 40, 60, 80, 100, 120]
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert ticks(0, 2, whole=True) == [0, 1, 2]
    assert 0 in ticks(0, 0)


@settings(max_examples=60)
@given(st.lists(st.tuples(holes, holes, st.one_of(st.none(), st.floats(0, 1e5))), min_size=1, max_size=12), st.data())
def test_everything_drawn_lies_in_the_plot_area(rows: list[tuple[float, float, float]], data: st.DataObject) -> None:
    x = list(range(len(rows)))
    best = data.draw(st.one_of(st.none(), st.sampled_from(x)))
    svg = drawn(
        [
            Series("truth", [r[0] for r in rows], [r[2] for r in rows]),
            Series("proxy", [r[1] for r in rows], (), "proxy"),
        ],
        [float(i) for i in x],
        best=best,
    )
    if not having(svg, "rect", "plot"):  # nothing but holes
        assert not any(v is not None and math.isfinite(v) for r in rows for v in r[:2])
        return
    left, top, right, bottom = plot_area(svg)
    width, height = (float(v) for v in (svg.get("viewBox") or "").split()[2:])
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    marks = [(float(c.get("cx") or "nan"), float(c.get("cy") or "nan")) for c in svg.iter("circle")]
    for px, py in marks + [p for path in svg.iter("path") for p in path_points(path)]:
        assert left - 0.1 <= px <= right + 0.1
        assert top - 0.1 <= py <= bottom + 0.1


def test_higher_values_stand_higher_and_later_steps_further_right() -> None:
    svg = drawn([Series("truth", [0.0, 1.0, 3.0])], [0.0, 10.0, 20.0])
    dots = [(float(c.get("cx") or 0), float(c.get("cy") or 0)) for c in having(svg, "circle", "dot")]
    (x0, y0), (x1, y1), (x2, y2) = dots
    assert x2 - x1 == pytest.approx(x1 - x0, abs=0.2)
    assert y1 - y2 == pytest.approx(2 * (y0 - y1), abs=0.3)
    assert y0 > y1


def test_nan_makes_a_gap_and_a_lonely_point_is_still_a_dot() -> None:
    svg = drawn([Series("truth", [0.0, 1.0, math.nan, 2.0, None, 1.0, 2.0])], [0, 1, 2, 3, 4, 5, 6])
    assert [len(path_points(path)) for path in having(svg, "path", "line")] == [2, 1, 2]
    assert len(having(svg, "circle", "dot")) == 5
    assert "nan" not in ET.tostring(svg, "unicode").lower()


def test_a_long_history_has_no_dots_but_the_lonely_ones() -> None:
    wave = [math.sin(i / 9) for i in range(200)]
    wave[100] = wave[102] = math.nan
    assert len(having(drawn([Series("truth", wave)], [float(i) for i in range(200)]), "circle", "dot")) == 1


def test_bands_are_95_percent_and_absent_without_errors() -> None:
    svg = drawn([Series("truth", [0.0, 1.0], [0.5, 0.5])], [0, 1])
    (band,) = having(svg, "path", "band")
    up, _, _, down = path_points(band)
    dots = having(svg, "circle", "dot")
    one_unit = float(dots[0].get("cy") or 0) - float(dots[1].get("cy") or 0)
    assert (down[1] - up[1]) / one_unit == pytest.approx(2 * 1.96 * 0.5, abs=0.02)
    assert not having(drawn([Series("truth", [0.0, 1.0])], [0, 1]), "path", "band")


def test_the_best_step_is_marked_and_named_inside_the_picture() -> None:
    for best in (0, 2):
        svg = drawn([Series("truth", [0.0, 1.0, 2.0])], [0, 1, 2], best=best, best_label="best: step 0", width=400)
        (line,) = having(svg, "line", "best")
        (ring,) = having(svg, "circle", "ring")
        assert line.get("x1") == ring.get("cx")
        (label,) = [t for t in svg.iter("text") if t.text == "best: step 0"]
        assert 30 < float(label.get("x") or 0) < 370


@given(st.lists(st.floats(0, 300), min_size=1, max_size=5))
def test_labels_keep_apart_and_in_order(heights: list[float]) -> None:
    placed = apart(heights, 0, 300)
    rank = sorted(range(len(heights)), key=lambda i: heights[i])
    assert all(placed[below] - placed[above] >= LINE - 1e-6 for above, below in pairwise(rank))
    assert all(-1e-6 <= y <= 300 + 1e-6 for y in placed)


def test_two_lines_are_named_and_one_is_not() -> None:
    two = drawn([Series("truth", [1.0, 2.0]), Series("proxy", [1.0, 2.0], (), "proxy")], [0, 1])
    assert [t.text for t in having(two, "text", "name")] == ["truth", "proxy"]
    assert not having(drawn([Series("truth", [1.0, 2.0])], [0, 1]), "text", "name")


def test_it_can_be_heard_and_texts_are_escaped() -> None:
    chart = line_chart("<b>&", "x", "y", [Series("truth", [0.0, 2.0, 1.0])], x=[0, 10, 20])
    svg = ET.fromstring(chart)  # noqa: S314 (our own text)
    assert svg.get("role") == "img"
    title, description = svg.find("title"), svg.find("desc")
    assert title is not None
    assert title.text == "<b>&"
    assert svg.get("aria-labelledby") == title.get("id")
    assert description is not None
    assert description.text == "truth: starts with 0 at 0, is highest with 2 at 10, ends with 1 at 20."
    assert svg.get("aria-describedby") == description.get("id")


def test_fractions_are_drawn_on_the_whole_of_0_to_100_percent() -> None:
    svg = drawn([Series("ended", [0.9, 0.95])], [0, 1], percent=True)
    assert {"0 %", "50 %", "100 %"} <= {t.text for t in svg.iter("text")}


def test_nothing_measured_is_said_and_unequal_lengths_are_refused() -> None:
    assert "Nothing was measured" in line_chart("t", "x", "y", [Series("a", [None])], x=[0])
    with pytest.raises(ValueError, match="2 values for 1 places"):
        line_chart("t", "x", "y", [Series("a", [1.0, 2.0])], x=[0])
