from __future__ import annotations

import copy
import html
import io
import json
import math
import re
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from trueward.reporting import report as reports
from trueward.reporting import report_text
from trueward.reporting.formatting import percent
from trueward.reporting.report_rows import POLICIES

HOSTILE = (
    "<img src=x onerror=alert(1)></bdi></pre><script>alert(2)</script>\u202e gnihsif \x1b[31m\x00\ud800 \"' {{ 7*7 }}"
)


def policy(truth: float, proxy: float, win: float | None, kl: float) -> dict[str, Any]:
    interval = {
        "win_rate_low": None if win is None else win - 0.04,
        "win_rate_high": None if win is None else win + 0.03,
    }
    return {
        "proxy": proxy, "proxy_se": 0.05, "truth": truth, "truth_se": 0.06, "truths": {"a": truth, "b": truth / 2},
        "win_rate": win, **interval, "kl": kl, "kl_se": 0.25, "kl_k1": kl, "length": 40 + kl, "eos_rate": 0.93,
        "distinct_1": 0.57, "echo_rate": 0.012, "prompts": 256,
    }  # fmt: skip


@pytest.fixture
def report() -> dict[str, Any]:
    return {
        "format": 2, "trueward": "0.1.0", "name": "reviews", "seed": 7, "verdict": None, "best_step": 40,
        "recipe": {"seed": 7, "model": {"lora": None}, "policy": {"kind": "ppo", "adam": {"betas": [0.9, 0.95]}}},
        "seconds": {"prepare": 12.1, "sft": 185.0, "policy": 4000.0},
        "policies": {
            "base": policy(-0.81, -1.13, 0.21, 38.2), "sft": policy(0.02, 0.01, None, 0.0),
            "policy": policy(1.22, 2.41, 0.85, 9.1), "best": policy(1.37, 1.98, 0.88, 7.3),
        },
        "reward_model": {"accuracy": 0.712, "accuracy_low": 0.684, "accuracy_high": 0.739, "nll": 0.561,
                         "agreement": 0.73, "comparisons": 6000, "held_out": 1000, "mean": 0.31, "sd": 1.42},
        "sft": {"held_out_nll_before": 3.91, "held_out_nll_after": 3.42, "demonstrations": 4000},
        "annotators": {"simulated": True, "description": "two classifiers", "agreement": 0.73, "temperature": 0.4,
                       "classifiers": {"first": {"accuracy": 0.881, "examples": 11000}}},
        "history": [
            {"step": i, "proxy": i / 20, "proxy_se": 0.06, "truth": i / 40, "truth_se": 0.07, "kl": i / 5, "kl_se": 0.1,
             "win_rate": 0.6, "length": 31.5 + i, "eos_rate": 0.9, "distinct_1": 0.5, "entropy": 2.5, "seconds": 4.0}
            for i in range(0, 61, 10)
        ],
        "samples": [
            {"prompt": f"prompt {i}", "answers": {
                "base": {"response": "", "proxy": None, "truth": None, "finished": True},
                "sft": {"response": f"calm {i}", "proxy": 0.1, "truth": 0.2, "finished": True},
                "policy": {"response": f"great {i}", "proxy": float(i), "truth": 0.5, "finished": i != 3}}}
            for i in range(10)
        ],
        "left_out": [{"what": "demonstrations", "reason": "longer than 128 tokens", "rows": 12}],
        "notes": ["a note"], "peak_memory_mb": 1512.6, "command": "trueward run reviews",
    }  # fmt: skip


def words(page: str) -> str:
    """What a reader sees, with ordinary spaces."""
    body = re.sub(r"<(style|title|desc)\b.*?</\1>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def printed(report: dict[str, Any]) -> str:
    out = io.StringIO()
    Console(file=out, width=100, color_system=None).print(reports.table(report))
    return out.getvalue()


def poisoned(value: Any) -> Any:
    """The same report with hostile text wherever a text may stand, names included."""
    if isinstance(value, dict):
        return {key: poisoned(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [poisoned(inner) for inner in value]
    return HOSTILE if isinstance(value, str) else value


def test_every_number_of_the_pipeline_is_on_the_page(report: dict[str, Any]) -> None:
    seen = words(reports.page(report))
    for number in ("−0.81", "−1.13", "21 %", "17–24 %", "38.2", "+1.22", "+2.41", "85 %", "81–88 %", "9.1", "49.1",
                   "93 %", "0.57", "1 %", "+1.37", "7.3", "± 0.12", "± 0.10", "± 0.5", "+0.61"):  # fmt: skip
        assert number in seen, number


def test_the_other_parts_and_their_numbers_are_on_the_page(report: dict[str, Any]) -> None:
    seen = words(reports.page(report))
    for text in ("71.2 %", "68.4–73.9 %", "between 73 % and 84 %", "0.561", "6,000", "1,000", "+0.31, SD 1.42",
                 "3.91 to 3.42", "4,000", "Simulated: no person was asked", "two classifiers", "88.1 %", "11,000",
                 "cut off", "longer than 128", "an empty answer", "12.1 s", "3 min 05 s", "1 h 07 min",
                 "1 h 10 min in all", "1,513 MB", "a note",
                 "trueward run reviews", 'kind = "ppo"', "[policy.adam]", "# lora is not set", "Seed 7"):  # fmt: skip
        assert text in seen, text
    assert seen.index("great 9") < seen.index("great 8") < seen.index("great 0")  # the worst hacks first


def test_the_parts_stand_in_their_order(report: dict[str, Any]) -> None:
    parts = re.findall(r"<h2>(.*?)</h2>", reports.page(report))
    assert parts == ["The pipeline", "Is the reward earned?", "How it answers", "The reward model", "The annotators",
                     "10 prompts, side by side", "Rows left out", "Time and memory", "Run it again"]  # fmt: skip


def test_the_page_is_well_formed_and_can_be_heard(report: dict[str, Any], read_tags: Any) -> None:
    page = reports.page(report)
    tags = read_tags(page)
    assert not tags.open
    names = [tag for tag, _ in tags.seen]
    assert names.count("table") == names.count("caption")
    assert names.count("svg") == 6  # five plots, the first in two widths
    assert (
        names.count("figure")
        == names.count("figcaption")
        == len(re.findall(r"<figcaption>.*?</figcaption>\s*<details>", page))
    )
    assert all(a.get("role") == "img" and a.get("aria-labelledby") and a.get("aria-describedby")
               for tag, a in tags.seen if tag == "svg")  # fmt: skip
    ids = [a["id"] for _, a in tags.seen if "id" in a]
    assert len(ids) == len(set(ids))
    assert all("scope" in a for tag, a in tags.seen if tag == "th")


def test_hostile_text_stays_text(report: dict[str, Any], read_tags: Any) -> None:
    bad = poisoned(report)
    bad["annotators"]["classifiers"] = {HOSTILE: {"accuracy": 0.9, "examples": 1}}
    bad["seconds"] = {HOSTILE: 1.0}
    bad["recipe"] = {HOSTILE: {HOSTILE: HOSTILE}}
    bad["verdict"] = {"word": HOSTILE, "rule": HOSTILE, "numbers": {HOSTILE: HOSTILE}, "best_step": 1}
    for row in bad["policies"].values():
        row["truths"] = {"first": 1.0, HOSTILE: 1.0}
    page = reports.page(bad)
    page.encode("utf-8")  # no half surrogates
    tags = read_tags(page)
    assert not tags.open
    assert not {"img", "script", "iframe", "link", "object", "a", "form", "base"} & {tag for tag, _ in tags.seen}
    assert not [name for _, attributes in tags.seen for name in attributes if name.startswith("on")]
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "{{ 7*7 }}" in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", page)
    # Every bidi control stands inside its own <bdi>, so that it cannot turn what follows.
    body = page.partition("<body>")[2]
    for turn in re.finditer("\u202e", body):
        before = body[: turn.start()]
        assert len(re.findall(r"<bdi\b", before)) == before.count("</bdi>") + 1
    printed_table = printed(bad) + "\n".join(reports.summary(bad))
    assert "\x1b" not in printed_table


def test_the_page_loads_nothing(report: dict[str, Any], read_tags: Any) -> None:
    page = reports.page(report)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|javascript:", page, flags=re.I)
    assert not {"src", "href", "srcset", "xlink:href"} & {name for _, a in read_tags(page).seen for name in a}
    (policy,) = [a["content"] or "" for t, a in read_tags(page).seen if t == "meta" and "http-equiv" in a]
    assert "default-src 'none'" in policy
    assert "style-src 'unsafe-inline'" in policy


PARTS = [
    "policies", "reward_model", "sft", "annotators", "history", "samples", "left_out", "notes", "seconds", "recipe",
    "best_step", "peak_memory_mb", "command", "name", "seed", "trueward",
]  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_a_part_may_be_missing_or_null(report: dict[str, Any], part: str, read_tags: Any) -> None:
    for changed in ({k: v for k, v in report.items() if k != part}, {**report, part: None}):
        page = reports.page(changed)
        assert not read_tags(page).open
        assert "None" not in words(page)
        assert "None" not in printed(changed) + "".join(reports.summary(changed))


def test_any_number_may_be_null_or_nan(report: dict[str, Any]) -> None:
    def without(value: Any, hole: float | None) -> Any:
        if isinstance(value, dict):
            return {key: without(inner, hole) for key, inner in value.items()}
        if isinstance(value, list):
            return [without(inner, hole) for inner in value]
        return hole if isinstance(value, int | float) and not isinstance(value, bool) else value

    for hole in (None, math.nan, math.inf):
        for key in ("policies", "history", "reward_model", "sft", "annotators", "samples", "left_out", "seconds"):
            changed = {**report, key: without(report[key], hole)}
            seen = words(reports.page(changed)) + printed(changed) + "".join(reports.summary(changed))
            assert not re.search(r"\b(None|nan|inf)\b", seen), (key, hole)
        assert reports.page(without(report, hole))
    assert reports.page({})
    assert reports.summary({}) == ["No tuned policy has been measured yet."]


def test_nan_in_the_history_is_a_gap_in_the_line(report: dict[str, Any]) -> None:
    whole = reports.page(report).count('class="line truth"')
    report["history"][3]["truth"] = math.nan
    # the truth's line is on three plots (one of them in two widths it counts twice): each falls in two
    assert reports.page(report).count('class="line truth"') == whole + 3


@pytest.mark.parametrize("step", [40, 41, None])
def test_the_best_step_is_marked_where_it_was_evaluated(report: dict[str, Any], step: int | None) -> None:
    assert reports.page({**report, "best_step": step}).count('<line class="best"') == (6 if step == 40 else 0)


def test_a_verdict_stands_on_top_and_none_is_made_up(report: dict[str, Any]) -> None:
    assert 'class="verdict"' not in reports.page(report)
    verdict = {"word": "over-optimised", "rule": "down from its peak", "numbers": {"p": 0.0004}, "best_step": 40}
    seen = words(reports.page({**report, "verdict": verdict}))
    assert (
        seen.index("over-optimised")
        < seen.index("down from its peak")
        < seen.index("0.0004")
        < seen.index("Truth rose")
    )


def test_the_statistics_stand_behind_verbose_and_on_the_page(report: dict[str, Any]) -> None:
    numbers = {"evaluations": 3, "truth_gain": 0.02, "truth_gain_se": 0.36, "truth_gain_z": 0.05, "needed_z": 2.9}
    report["verdict"] = {"word": "inconclusive", "rule": "not moved", "numbers": numbers, "best_step": 40}
    sentence, *rest = reports.summary(report)
    assert sentence == "Inconclusive: not moved (truth +0.02 ± 0.71 SD)."
    assert not any("z = " in line for line in [sentence, *rest])
    again, statistics, *others = reports.summary(report, verbose=True)
    assert (again, others) == (sentence, rest)
    assert "its test z = 0.1, and evaluation 3 needs 2.9" in statistics
    assert "Its test z = 0.1, and evaluation 3 needs 2.9" in words(reports.page(report))


def test_the_headline_says_what_the_numbers_say(report: dict[str, Any]) -> None:
    def headline() -> str:
        return report_text.headline(report).replace("\u00a0", " ")

    assert headline() == (
        "Truth rose by 1.20 SD and the proxy rose by 2.40 SD, at a KL of 9.1 nats; 85 % of its answers are preferred "
        "to SFT’s. Truth was higher at step 40: +1.37 SD, against +1.22 at the end."
    )
    report["policies"]["policy"]["truth"], report["best_step"] = 0.05, None
    assert headline().startswith("Truth did not change measurably (+0.03 ± 0.17 SD) and the proxy rose by 2.40 SD")
    assert "higher at" not in headline()
    report["policies"]["policy"]["truth"] = -0.5
    assert headline().startswith("Truth fell by 0.52 SD")
    del report["policies"]["policy"]
    assert headline() == "No tuned policy has been measured yet."


def test_the_terminal_table_fits_and_holds_its_numbers(report: dict[str, Any]) -> None:
    report["policies"]["policy"] |= {"kl": 1234.5, "proxy": -12.34, "truth": -12.34, "length": 1024.0}
    printed_table = printed(report)
    assert all(len(line) <= 100 for line in printed_table.splitlines())
    assert Console(width=100).measure(reports.table(report)).maximum <= 100
    assert "…" not in printed_table
    for number in (
        "−12.34 ± 0.10",
        "+1.37 ± 0.12",
        "85 % 81–88 %",
        "1,234.5",
        "1,024.0",
        "93 %",
        "0.57",
        "win rate",
        "distinct-1",
    ):
        assert number in printed_table, number
    rows = [
        line.split()[0] for line in printed_table.splitlines() if line.split() and line.split()[0] in POLICIES.values()
    ]
    assert rows == ["base", "SFT", "policy", "best"]


def test_the_lines_under_the_table(report: dict[str, Any]) -> None:
    _, accuracy, ceiling, judges, costs = reports.summary(report)
    assert accuracy.endswith("picks the annotator’s choice in 71.2 % of held-out comparisons (95 %: 68.4–73.9 %).")
    assert ceiling.startswith("Two annotators agree on 73 % of comparisons")
    assert "between 73 % and 84 %" in ceiling
    assert "simulated" in judges
    assert costs == "It took 1 h 10 min in all. At its peak it held 1,513 MB of memory."
    report["annotators"]["simulated"] = False
    assert not any("simulated" in line for line in reports.summary(report))


def test_percentages_do_not_round_to_all_or_nothing() -> None:
    printed_table = [percent(v).replace("\u00a0", " ") for v in (0.996, 1.0, 0.004, 0.0, 0.5, None)]
    assert printed_table == ["99.6 %", "100 %", "0.4 %", "0 %", "50 %", "–"]


def test_the_report_is_not_changed_and_survives_json(report: dict[str, Any]) -> None:
    before = copy.deepcopy(report)
    page = reports.page(report)
    reports.table(report), reports.summary(report)
    assert report == before
    assert reports.page(json.loads(json.dumps(report))) == page


def test_it_starts_without_torch() -> None:
    code = "import sys, trueward.reporting.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def best_of_4(report: dict[str, Any]) -> dict[str, Any]:
    rows = [
        {"n": n, "kl": n / 10, "proxy": n / 7, "proxy_se": 0.1, "truth": n / 9, "truth_se": 0.2, "normal": n / 5}
        for n in (1, 2, 4)
    ]
    report["optimiser"] = {"kind": "best_of_n", "steps": 0, "n": 4, "kl_bound": 0.6363}
    report["reward_model"] |= {"clean_accuracy": 0.7, "promised": [{"n": 2, "gain": 0.4711}]}
    del report["policies"]["best"]
    return {**report, "history": [], "best_step": None, "best_of_n": rows}


def test_best_of_n_is_said_and_drawn(best_of_4: dict[str, Any], read_tags: Any) -> None:
    headline = report_text.headline(best_of_4).replace("\u00a0", " ")
    assert headline.startswith(
        "Nothing was trained: the SFT policy answered each prompt 4 times, and the reward model’s"
    )
    assert "at a KL of at most 9.1 nats" in headline
    page = reports.page(best_of_4)
    assert not read_tags(page).open
    seen = words(page)
    for text in ("best of 4 answers moves at most 0.64 nats", "+0.57 ± 0.20", "+0.44 ± 0.39", "+0.80", "promised",
                 "the SFT policy with the best of its answers kept"):  # fmt: skip
        assert text in seen, text
    assert "nothing to plot" not in seen
    assert [t for t in re.findall(r'text-anchor="middle">(\d+)<', page)] == ["1", "2", "4"] * 2
    assert "+0.47" in seen, "the reward model's own page says so"
    assert "+0.61" in seen, "sin(π(.7 − ½))·E[max_4] = .588·1.029"
    assert any("best of 4 answers" in line for line in reports.summary(best_of_4))


def test_best_of_n_may_be_missing_in_part(best_of_4: dict[str, Any], read_tags: Any) -> None:
    for row in best_of_4["best_of_n"]:
        row |= {"truth": None, "truth_se": None}
    best_of_4["reward_model"] |= {"agreement": None, "clean_accuracy": None}
    best_of_4["annotators"] = None
    page = reports.page(best_of_4)
    assert not read_tags(page).open
    assert "promised" not in words(page)
    assert "None" not in words(page)
    del best_of_4["best_of_n"]
    assert "nothing to plot" in words(reports.page(best_of_4))


def test_dpo_has_a_reward_of_its_own(report: dict[str, Any]) -> None:
    report["optimiser"] = {"kind": "dpo", "steps": 20, "held_out_accuracy": 0.6543}
    assert "DPO’s own reward" in words(reports.page(report))
    assert any("in 65.4 % of the same held-out comparisons" in line for line in reports.summary(report))
