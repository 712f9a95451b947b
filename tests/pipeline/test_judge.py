"""A judge in the ladder: its labels, its ratings, its failures, its price. About 25 s."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trueward import artifacts, config
from trueward.data import jsonl
from trueward.evaluation.statistics import wilson
from trueward.pipeline.evaluation_scorers import named_scorer
from trueward.pipeline.run_home import RunHome
from trueward.records import Comparison, Completion
from trueward.scorers import simulated
from trueward.scorers.judge.rating import JudgeScorer
from trueward.training.journal import read_log

BIAS = 2.0
QUESTION = "{principle}|{prompt}|{first}|{second}"
PAIRS = ("comparisons.source=judge", "judge.model=m", f'judge.question="{QUESTION}"', "judge.principles=['k','l']")
LOCAL = ("judge.model=trueward:tiny", 'judge.principles=["it is","the film seems"]')
ALONE = (
    *LOCAL,
    "comparisons.source=judge",
    'judge.question="{prompt}{response} {principle}"',
    'judge.choices=["warm","dull"]',
)
RATED = (
    *LOCAL,
    "reward.kind=judge",
    'judge.rating="{prompt}{response} {principle}"',
    'judge.ratings=["dull","quite","warm"]',
)


def liking(text: str) -> float:
    return 0.5 * len(text.split()) - 0.1 * text.count("the")


def prefers(body: dict[str, Any], before: int = 0, seconds: float = 0.0) -> dict[str, Any]:
    """A service that likes words, and by two logits whatever is shown first."""
    _, _, first, second = body["messages"][0]["content"].split("|")
    logit = liking(first) - liking(second) + BIAS
    logps = {"A": -math.log1p(math.exp(-logit)), "B": -math.log1p(math.exp(logit))}
    top = dict(sorted(logps.items(), key=lambda item: -item[1]))
    return {"text": next(iter(top)), "tops": [top], "seconds": seconds}


def asks(service: Any, tmp_path: Path, *more: str) -> tuple[str, ...]:
    prices = ("runtime.judge.price_input=1.0", "runtime.judge.price_output=2.0")
    return (*PAIRS, f"judge.endpoint={service.address}", f"runtime.judge.cache={tmp_path}/judge.jsonl", *prices, *more)


def summary(run: Path, stage: str) -> dict[str, Any]:
    return dict(artifacts.read_json(run / stage / "manifest.json")["summary"])


def test_ai_labels_feed_the_same_reward_model(baseline: Path, climb: Any, serve: Any, tmp_path: Path) -> None:
    service = serve(prefers)
    climb(baseline.parent, "judged", *asks(service, tmp_path))
    run = baseline.parent / "judged"
    stages = [row["name"] for row in artifacts.read_json(run / "pipeline.json")]
    assert stages == ["prepare", "sft", "comparisons", "reward_model", "policy", "evaluation", "report"]
    rows = [Comparison.model_validate(r) for _, r in jsonl.read(run / "comparisons/comparisons.jsonl")]
    assert len(rows) > 40
    for row in rows:
        gap = liking(row.first.text) - liking(row.second.text)  # the bias is gone
        assert row.probability == pytest.approx(1 / (1 + math.exp(-gap)), abs=1e-9)
        assert row.source == "judge"
    assert len({b["messages"][0]["content"].split("|")[0] for b in service.bodies}) == 2, "both principles are drawn"

    report = artifacts.read_json(run / "report.json")
    judge = report["annotators"]["judge"]
    assert report["annotators"]["ai"] is True
    assert report["annotators"]["simulated"] is False
    assert "AI-labelled" in report["annotators"]["description"]
    assert judge["position_bias"] == pytest.approx(BIAS)
    assert judge["requests"] == len(rows)
    assert judge["cost"] == pytest.approx(2 * len(rows) * (100 * 1.0 + 2 * 2.0) / 1e6)
    utility = simulated.load(run / "prepare/annotators", "a")
    gaps = np.diff([[v.score for v in utility(list(row.completions()))] for row in rows]).ravel()
    ours = np.array([row.probability - 0.5 for row in rows])
    decided = gaps != 0
    right = float((np.sign(ours) * -np.sign(gaps) / 2 + 0.5)[decided].sum())
    assert judge["agreement"] == pytest.approx(right / decided.sum(), abs=1e-5)
    assert (judge["agreement_low"], judge["agreement_high"]) == pytest.approx(
        wilson(right, int(decided.sum())), abs=1e-5
    )
    assert judge["agreement_with"] == "the simulated utility a"
    page = (run / "report.html").read_text()
    assert "AI-labelled: no person was asked" in page
    assert "It likes the answer shown first by +2.00" in page


def test_the_same_again_asks_nothing(baseline: Path, climb: Any, serve: Any, tmp_path: Path) -> None:
    service = serve(prefers)
    climb(baseline.parent, "once", *asks(service, tmp_path), until="comparisons")
    before = len(service.bodies)
    climb(tmp_path / "elsewhere", "twice", *asks(service, tmp_path), until="comparisons")
    assert len(service.bodies) == before
    one, two = (summary(home / name, "comparisons") for home, name in
                ((baseline.parent, "once"), (tmp_path / "elsewhere", "twice")))  # fmt: skip
    assert one == two, "cost included: what the answers cost when they were asked"


def test_kill_and_resume_through_the_command_line(
    make_processes: Any, small: Callable[..., list[str]], serve: Any, tmp_path: Path
) -> None:
    service = serve(lambda body, before: prefers(body, before, seconds=0.05))
    changes = asks(service, tmp_path, "runtime.judge.concurrency=2")
    command = [*small(*changes), "--until", "comparisons"]
    cache = tmp_path / "judge.jsonl"
    with make_processes(tmp_path) as processes:
        processes.start(*command, "--out", str(tmp_path / "runs/killed"))
        while not (cache.is_file() and cache.read_bytes().count(b"\n") >= 20):
            assert not processes.ended(), (tmp_path / "stderr").read_text()
            time.sleep(0.02)
        assert processes.kill()
        time.sleep(0.2)  # what was under way arrives
        paid, asked = cache.read_bytes().count(b"\n"), len(service.bodies)
        assert asked - paid <= 2
        code, error = processes.run(*command, "--out", str(tmp_path / "runs/killed"))
        assert code == 0, error
    total = summary(tmp_path / "runs/killed", "comparisons")["comparisons"] * 2
    assert total > paid + 20, "killed in the middle"
    assert len(service.bodies) - asked == total - paid, "an answer that was kept is not asked for again"


def test_garbage_is_dropped_and_counted(baseline: Path, climb: Any, serve: Any, tmp_path: Path) -> None:
    def says(body: dict[str, Any], before: int) -> dict[str, Any]:
        text = body["messages"][0]["content"]
        return {"text": "Neither."} if " is " in text.split("|")[2] else prefers(body)

    service = serve(says)
    with pytest.raises(
        ValueError, match=r"the judge m gave no judgement of \d+ of \d+ pairs, more than judge.max_failed"
    ):
        climb(baseline.parent, "garbage", *asks(service, tmp_path), until="comparisons")
    climb(baseline.parent, "some garbage", *asks(service, tmp_path, "judge.max_failed=1"), until="comparisons")
    found = summary(baseline.parent / "some garbage", "comparisons")
    rows = [r for _, r in jsonl.read(baseline.parent / "some garbage/comparisons/comparisons.jsonl")]
    assert found["judge"]["failed"] > 0
    assert found["judge"]["failure"] == "not an answer: 'Neither.'"
    assert len(rows) == found["comparisons"] == found["judge"]["requests"] - found["judge"]["failed"]
    assert not any(" is " in r[side]["text"] for r in rows for side in ("first", "second"))
    assert {"what": "comparisons", "reason": "the judge gave no judgement", "rows": found["judge"]["failed"]} in found[
        "left_out"
    ]


def test_out_of_money_is_one_line_and_more_money_goes_on(
    command: Any, small: Callable[..., list[str]], serve: Any, tmp_path: Path
) -> None:
    service = serve(prefers)

    def run(cap: float) -> tuple[int, str, str]:
        changes = asks(service, tmp_path, f"runtime.judge.cap={cap}")
        found: tuple[int, str, str] = command(
            *small(*changes), "--until", "comparisons", "--out", str(tmp_path / "runs/r")
        )
        return found

    code, _, error = run(0.003)
    assert code == 2
    assert error.splitlines()[-1].startswith("trueward: runtime.judge.cap: ")
    assert "Traceback" not in error
    spent = sum(json.loads(row)["cost"] for row in (tmp_path / "judge.jsonl").read_text().splitlines())
    assert 0 < spent <= 0.003
    asked = len(service.bodies)
    assert run(1.0)[0] == 0
    found = summary(tmp_path / "runs/r", "comparisons")
    assert len(service.bodies) == 2 * found["comparisons"]
    assert asked > 0


def test_people_are_what_it_is_held_against_where_there_are_some(
    baseline: Path, climb: Any, serve: Any, tmp_path: Path
) -> None:
    service = serve(prefers)
    people = tmp_path / "people.jsonl"
    texts = [("a b c", "a"), ("a", "a b"), ("a b", "a c d"), ("the the the", "a b")]
    labels = [1.0, 1.0, 0.0, 0.5]  # the judge is right, wrong, right; a tie is aside
    jsonl.write(people, [
        {"prompt": {"text": "p"}, "first": {"id": "1", "text": a}, "second": {"id": "2", "text": b},
         "probability": p, "source": "ann"} for (a, b), p in zip(texts, labels, strict=True)
    ])  # fmt: skip
    changes = asks(service, tmp_path, f"comparisons.path={people}")
    climb(baseline.parent, "against people", *changes, until="comparisons")
    judge = summary(baseline.parent / "against people", "comparisons")["judge"]
    assert (judge["agreement"], judge["agreement_pairs"]) == (pytest.approx(2 / 3, abs=1e-5), 3)
    assert judge["agreement_with"] == "people, people.jsonl"
    climb(baseline.parent, "against fewer", *changes, "judge.check=2", until="comparisons")
    assert summary(baseline.parent / "against fewer", "comparisons")["judge"]["agreement_pairs"] <= 2


def test_a_judge_that_runs_here_labels(baseline: Path, climb: Any) -> None:
    climb(baseline.parent, "judged here", *ALONE, until="comparisons")
    judge = summary(baseline.parent / "judged here", "comparisons")["judge"]
    assert judge["position_bias"] is None
    assert 0 < judge["mass"] < 1
    assert judge["cost"] == 0


def test_ratings_are_a_reward_on_a_scale_of_their_own(baseline: Path, climb: Any) -> None:
    climb(baseline.parent, "rated", *RATED, "policy.kind=grpo", 'evaluation.truths=["b","judge"]')
    run = baseline.parent / "rated"
    stages = [row["name"] for row in artifacts.read_json(run / "pipeline.json")]
    assert stages == ["prepare", "sft", "reward", "policy", "evaluation", "report"]
    report = artifacts.read_json(run / "report.json")
    assert report["reward"]["kind"] == "judge"
    assert 1 < report["reward"]["mean"] < 3
    judge = report["reward"]["judge"]
    answers = [Completion.model_validate(r) for _, r in jsonl.read(run / "sft/reference.jsonl")]
    assert judge["requests"] == len(answers)
    assert 0 < judge["agreement"] < 1
    assert judge["agreement_pairs"] <= len(answers) / 2
    assert "of SFT’s answers were rated by trueward:tiny" in (run / "report.html").read_text()
    for row in report["policies"].values():
        start = report["policies"]["sft"]["proxy_raw"]
        assert row["proxy_raw"] == pytest.approx(row["proxy"] * report["reward"]["sd"] + start, abs=1e-4)
        assert row["truths"]["judge"] == pytest.approx(row["proxy"], abs=1e-4), "the judge is both"
    scorer, _ = named_scorer("judge", RunHome.of(str(run)), torch.device("cpu"))
    assert isinstance(scorer, JudgeScorer), "and `trueward evaluate` knows it"
    steps = read_log(run / "policy/metrics.jsonl")
    assert all(step["reward/failed"] == 0 for step in steps)
    assert all(1 <= step["reward/raw"] <= 3 for step in steps)


@pytest.mark.parametrize("mode", ["pairwise", "grouped"])
def test_the_proxy_sets_answers_beside_sft_s(
    baseline: Path, climb: Any, serve: Any, tmp_path: Path, mode: str, command: Any
) -> None:
    def says(body: dict[str, Any], before: int) -> dict[str, Any]:
        text = body["messages"][0]["content"]
        shown = re.findall(r"Answer (\w):\n(.*)", text)
        order = [letter for letter, _ in sorted(shown, key=lambda one: -len(one[1].split()))]
        return {"text": " > ".join(order) if text.startswith("Rank") else order[0]}

    service = serve(says)
    asked = ("reward.kind=judge", f"reward.judge_mode={mode}", "judge.model=m", f"judge.endpoint={service.address}")
    more = (f"runtime.judge.cache={tmp_path}/judge.jsonl", "policy.kind=grpo", "policy.group.size=4", "policy.steps=1")
    name = f"beside-{mode}"
    climb(baseline.parent, name, *asked, *more, "reward.references=2")
    run = baseline.parent / name
    reward = summary(run, "reward")
    assert (reward["mean"], reward["judge"]["failed"]) == (0.0, 0)
    assert 0 < reward["judge"]["flipped"] < 1, "equally long answers are decided by the order"
    (step,) = read_log(run / "policy" / "metrics.jsonl")
    assert -1 <= step["reward/raw"] <= 1
    assert step["reward/failed"] == 0
    lines = [json.loads(line) for line in (run / "evaluation" / "policy.jsonl").read_text().splitlines()]
    gaps = [len(s["response"].split()) - len(s["reference"].split()) for s in lines]
    assert np.corrcoef(gaps, [s["proxy"] for s in lines])[0, 1] > 0.3
    assert "compared" in (run / "report.html").read_text()
    code, _, line = command("reward", "test", str(run))
    assert (code, "sets answers beside the SFT policy's" in line) == (2, True)
    code, out, _ = command("evaluate", str(run / "policy"), "--scorer", "proxy", "--count", "8")
    assert code == 0, out


def test_an_answer_without_a_rating_is_worth_what_sft_s_are(
    baseline: Path, climb: Any, serve: Any, tmp_path: Path
) -> None:
    def says(body: dict[str, Any], before: int) -> dict[str, Any]:
        text = body["messages"][0]["content"]
        return {"text": "?" if len(text) % 9 == 0 else str(1 + len(text) % 7)}

    service = serve(says)
    rating = ("reward.kind=judge", "judge.model=m", 'judge.rating="{prompt}{response}"', "judge.max_failed=0.5")
    where = (f"judge.endpoint={service.address}", f"runtime.judge.cache={tmp_path}/judge.jsonl")
    climb(baseline.parent, "unrated", *rating, *where, "policy.kind=rloo", until="policy")
    run = baseline.parent / "unrated"
    reward = summary(run, "reward")
    answers = [Completion.model_validate(r) for _, r in jsonl.read(run / "sft/reference.jsonl")]
    texts = [f"{a.prompt}{a.response}" for a in answers]
    rated = np.array([np.nan if len(t) % 9 == 0 else 1.0 + len(t) % 7 for t in texts]).reshape(-1, 2)
    whole = rated[~np.isnan(rated).any(axis=1)]
    assert reward["mean"] == pytest.approx(whole.mean(), abs=1e-6)
    assert reward["sd"] == pytest.approx(np.sqrt(whole.var(axis=1, ddof=1).mean()), abs=1e-6)
    assert reward["judge"]["failed"] == np.isnan(rated).sum() > 0
    import gzip

    rows = [json.loads(r) for r in gzip.decompress((run / "policy/rollouts.jsonl.gz").read_bytes()).splitlines()]
    failed = [r for r in rows if r["parts"]["failed"]]
    assert failed
    assert all(r["score"] == pytest.approx(0.0, abs=1e-4) and r["note"].startswith("no judgement") for r in failed)


def digests(run: Path) -> dict[str, str]:
    return {row["name"]: row["digest"] for row in artifacts.read_json(run / "pipeline.json")}


SERVICE: dict[str, Callable[[dict[str, Any]], bool] | None] = {  # a setting, and how a request shows it
    "judge.model=n": lambda body: body["model"] == "n",
    "judge.temperature=0.5": lambda body: (body["temperature"], body.get("seed")) == (0.5, 0),
    "judge.reasons=30": lambda body: bool(body["max_tokens"] == 42),
    "judge.logprobs=false": lambda body: "logprobs" not in body,
    "judge.certainty=0.8": None,
    "judge.max_failed=0.5": None,  # what it does is above
    "judge.check=7": None,
}


def test_every_setting_of_a_service_is_part_of_the_digest_and_of_the_request(
    climb: Any, serve: Any, tmp_path: Path
) -> None:
    service = serve(lambda body, before: {"text": "Answer: " + prefers(body)["text"]})

    def labels(name: str, *changes: str) -> list[float]:
        few = ("comparisons.count=12", "evaluation.truths=[]")
        climb(tmp_path, name, *asks(service, tmp_path, *few, *changes), until="comparisons")
        rows = jsonl.read(tmp_path / name / "comparisons/comparisons.jsonl")
        return sorted({round(r["probability"], 9) for _, r in rows})

    assert set(labels("before")) <= {0.05, 0.5, 0.95}
    one = digests(tmp_path / "before")
    for i, (change, seen) in enumerate(SERVICE.items()):
        asked = len(service.bodies)
        found = labels(f"after {i}", change)
        two = digests(tmp_path / f"after {i}")
        assert [stage for stage in two if two[stage] != one[stage]] == ["comparisons"], change
        assert set(found) <= ({0.2, 0.5, 0.8} if "certainty" in change else {0.05, 0.5, 0.95}), change
        assert (len(service.bodies) > asked) == (seen is not None), f"{change}: another request, or none"
        if seen:
            assert not any(seen(body) for body in service.bodies[:asked])
            assert all(seen(body) for body in service.bodies[asked:])


def test_how_a_service_is_called_is_no_part_of_a_digest(climb: Any, serve: Any, tmp_path: Path) -> None:
    """What each does is in tests/scorers/judge/test_endpoint.py."""
    service = serve(prefers)
    others = (
        "concurrency=1",
        "retries=2",
        "timeout=9.5",
        "cache=",
        "price_input=7.0",
        "price_output=7.0",
        "cap=9.0",
        "key=PATH",
    )
    for name, changes in (("one", ()), ("two", tuple(f"runtime.judge.{change}" for change in others))):
        climb(tmp_path / name, "run", *asks(service, tmp_path, *changes), "comparisons.count=5", until="comparisons")
    assert digests(tmp_path / "one/run") == digests(tmp_path / "two/run")
    assert {change.split("=")[0] for change in others} == set(config.JudgeCallsConfig.model_fields)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (("comparisons.source=judge",), "judge.model: a judge is asked for"),
        (("reward.kind=judge",), "judge.model: a judge is asked for"),
        ((*PAIRS, "judge.model=/nowhere/at/all"), "/nowhere/at/all: no such model directory"),
        ((*PAIRS, "judge.reasons=9"), "judge: reasons: a model that runs here writes no text"),
        ((*PAIRS, "judge.question=Which?"), "judge: question has to hold {first} and {second}"),
        ((*PAIRS, "judge.rating=How?"), "judge: rating has to hold {response}"),
        ((*PAIRS, 'judge.choices=["A"," A"]'), "judge: choices: two of them are the same"),
        ((*PAIRS, "judge.endpoint=localhost"), "judge: endpoint: expected an address such as"),
        ((*PAIRS, "judge.endpoint=http://me:key@host/v1"), "judge: endpoint: an address is saved with the run"),
        ((*PAIRS, "judge.endpoint=http://host/v1", "runtime.judge.key=NO_SUCH"), "no environment variable NO_SUCH"),
        ((*PAIRS, "runtime.judge.cap=3"), "runtime.judge: cap: what a request costs is only known with"),
        ((*PAIRS, "comparisons.path=/nowhere.jsonl"), "/nowhere.jsonl: no such file"),
        ((*PAIRS, "policy.relabel.every=1"), "a judge can't"),
        ((*RATED, "policy.kind=dpo"), "dpo learns from comparisons"),
        (('evaluation.truths=["judge"]',), "judge.model: a judge is asked for"),
        ((*RATED, "reward.judge_mode=grouped"), "writes no ranking"),
        ((*RATED, "judge.endpoint=http://localhost:1/v1", "reward.judge_mode=grouped", f'judge.question="{QUESTION}"'),
         "the question is a fixed one"),
        ((*RATED, "judge.endpoint=http://localhost:1/v1", "reward.judge_mode=grouped", "reward.references=9"), "at most 8"),
    ],
)  # fmt: skip
def test_mistakes_are_said_in_one_line(
    changes: tuple[str, ...], line: str, baseline: Path, climb: Any, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(ValueError, match=line.replace("{", r"\{")) as error:
        climb(baseline.parent, request.node.callspec.id[:12], *changes, until="policy")
    assert "\n" not in str(error.value)
