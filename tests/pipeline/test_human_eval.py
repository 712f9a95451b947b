"""People as a truth: a run asks and goes on, people compare through the studio, and the report says what they prefer."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trueward import artifacts, config
from trueward.cli import app
from trueward.data import jsonl, questions
from trueward.evaluation.contracts.people import PeopleRow
from trueward.evaluation.prediction_powered import powered_mean
from trueward.evaluation.preference import preferred
from trueward.evaluation.win_rate import score_interval
from trueward.pipeline import judged_pairs
from trueward.progress import WaitingError
from trueward.training.journal import read_log

sys.path.insert(0, str(Path(__file__).parent))
import sitting

ASKING = ("evaluation.truths=['b', 'people:film']", "evaluation.final_pairs=12", "evaluation.step_pairs=4")
JUDGE = """
[judge]
model = "trueward:tiny"
question = "{prompt}{response} it is"
choices = ["warm", "dull"]
"""
FIRST = ("evaluation.truths=['people:film']", "evaluation.final_pairs=12")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRUEWARD_STUDIO", str(tmp_path / "studio"))
    monkeypatch.delenv("TRUEWARD_DATABASE", raising=False)
    return tmp_path / "studio"


@pytest.fixture
def run(baseline: Path, tmp_path: Path) -> Path:
    """A copy of the finished small run, so that stages need not be climbed again."""
    shutil.copytree(baseline, tmp_path / "baseline")
    return tmp_path / "baseline"


def evaluate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["trueward", "evaluate", *arguments])
    with pytest.raises(SystemExit) as stop:
        app.main()
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out + said.err


def policy_wins(run: Path) -> sitting.Rule:
    """Somebody who knows the run, and always prefers the policy."""
    ours = {q.prompt.text: q.ours.text for q in questions.read_pairs(run / "people/evaluation.jsonl")}
    return lambda item: "left" if item["left"]["text"] == ours[item["prompt"]["text"]] else "right"


def test_a_run_asks_and_goes_on(run: Path, climb: Any, data: Path) -> None:
    climb(run.parent, "asking", *ASKING)
    asking = run.parent / "asking"
    report = artifacts.read_json(asking / "report.json")
    kept = questions.read_pairs(asking / "people/evaluation.jsonl")
    samples = read_log(asking / "evaluation/policy.jsonl")[:12]
    assert [(q.ours.text, q.theirs.text) for q in kept] == [(s["response"], s["reference"]) for s in samples]
    assert report["people"]["pairs"] + report["people"]["same"] == 12
    assert (report["people"]["judged"], report["people"]["win_rate"]) == (0, None)
    assert [row["step"] for row in report["people"]["steps"]] == [1, 2, 3]
    assert report["policies"]["policy"]["truth"] is not None, "the other truth is measured as ever"
    assert f"Waiting for people: 0 of {report['people']['pairs']} pairs of film" in (asking / "report.html").read_text()
    posed = sorted((data / "asked/film").glob("*.jsonl"))
    assert [p.name for p in posed] == [
        f"asking{s}.jsonl" for s in ("-step-0000001", "-step-0000002", "-step-0000003", "")
    ]
    for path in posed:
        for _, row in jsonl.read(path):
            assert set(row) == {"prompt", "first", "second"}, "nothing tells who wrote what"
            assert set(row["first"]) <= {"id", "text", "finished"}
    orders = {q.key: q.ours.text for q in kept}
    firsts = [row["first"]["text"] in orders.values() for _, row in jsonl.read(data / "asked/film/asking.jsonl")]
    assert 0 < sum(firsts) < len(firsts), "neither side is always the first"


def test_people_compare_and_the_report_says_what_they_prefer(
    run: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that never spoke of people: asked, judged in part, in whole, closed, and read without the database."""
    code, said = evaluate(monkeypatch, capsys, str(run), "--people", "film", "-n", "10")
    assert code == 0
    kept = questions.read_pairs(run / "people/evaluation.jsonl")
    different = [q for q in kept if q.differs]
    assert len(kept) == 10
    assert f"Waiting for people: 0 of {len(different)} pairs of film are judged." in said
    with sitting.people(data) as people:
        shown = people.judge("film", policy_wins(run), most=3)
        assert all(set(item) == {"assignment", "prompt", "left", "right"} for item in shown)
        code, said = evaluate(monkeypatch, capsys, str(run), "--people", "film")
        assert "Waiting for people: 3 of" in said
        assert "that holds whenever one looks" in said
        assert artifacts.read_json(run / "report.json")["people"]["verdict"]["rule"].startswith("waiting for people")
        people.judge("film")  # the others by length
        code, said = evaluate(monkeypatch, capsys, str(run), "--people", "film", "--json")
    found = json.loads(said)
    first = {item["prompt"]["text"] for item in shown}
    wins = [1.0 if q.prompt.text in first else
            0.5 if len(q.ours.text) == len(q.theirs.text) else float(len(q.ours.text) > len(q.theirs.text))
            for q in different]  # fmt: skip
    assert found["complete"]
    assert found["votes"] == found["judged"] == len(different)
    equal = found["same"] / 10
    low, high = score_interval(wins.count(1.0), wins.count(0.0), len(wins))
    assert found["win_rate"] == pytest.approx((1 - equal) * sum(wins) / len(wins) + equal / 2, abs=1e-5)
    assert found["win_rate_low"] == pytest.approx((1 - equal) * low + equal / 2, abs=1e-5)
    assert found["win_rate_high"] == pytest.approx((1 - equal) * high + equal / 2, abs=1e-5)
    report = artifacts.read_json(run / "report.json")
    assert report["people"] == {**found, "is_truth": False}
    assert set(found) == {*preferred([1.0]), "project", "votes", "steps", "verdict"}, "docs/metrics.md explains them"
    assert "People judged" in (run / "report.html").read_text()
    assert report["verdict"] == artifacts.read_json(run / "report/report.json")["verdict"], "its truth is another one"


def test_with_people_as_the_truth_the_verdict_is_theirs(run: Path, climb: Any, data: Path) -> None:
    enough = (*FIRST, "evaluation.final_prompts=24", "evaluation.final_pairs=24")
    climb(run.parent, "theirs", *enough)
    theirs = run.parent / "theirs"
    report = artifacts.read_json(theirs / "report.json")
    assert report["verdict"]["word"] == "inconclusive"
    assert report["verdict"]["rule"].startswith("waiting for people: 0 of")
    assert report["policies"]["policy"]["truth"] is None
    with sitting.people(data) as people:
        people.judge("film", policy_wins(theirs))
        people.close_round("film")
    climb(run.parent, "theirs", *enough)  # the same command reads the closed round
    report = artifacts.read_json(theirs / "report.json")
    assert report["verdict"]["word"] == "learning"
    assert report["people"]["win_rate_low"] > 0.5
    assert report["people"]["is_truth"]


def test_a_run_can_wait_for_people(run: Path, climb: Any, data: Path) -> None:
    waiting = (*FIRST, "runtime.wait_for_people=5")
    with pytest.raises(WaitingError, match="0 of 5 pairs of film"):
        climb(run.parent, "waits", *waiting)
    waits = run.parent / "waits"
    assert not (waits / "report.json").exists()
    with sitting.people(data) as people:
        people.judge("film", most=4)
        people.close_round("film")
        with pytest.raises(WaitingError, match="4 of 5 pairs of film"):
            climb(run.parent, "waits", *waiting)
    climb(run.parent, "waits", *FIRST)  # who no longer wants to wait says so
    assert artifacts.read_json(waits / "report.json")["people"]["judged"] == 4


def test_waiting_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wait(**_: Any) -> None:
        raise WaitingError("waiting for people: 1 of 2")

    monkeypatch.setattr(app, "app", wait)
    with pytest.raises(SystemExit) as stop:
        app.main()
    assert stop.value.code == app.WAITING == 75
    assert capsys.readouterr().err == "trueward: waiting for people: 1 of 2; the same command goes on from here\n"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("evaluation.truths=['people:a:b']",), "people:NAME with the name of a studio's project, got 'people:a:b'"),
        (("evaluation.truths=['people:a', 'people:b']",), "people can be asked in one project"),
        (("evaluation.step_pairs=3",), "step_pairs: nobody is asked without a truth people:NAME"),
        (("runtime.wait_for_people=3",), "runtime.wait_for_people: nobody is asked without a truth people:NAME"),
    ],
)
def test_a_recipe_that_can_not_ask_people(settings: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(").replace(")", r"\)")):
        config.read("tiny", settings)


def test_asking_what_can_not_be_asked(
    run: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, said in (
        (("--people", "a:b"), "--people a:b: expected the name of a studio's project"),
        (("--people", "film", "--scorer", "b"), "give nothing but the run"),
    ):
        code, line = evaluate(monkeypatch, capsys, str(run), *arguments)
        assert (code, said in line, line.count("\n")) == (2, True, 1), line
    (run / "report.json").unlink()
    code, line = evaluate(monkeypatch, capsys, str(run), "--people", "film")
    assert (code, "has no report yet" in line) == (2, True)


def test_a_judge_on_all_pairs_and_people_on_some(
    run: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run's proxy as the judge: its scores are known, it sees all pairs of the evaluation, and people 12 of them."""
    code, said = evaluate(monkeypatch, capsys, str(run), "--people", "film", "-n", "12", "--judge", "proxy", "--json")
    assert code == 0, said
    before = json.loads(said)["powered"]
    everything = judged_pairs.evaluation_pairs(run)
    different = [q for q in everything if q.differs]
    assert (before["judge"], before["judged"], before["win_rate"]) == ("proxy", 0, None)
    assert before["pairs"] == len(different) > 12
    with sitting.people(data) as people:
        people.judge("film")
    code, said = evaluate(monkeypatch, capsys, str(run), "--people", "film", "--within", "20")
    assert code == 0, said
    report = artifacts.read_json(run / "report.json")
    found = report["people"]["powered"]
    assert f"{found['judged']} judged by people and {len(different)} by proxy, whose bias is taken off." in said
    assert "For ± 20 points" in said
    assert "whose bias is taken off" in (run / "report.html").read_text()
    kept = questions.read_pairs(run / "people/evaluation.jsonl")
    assert [q.key for q in kept] == [q.key for q in everything[: len(kept)]], "the first of a random order"
    rows = {row["prompt"]: row for row in read_log(run / "evaluation/policy.jsonl")}
    judge = [(1 + np.sign(r["proxy"] - r["reference_proxy"])) / 2 for q in different for r in [rows[str(q.prompt)]]]
    longer = {q.key: (1 + np.sign(len(q.ours.text) - len(q.theirs.text))) / 2 for q in kept}
    expected = powered_mean(np.array([longer.get(q.key, np.nan) for q in different]), np.array(judge))
    equal = found["same"] / len(everything)
    assert found["win_rate"] == pytest.approx((1 - equal) * expected.estimate + equal / 2, abs=1e-5)
    assert found["win_rate_low"] == pytest.approx((1 - equal) * expected.low + equal / 2, abs=1e-5)
    assert found["points"] == 20
    people_row = PeopleRow.model_validate(report["people"])
    assert people_row.powered is not None, "docs/metrics.md explains its fields"


def test_a_file_of_judged_pairs_and_a_model_that_is_asked_now(
    run: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = tmp_path / "judge.toml"
    settings.write_text(JUDGE)
    code, said = evaluate(monkeypatch, capsys, str(run), "--people", "film", "-n", "4", "--judge", str(settings))
    assert code == 0, said
    pairs = [q for q in judged_pairs.evaluation_pairs(run) if q.differs]
    assert f"trueward:tiny is asked about {len(pairs)} pairs: {2 * len(pairs)} requests." in said
    asked = judged_pairs.read(run)
    assert asked is not None
    assert (asked.name, len(asked.votes)) == ("trueward:tiny", len(pairs))
    lines = (run / "people/judged.jsonl").read_text().splitlines()
    named = tmp_path / "named.toml"
    named.write_text(JUDGE.replace("[judge]", '[[evaluation.judge]]\nname = "strict"\ncap = 4'))
    code, said = evaluate(monkeypatch, capsys, str(run), "--people", "film", "--judge", f"{named}:strict")
    assert code == 0, said
    assert (
        f"strict (trueward:tiny) is asked about {len(pairs)} pairs: {2 * len(pairs)} requests, of which 4 may" in said
    )
    capped = judged_pairs.read(run)
    assert capped is not None
    assert (capped.name, len(capped.votes)) == ("strict", 2)
    assert [vote.probability for vote in capped.votes] == [vote.probability for vote in asked.votes[:2]]
    own = tmp_path / "mine.jsonl"
    own.write_text("\n".join(lines[:5]).replace("trueward:tiny", "another") + "\n")
    code, said = evaluate(monkeypatch, capsys, str(run), "--people", "film", "--judge", str(own), "--json")
    assert code == 0, said
    found = json.loads(said)["powered"]
    assert (found["judge"], found["unjudged"]) == ("another", len(pairs) - 5)


@pytest.mark.parametrize(
    ("judge", "written", "said"),
    [
        (
            "nobody",
            None,
            "--judge nobody: expected proxy, b (a score that the run has), a file of judged pairs, or a .toml",
        ),
        ("x.toml", None, "--judge x.toml: No such file"),
        ("x.toml", "[reward]\n", "expected the sections [judge] and [runtime], got reward"),
        ("x.toml", "[judge]\nprinciple = 3\n", "unknown key judge.principle; did you mean principles?"),
        ("x.toml", "[judge]\n", "--judge x.toml: judge.model: expected a model's name"),
        (
            "judge:strict",
            None,
            "--judge judge:strict: the run has no [[evaluation.judge]]; one of a recipe is judge:RECIPE",
        ),
        (
            "x.toml:kind",
            '[[evaluation.judge]]\nname = "strict"\nmodel = "trueward:tiny"\n',
            "--judge x.toml:kind: x.toml has no judge 'kind' in [[evaluation.judge]]; it has strict",
        ),
        ("x.jsonl", '{"prompt": "a", "chosen": "b", "rejected": "c"}\n', "--judge x.jsonl: judged none of the"),
    ],
)
def test_a_judge_that_can_not_be_asked(
    judge: str,
    written: str | None,
    said: str,
    run: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if written is not None:
        Path(judge.partition(":")[0]).write_text(written)
    code, line = evaluate(monkeypatch, capsys, str(run), "--people", "film", "--judge", judge)
    assert (code, said in line, line.count("\n")) == (2, True, 1), line
    assert not (run / "people/evaluation.jsonl").exists(), "nothing was asked"


def test_a_judge_stands_beside_people(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = evaluate(monkeypatch, capsys, str(run), "--judge", "proxy")
    assert (code, "give --people PROJECT, too" in line) == (2, True), line
