"""Judges as truths, [[evaluation.judge]]: what they are asked, what they say, and what becomes of what they don't say."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trueward import artifacts, config
from trueward.pipeline.judge_truths import call_lines, plan_calls
from trueward.training.journal import read_log

Command = Callable[..., tuple[int, str, str]]
QUESTION = "{principle}|{prompt}|{first}|{second}"
ONCE = "policy.steps=1"
QUIET = ("runtime.judge.retries=0", "runtime.judge.timeout=5", "policy.kind=grpo", "policy.group.size=2")


def judge(service: Any, **settings: Any) -> dict[str, Any]:
    address = service if isinstance(service, str) else service.address
    pairwise = {"question": QUESTION} if settings.get("mode", "pairwise") == "pairwise" else {}
    return {"name": "j", "model": "m", "endpoint": address, "principles": ["long"], **pairwise, **settings}


def judges(*tables: dict[str, Any]) -> str:
    return "evaluation.judge=" + config.as_toml(list(tables), "judges")


def longer(body: dict[str, Any], before: int = 0) -> dict[str, Any]:
    """A service that prefers the longer answer, and otherwise the one shown first."""
    _, _, first, second = body["messages"][0]["content"].split("|")
    return {"text": "A" if len(first) >= len(second) else "B"}


def calls(report: dict[str, Any], name: str) -> int:
    """Of a judge in the whole run: what the policy that was measured last has."""
    return max(row["judges"][name]["calls"] for row in report["policies"].values() if "judges" in row)


def steps(run: Path) -> list[dict[str, Any]]:
    return read_log(run / "policy" / "evaluations.jsonl")


def test_a_judge_compares_with_sft_in_both_orders(baseline: Path, climb: Any, serve: Any, tmp_path: Path) -> None:
    service, name, cache = serve(longer), "compared", f"runtime.judge.cache={tmp_path}/j.jsonl"
    settings = (judges(judge(service)), "evaluation.truths=[]", cache, *QUIET)
    climb(baseline.parent, name, *settings)
    run = baseline.parent / name
    texts = [body["messages"][0]["content"] for body in service.bodies]
    assert len(texts) == len(set(texts)), "nothing is asked twice"
    pairs = {tuple(text.split("|")[1:]) for text in texts}
    assert all((prompt, second, first) in pairs for prompt, first, second in pairs), "both orders"
    report = artifacts.read_json(run / "report.json")
    lines = [json.loads(line) for line in (run / "evaluation" / "policy.jsonl").read_text().splitlines()]
    wanted = [len(s["response"]) - len(s["reference"]) for s in lines]
    sure = math.tanh(math.log(0.95 / 0.05) / 2)
    for sample, gap in zip(lines, wanted, strict=True):
        same = sample["response"] == sample["reference"]
        assert sample["truth"] == pytest.approx(0.0 if same or gap == 0 else math.copysign(sure, gap), abs=1e-4)
    row = report["policies"]["policy"]
    told = row["judges"]["j"]
    assert told["missing"] == 0
    assert told["gain"] == pytest.approx(sum(s["truth"] for s in lines) / len(lines), abs=1e-4)
    assert row["truth"] == told["gain"]
    assert row["win_rate"] == told["win_rate"]
    assert "judges" not in report["policies"]["sft"]
    assert calls(report, "j") == len(texts), "in the end every call is counted"
    assert steps(run)[0]["truth"] == 0.0
    asked = len(service.bodies)
    (run / "policy" / "manifest.json").unlink()
    climb(baseline.parent, name, *settings)
    assert len(service.bodies) == asked, "a resumed run asks nothing again"


@pytest.mark.parametrize("mode", ["pairwise", "pointwise", "grouped"])
def test_a_judge_that_is_down_ends_no_run(baseline: Path, climb: Any, serve: Any, tmp_path: Path, mode: str) -> None:
    service = serve(lambda body, before: {"text": "broken", "status": 503})
    cache = f"runtime.judge.cache={tmp_path}/j.jsonl"
    truths = ('evaluation.truths=["judge:j","b"]', judges(judge(service, mode=mode)), cache, *QUIET, ONCE)
    climb(baseline.parent, f"down-{mode}", *truths)
    report = artifacts.read_json(baseline.parent / f"down-{mode}" / "report.json")
    row = report["policies"]["policy"]
    assert (report["verdict"]["word"], report["verdict"]["rule"][:12]) == ("inconclusive", "not measured")
    assert "503" in report["verdict"]["rule"]
    assert (row["truth"], row["truth_missing"], row["truths"]["judge:j"]) == (None, 16, None)
    assert (row["win_rate"], row["win_rate_low"]) == (None, None), "and no score is made up"
    assert row["truths"]["b"] is not None, "another truth is measured all the same"
    assert len(service.bodies) < 120, "it is not asked on and on"


def test_garbage_is_counted_and_no_score(baseline: Path, climb: Any, serve: Any, tmp_path: Path) -> None:
    def says(body: dict[str, Any], before: int) -> dict[str, Any]:
        text = body["messages"][0]["content"]
        if text.startswith("Rank"):
            shown = re.findall(r"Answer (\w):\n(.*)", text)
            return {"text": " > ".join(letter for letter, _ in sorted(shown, key=lambda one: -len(one[1])))}
        prompt = text.split("|")[1]
        return {"text": "both are fine"} if len(prompt) % 3 == 0 else longer(body)

    cache = f"runtime.judge.cache={tmp_path}/j.jsonl"
    service = serve(says)
    tables = judges(judge(service), judge(service, name="ranks", mode="grouped"))
    climb(baseline.parent, "garbage for truth", tables, cache, *QUIET, ONCE)
    run = baseline.parent / "garbage for truth"
    lines = [json.loads(line) for line in (run / "evaluation" / "policy.jsonl").read_text().splitlines()]
    told = artifacts.read_json(run / "report.json")["policies"]["policy"]["judges"]["j"]
    known = [s["truths"]["judge:j"] for s in lines if s["truths"]["judge:j"] is not None]
    assert all(len(s["prompt"]) % 3 == 0 for s in lines if s["truths"]["judge:j"] is None)
    assert (told["items"], told["missing"]) == (len(known), len(lines) - len(known))
    assert 0 < told["missing"] < 16
    assert told["gain"] == pytest.approx(sum(known) / len(known), abs=1e-4)
    assert "both are fine" in told["failure"]
    ranks = artifacts.read_json(run / "report.json")["policies"]["policy"]["judges"]["ranks"]
    wins = [
        np.mean([np.sign(len(s["response"]) - len(s["reference"]))]) for s in lines
    ]  # of the four answers of SFT's that it is ranked among the samples hold the first
    values = [s["truths"]["judge:ranks"] for s in lines]
    assert (ranks["missing"], ranks["gain"]) == (0, pytest.approx(np.mean(values), abs=1e-4))
    assert np.corrcoef(wins, values)[0, 1] > 0.3
    assert set(np.round(np.array(values) * 4) % 1) == {0.0}, "shares of four"


def test_the_cap_is_kept_and_what_is_over_it_is_missing(baseline: Path, climb: Any, serve: Any, tmp_path: Path) -> None:
    service = serve(longer)
    tables = judges(judge(service, cap=60), judge(service, name="k", principles=["short"]))
    cache = f"runtime.judge.cache={tmp_path}/j.jsonl"
    climb(baseline.parent, "capped", tables, "evaluation.judge_calls=100", cache, *QUIET, ONCE)
    asked = [body["messages"][0]["content"].split("|")[0] for body in service.bodies]
    assert asked.count("long") <= 60
    assert len(asked) <= 100
    run = baseline.parent / "capped"
    final = artifacts.read_json(run / "report.json")["policies"]["policy"]["judges"]
    assert len(asked) == sum(calls(artifacts.read_json(run / "report.json"), name) for name in final)
    rows = [*steps(run)[1:], {"judges": final}]
    assert sum(told["missing"] for row in rows for told in row["judges"].values()) > 0
    assert final["j"]["items"] > 0, "half is kept for the end"
    assert all(told["items"] + told["missing"] == 16 for row in rows for told in row["judges"].values())


def test_a_panel_agrees_and_names_its_worst(baseline: Path, climb: Any, serve: Any, tmp_path: Path) -> None:
    def says(body: dict[str, Any], before: int) -> dict[str, Any]:
        told = longer(body)["text"]
        return {"text": told if body["messages"][0]["content"].startswith("long") else "AB".replace(told, "")}

    service = serve(says)
    tables = judges(judge(service), judge(service, name="same"), judge(service, name="against", principles=["short"]))
    climb(baseline.parent, "panel", tables, f"runtime.judge.cache={tmp_path}/j.jsonl", *QUIET, ONCE)
    row = artifacts.read_json(baseline.parent / "panel" / "report.json")["policies"]["policy"]
    panel, told = row["judge_panel"], row["judges"]
    assert told["j"]["gain"] == told["same"]["gain"] == pytest.approx(-told["against"]["gain"])
    assert panel["judges"] == 3
    assert panel["worst"] == min(told, key=lambda name: told[name]["gain"])
    ties = told["j"]["ties"]
    assert panel["agreement"] == pytest.approx(ties + (1 - ties) / 3, abs=1e-4), "one of three pairs, and all at ties"


def test_the_calls_are_said_before_the_first() -> None:
    recipe = config.read("tiny", [judges(judge("http://h/v1")), "policy.steps=100", "evaluation.every=5",
                                  "evaluation.step_prompts=128", "evaluation.final_prompts=512"])  # fmt: skip
    plan = plan_calls(recipe, recipe.evaluation.judge[0])
    assert (plan.evaluations, plan.step) == (20, 256)
    assert plan.evaluations * plan.step == 5120
    assert "20 evaluations × 128 prompts × 2 orders" in call_lines(recipe)[0]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"base_url": "http://h/v1"}, "base_url is called endpoint here"),
        ({"api_key_env": "KEY"}, "api_key_env is called key here"),
        ({"endpoint": "nowhere"}, "expected an address such as"),
        ({"mode": "rank"}, "'pairwise', 'pointwise' or 'grouped'"),
        ({"rubric": "criteria"}, 'needs mode = "pointwise"'),
        ({"principls": ["x"]}, "unknown key evaluation.judge.0.principls"),
        ({"cap": 0}, "greater than 0"),
        ({"name": "a b"}, "evaluation.judge.0.name"),
    ],
)
def test_a_wrong_judge_is_one_line(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="tiny: ") as error:
        config.read("tiny", [judges({"name": "j", "model": "m", **table})])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_names_of_judges() -> None:
    one = {"name": "j", "model": "m"}
    for changes, said in (
        ([judges(one, one)], "two are called 'j'"),
        ([judges(one), 'evaluation.truths=["judge:k"]'], "there is no [[evaluation.judge]] of this name; there are: j"),
        (["evaluation.judge_calls=5"], "there is no [[evaluation.judge]]"),
    ):
        with pytest.raises(ValueError, match="tiny: ") as error:
            config.read("tiny", changes)
        assert said in str(error.value)
    assert config.read("tiny", [judges(one)]).evaluation.measured == ("b", "judge:j")
    assert config.read("tiny", [judges(one), 'evaluation.truths=["judge:j","b"]']).evaluation.measured == (
        "judge:j",
        "b",
    )


def test_rubrics_are_rated_criterion_by_criterion(baseline: Path, climb: Any, serve: Any, tmp_path: Path) -> None:
    def says(body: dict[str, Any], before: int) -> dict[str, Any]:
        criterion, response = body["messages"][0]["content"].split("|")
        return {"text": str(1 + min(9, len(response.split()) if criterion == "words" else response.count("e")))}

    rows = [{"prompt": f"the {i} film", "rubric": ["words", {"criterion": "ees", "weight": 2}]} for i in range(200)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    one = judge(serve(says), mode="pointwise", rubric="rubric", rating="{principle}|{response}")
    cache = f"runtime.judge.cache={tmp_path}/j.jsonl"
    climb(baseline.parent, "rubrics", judges(one), f"data.prompts={tmp_path}/p.jsonl", cache, *QUIET, ONCE)
    run = baseline.parent / "rubrics"
    told = artifacts.read_json(run / "report.json")["policies"]["policy"]["judges"]["j"]
    assert (told["missing"], set(told["criteria"])) == (0, {"words", "ees"})
    lines = [json.loads(line) for line in (run / "evaluation" / "policy.jsonl").read_text().splitlines()]
    assert told["criteria"]["words"]["items"] == len(lines)
    page = (run / "report.html").read_text()
    assert "Criteria by steps" in page
    with pytest.raises(ValueError, match=r"evaluation\.judge j: rubric: no row of the prompts has a column 'rubrik'"):
        climb(baseline.parent, "none", judges({**one, "rubric": "rubrik"}), f"data.prompts={tmp_path}/p.jsonl", *QUIET)
