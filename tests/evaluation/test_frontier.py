from __future__ import annotations

import copy
import io
import json
import math
import re
import subprocess
import sys
from itertools import combinations
from typing import Any

import pytest
from rich.console import Console

from trueward.evaluation.frontier import FrontierRun, frontier, names
from trueward.reporting import frontier_page
from trueward.reporting.chart_style import TONES, shape

HOSTILE = "<img src=x onerror=alert(1)></bdi><script>alert(2)</script>\u202e\x1b[31m\x00\ud800 {{ 7*7 }}"


def point(truth: float | None, proxy: float, kl: float) -> dict[str, Any]:
    se = None if truth is None else 0.05
    return {"proxy": proxy, "proxy_se": 0.02, "truth": truth, "truth_se": se, "win_rate": 0.8, "win_rate_low": 0.75,
            "win_rate_high": 0.84, "kl": kl, "kl_se": 0.1}  # fmt: skip


def made(
    name: str, kind: str = "ppo", beta: float = 0.1, seed: int = 0, truth: float = 1.0, proxy: float = 1.2, kl: float = 9.0,
    **changes: Any,
) -> FrontierRun:  # fmt: skip
    """A run; `changes` are settings as section__field."""
    recipe: dict[str, Any] = {
        "name": "recipe", "seed": seed, "model": {"base": "a"}, "data": {"prompts": ""}, "sft": {"epochs": 1.0},
        "sampler": {"temperature": 1.0}, "comparisons": {"count": 100}, "reward": {"epochs": 1.0},
        "policy": {"kind": kind, "kl_coef": beta, "steps": 20, "best_of_n": {"n": 8}},
        "evaluation": {"truths": ["b"], "prompts": 64}, "runtime": {"threads": 1},
    }  # fmt: skip
    for key, value in changes.items():
        section, field = key.split("__")
        recipe[section][field] = value
    report: dict[str, Any] = {
        "format": 2, "seed": seed, "recipe": recipe, "best_step": 10, "optimiser": {"kind": kind, "steps": 20},
        "policies": {"sft": point(0.0, 0.01, 0.0), "policy": point(truth, proxy, kl), "best": point(truth + 0.3, 1.0, 4.0)},
        "history": [{"step": s, **point(truth * s / 20, proxy * s / 20, kl * s / 20)} for s in (0, 10, 20)],
        "best_of_n": [],
    }  # fmt: skip
    if kind == "best_of_n":
        report |= {"history": [], "best_step": None, "optimiser": {"kind": kind, "n": 8, "kl_bound": 1.204}}
        del report["policies"]["best"]
        report["best_of_n"] = [{"n": n, "kl": kl * n / 8, "proxy": n / 8, "truth": n / 9} for n in (1, 2, 4, 8)]
    digests = {
        "prepare": "p",
        "sft": f"sft of {seed} {recipe['sft']}",
        "reward_model": f"rm of {seed} {recipe['reward']}",
    }
    return FrontierRun(name, report, digests)


def words(page: str) -> str:
    body = re.sub(r"<(style|title|desc)\b.*?</\1>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)).replace("\u00a0", " ")


def printed(table: dict[str, Any]) -> str:
    out = io.StringIO()
    Console(file=out, width=100, color_system=None).print(frontier_page.table(table))
    return out.getvalue()


# Rows.


def test_a_row_holds_what_the_report_says() -> None:
    table = frontier([made("one", truth=0.5), made("two", "dpo", 0.3, truth=1.5, kl=16.0)])
    assert [(r["run"], r["kind"], r["kl_coef"], r["n"], r["seeds"]) for r in table["runs"]] == [
        ("dpo β=0.3", "dpo", 0.3, None, [0]),
        ("ppo β=0.1", "ppo", 0.1, None, [0]),
    ]
    first = table["runs"][0]
    assert first["final"]["truth"] == 1.5
    assert first["final"]["truth_half"] == pytest.approx(1.96 * 0.05)
    assert first["final"]["root_kl"] == 4.0
    assert first["best"]["truth"] == 1.8
    assert first["best_steps"] == [10]
    assert [(at["step"], at["truth"], at["root_kl"]) for at in first["path"]] == [
        (0, 0.0, 0.0),
        (10, 0.75, pytest.approx(math.sqrt(8))),
        (20, 1.5, 4.0),
    ]
    assert table["sft"]["proxy"] == 0.01
    assert table["truth"] == "b"
    assert table["notes"] == []


def test_best_of_n_is_a_curve_over_n() -> None:
    (row,) = frontier([made("one", "best_of_n", kl=1.21)])["runs"]
    assert (row["run"], row["kl_coef"], row["n"], row["best"]) == ("best_of_n n=8", None, 8, None)
    assert row["final"]["root_kl"] == pytest.approx(1.1)
    assert [at["n"] for at in row["path"]] == [1, 2, 4, 8]
    assert [at["truth"] for at in row["path"]] == pytest.approx([1 / 9, 2 / 9, 4 / 9, 8 / 9])


def test_a_best_that_is_the_last_step_is_not_shown_twice() -> None:
    run = made("one")
    run = FrontierRun("one", {**run.report, "best_step": 20}, run.digests)
    (row,) = frontier([run])["runs"]
    assert row["best"] is None


def test_an_estimate_below_zero_has_no_root_and_stands_at_zero() -> None:
    assert frontier([made("one", kl=-0.01)])["runs"][0]["final"]["root_kl"] == 0.0


def test_seeds_are_means_with_students_interval() -> None:
    table = frontier(
        [made("c", seed=2, truth=1.6), made("a", truth=1.0), made("b", seed=1, truth=1.3), made("a again")]
    )
    (row,) = table["runs"]
    assert row["seeds"] == [0, 1, 2]
    assert row["runs"] == ["a", "b", "c"]
    assert row["final"]["truth"] == pytest.approx(1.3)
    # SD .3 over three seeds: 4.303 · .3/√3
    assert row["final"]["truth_half"] == pytest.approx(4.302652730 * 0.3 / math.sqrt(3), rel=1e-9)
    assert [at["truth"] for at in row["path"]] == pytest.approx([0, 0.65, 1.3])
    assert "means over them" in table["notes"][0]
    assert row["final"]["win_rate_low"] == pytest.approx(0.8)  # the same in every seed


def test_rows_with_other_seeds_are_noted() -> None:
    notes = frontier([made("a"), made("b", "dpo"), made("c", "dpo", seed=1)])["notes"]
    assert any("Not all rows have the same seeds" in note for note in notes)


# Names.


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([made("a"), made("b", beta=0.3)], ["ppo β=0.1", "ppo β=0.3"]),
        ([made("a"), made("b", "dpo")], ["ppo β=0.1", "dpo β=0.1"]),
        ([made("a"), made("b", policy__steps=40)], ["ppo β=0.1 steps=20", "ppo β=0.1 steps=40"]),
        ([made("a"), made("b", policy__clip=0.3)], ["ppo β=0.1 clip=not set", "ppo β=0.1 clip=0.3"]),
        ([made("a"), made("b", policy__steps=1, policy__x=2, policy__y=3)], ["a", "b"]),
        ([made("a", "sft_on_best"), made("b", "best_of_n")], ["sft_on_best n=8", "best_of_n n=8"]),
    ],
)
def test_runs_are_named_by_what_they_differ_in(runs: list[FrontierRun], expected: list[str]) -> None:
    assert names([[run] for run in runs]) == expected


# What can't share an axis.


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (made("two", sft__epochs=2.0), r"their SFT policies differ \(sft\.epochs is 1 and 2\)$"),
        (made("two", seed=1, sampler__temperature=0.7), r"SFT policies differ \(sampler\.temperature is 1 and 0\.7\)$"),
        (made("two", evaluation__truths=["model:x"]), r"their truths differ \(b and model:x\)$"),
        (made("two", evaluation__truths=[]), r"their truths differ \(b and none\)$"),
        (made("two", sft__epochs=2.0, evaluation__truths=["c"]), r"SFT policies differ \(.*\); their truths differ"),
    ],
)
def test_runs_of_another_task_are_refused(other: FrontierRun, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"^one and two can't stand on one axis: .*{reason}"):
        frontier([made("one"), made("three", "dpo"), other])


@pytest.mark.parametrize(("seed", "stage"), [(0, "sft"), (1, "prepare")])
def test_other_files_under_the_same_settings_are_refused(seed: int, stage: str) -> None:
    other = made("two", seed=seed)
    other = FrontierRun("two", other.report, {**other.digests, stage: "changed"})
    with pytest.raises(ValueError, match=f"other files went into the stage {stage}"):
        frontier([made("one"), other])


def test_another_reward_model_is_noted() -> None:
    (note,) = frontier([made("one"), made("two", reward__epochs=2.0)])["notes"]
    assert "(one and two: reward.epochs is 1 and 2)" in note
    other = made("two", "dpo")
    (note,) = frontier([made("one"), FrontierRun("two", other.report, {**other.digests, "reward_model": "changed"})])[
        "notes"
    ]
    assert "other files went into the stage reward_model" in note


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda r: r.update(format=1), "format 2"),
        (lambda r: r.pop("recipe"), "recipe is missing"),
        (lambda r: r.update(seed=None), "seed is missing"),
        (lambda r: r["recipe"].pop("sft"), r"recipe\.sft is missing"),
        (lambda r: r["policies"].pop("policy"), "no tuned policy"),
    ],
)
def test_a_damaged_report_is_one_clear_line(damage: Any, reason: str) -> None:
    run = made("one")
    damage(run.report)
    with pytest.raises(ValueError, match=rf"^one: report\.json: .*{reason}"):
        frontier([run])
    with pytest.raises(ValueError, match=r"one: report\.json: expected"):
        frontier([FrontierRun("one", [], {})])  # type: ignore[arg-type]  # an empty recipe


# Words, table, page.


def test_the_headline_says_what_the_numbers_say() -> None:
    runs = [
        made("a", truth=1.5, proxy=1.55),
        made("b", "dpo", truth=1.4, proxy=1.5),
        made("c", "rloo", truth=0.2, proxy=2.0),
    ]
    headline = frontier_page.headline(frontier(runs)).replace("\u00a0", " ")
    assert headline == (
        "ppo β=0.1 has the highest truth: +1.50 ± 0.10 SD at a KL of 9.0 nats; 80 % of its answers are preferred to SFT’s. "
        "Not measurably behind: dpo β=0.1. ppo β=0.1 had more truth on its way: +1.80 SD at step 10, +1.50 at its end. "
        "dpo β=0.1 had more truth on its way: +1.70 SD at step 10, +1.40 at its end. "
        "rloo β=0.1 had more truth on its way: +0.50 SD at step 10, +0.20 at its end. "
        "The proxy promises most beyond the truth in rloo β=0.1: +2.00 against +0.20."
    )


def test_the_table_fits_and_holds_its_numbers() -> None:
    runs = [made("a", truth=-12.34, proxy=-12.5, kl=123.4), made("b", "best_of_n"), *(made(f"s{i}", "sft_on_best", seed=i)
            for i in range(12))]  # fmt: skip
    text_table = printed(frontier(runs))
    assert all(len(line) <= 100 for line in text_table.splitlines())
    assert "…" not in text_table
    for text in ("SFT", "ppo β=0.1", "best, step 10", "−12.34 ± 0.10", "123.4", "11.1", "best_of_n n=8", "80 %", "0.1"):
        assert text in text_table, text
    row = next(line.split() for line in text_table.splitlines() if line.strip().startswith("best_of_n"))
    assert row[:4] == ["best_of_n", "n=8", "best_of_n", "–"]


def test_seeds_are_told_briefly() -> None:
    for values, text in (([0], "0"), ([2, 0, 1], "0–2"), ([0, 1], "0, 1"), ([1, 5, 6, 7, 9], "1, 5–7, 9")):
        assert frontier_page.seeds(values) == text


def test_the_page_shows_every_run_and_is_well_formed(read_tags: Any) -> None:
    runs = [made("a"), made("b", "dpo", 0.3, truth=0.4), made("c", "best_of_n", truth=0.7, kl=1.2)]
    page = frontier_page.page(frontier(runs))
    tags = read_tags(page)
    assert not tags.open
    seen = words(page)
    for text in ("ppo β=0.1", "dpo β=0.3", "best_of_n n=8", "+0.40 ± 0.10", "75–84 %", "best, step 10", "Each run alone",
                 "( b )", "Frontier: 3 runs"):  # fmt: skip
        assert text in seen, text
    pictures = [a for tag, a in tags.seen if tag == "svg" and a.get("role") == "img"]
    assert len(pictures) == 2 + 3
    ids = [a["id"] for _, a in tags.seen if "id" in a]
    assert len(ids) == len(set(ids))
    assert all("scope" in a for tag, a in tags.seen if tag == "th")
    wide = page[page.index('class="wide"') : page.index('class="narrow"')]
    # SFT, three finals in truth and in proxy, two bests in truth; two lines a run; three names and SFT's
    assert wide.count('class="mark truth') == 1 + 3 + 2
    assert wide.count('class="mark proxy') == 3
    assert wide.count('class="ring truth') == 2
    assert wide.count('class="line truth') == wide.count('class="line proxy') == 3
    assert wide.count('class="bar truth') == 1 + 3 + 2
    assert wide.count('class="name') == 4


def test_one_run_has_no_second_picture_of_itself() -> None:
    assert "Each run alone" not in frontier_page.page(frontier([made("a")]))


def test_the_page_loads_nothing_and_hostile_text_stays_text(read_tags: Any) -> None:
    runs = [
        made(HOSTILE, evaluation__truths=[HOSTILE], policy__kind=HOSTILE),
        made(HOSTILE + "2", evaluation__truths=[HOSTILE]),
    ]
    page = frontier_page.page(frontier(runs))
    page.encode("utf-8")
    tags = read_tags(page)
    assert not tags.open
    assert not {"img", "script", "iframe", "link", "object", "a", "form", "base"} & {tag for tag, _ in tags.seen}
    assert not [name for _, attributes in tags.seen for name in attributes if name.startswith("on")]
    assert not {"src", "href", "srcset", "xlink:href"} & {name for _, a in tags.seen for name in a}
    assert not re.search(r"https?:|//[a-z]|url\(|@import|javascript:", page.replace(HOSTILE, ""), flags=re.I)
    assert "{{ 7*7 }}" in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", page)
    assert "\x1b" not in printed(frontier(runs)) + frontier_page.headline(frontier(runs))


def test_numbers_may_be_missing(read_tags: Any) -> None:
    without = made("one", evaluation__truths=[])
    for row in [*without.report["policies"].values(), *without.report["history"]]:
        row |= {"truth": None, "truth_se": None, "win_rate": None, "win_rate_low": None, "win_rate_high": None}
    bare = made("two", "dpo", evaluation__truths=[])
    bare.report["policies"]["policy"] = {"proxy": 0.3, "kl": math.nan}
    del bare.report["policies"]["best"], bare.report["history"], bare.report["optimiser"]
    table = frontier([without, bare])
    assert any("Nothing measured the truth" in note for note in table["notes"])
    page = frontier_page.page(table)
    assert not read_tags(page).open
    seen = words(page) + printed(table) + frontier_page.headline(table)
    assert not re.search(r"\b(None|nan|inf)\b", seen)
    json.dumps(table, allow_nan=False)


def test_many_runs_keep_their_names_apart_and_their_marks_different() -> None:
    runs = [made(f"r{i}", beta=0.01 * (i + 1), truth=1 + i / 50, kl=9.0 + i / 10) for i in range(12)]
    page = frontier_page.page(frontier(runs))
    wide = page[page.index('class="wide"') : page.index('class="narrow"')]
    placed = [(float(x), float(y), len(text)) for x, y, text in
              re.findall(r'class="name[^"]*" x="([\d.]+)" y="([\d.]+)">([^<]+)<', wide)]  # fmt: skip
    assert len(placed) == 13
    for i, (x, y, length) in enumerate(placed):
        assert not [
            1 for u, v, other in placed[i + 1 :] if abs(y - v) < 12 and x < u + 6 * other and u < x + 6 * length
        ]
    marks = re.findall(r'class="mark truth tone-(\d)" transform="[^"]*scale\(1\)" d="([^"]+)"', wide)
    assert len(set(marks)) == len(marks) == 13


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("theme", "paper"), [(0, "#ffffff"), (1, "#14171a")])
def test_every_colour_can_be_read_as_text(theme: int, paper: str) -> None:
    for tones in TONES:
        light, dark = sorted((luminance(tones[theme]), luminance(paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, tones


def test_reports_are_not_changed_and_it_starts_without_torch() -> None:
    runs = [made("a"), made("b", "dpo")]
    before = copy.deepcopy(runs)
    frontier_page.page(frontier(runs))
    assert runs == before
    code = "import sys, trueward.reporting.frontier_page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# What is left of a colour in linear RGB for those without one kind of cone (Machado et al. 2009, severity 1).
CONES = {
    "red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def seen_without(cone: str, colour: str) -> tuple[float, float, float]:
    """CIELAB of what is seen."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    red, green, blue = (min(1.0, max(0.0, sum(a * b for a, b in zip(row, linear, strict=True)))) for row in CONES[cone])
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089
    f, g, h = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * g - 16, 500 * (f - g), 200 * (g - h)


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("cone", CONES)
def test_colours_that_look_alike_to_someone_have_other_shapes(cone: str, theme: int) -> None:
    for i, j in combinations(range(len(TONES)), 2):
        far = math.dist(seen_without(cone, TONES[i][theme]), seen_without(cone, TONES[j][theme]))
        assert far > 10 or shape(i) != shape(j), (i, j, far)
