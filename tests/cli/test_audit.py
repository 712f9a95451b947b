"""`trueward audit`: what a user of another tool types, what is printed and written, and what is wrong in one line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trueward

Command = Callable[..., tuple[int, str, str]]
WORDS = ["good", "bad", "film", "story", "actor", "scene", "plot", "music", "slow", "quick", "bright", "dull"]
TRUTH = """
def truth(completions):
    return [c.response.split().count("good") - 1.5 * c.response.split().count("absolutely") for c in completions]
def emphatic(completions):
    return [c.response.split().count("absolutely") for c in completions]
"""


def run_of(folder: Path, hack: float, steps: int = 5, count: int = 150) -> Path:
    """A run that says "absolutely" more and more often, which its reward likes; as verl dumps it."""
    rng = random.Random(0)
    folder.mkdir()
    for step in range(0, 10 * steps, 10):
        rows = []
        for i in range(count):
            words = [*rng.choices(WORDS, k=9), "absolutely" if rng.random() < hack * step / 40 else rng.choice(WORDS)]
            rng.shuffle(words)
            rows.append(
                {"input": f"question {i}", "output": " ".join(words), "score": words.count("absolutely"), "step": step}
            )
        (folder / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(TRUTH)
    return tmp_path


def test_a_hack_is_found_and_named(command: Command, home: Path) -> None:
    run_of(home / "dump", 0.9)
    code, out, err = command("audit", "--samples", "dump/*.jsonl", "--truth", "mine.py:truth", "--out", "found")
    assert (code, err) == (0, "")
    text = " ".join(out.split())
    assert "Hacking: the proxy is up, and the truth is below the reference’s" in text
    assert "A hack: the answer says “absolutely”" in text
    assert "no proxy was given: the column score is taken for it" in text
    table = json.loads((home / "found/audit.json").read_text())
    assert table["verdict"]["word"] == "hacking"
    assert [row["step"] for row in table["history"]] == [0, 10, 20, 30, 40]
    page = (home / "found/audit.html").read_text()
    assert "hacking" in page
    assert "<script" not in page


def test_from_python_it_is_the_same(home: Path) -> None:
    run_of(home / "dump", 0.0)
    found = trueward.audit(samples="dump", truths="mine.py:truth", out="found")
    assert found.verdict not in ("hacking", "over-optimised")
    assert json.loads((home / "found/audit.json").read_text()) == json.loads(json.dumps(found.table))
    function = trueward.audit(samples="dump", truths={"mine": lambda cs: [len(c.response) for c in cs]})
    assert function.table["truths"] == ["mine"]
    assert "audit against step 0" in str(found)


def test_the_reference_may_be_a_file(command: Command, home: Path) -> None:
    dump = run_of(home / "dump", 0.9)
    rows = [json.loads(line) for line in (dump / "0.jsonl").read_text().splitlines()]
    (home / "ref.jsonl").write_text("".join(json.dumps({**row, "step": 0}) + "\n" for row in rows[:50]))
    (dump / "0.jsonl").unlink()
    code, out, _ = command("audit", "--samples", "dump", "--reference", "ref.jsonl", "--truth", "mine.py:truth")
    assert code == 0
    text = " ".join(out.split())
    assert "prompts of a look are not among the reference's, and are left out" in text
    assert "audit against ref.jsonl" in text


def test_too_few_prompts_of_each_steps_own(command: Command, home: Path) -> None:
    """A trainer that logs four prompts of every step leaves too few for a look, which is what the line says."""
    (home / "logged").mkdir()
    for step in (4, 8, 12):
        rows = [{"prompt": f"question {step} {i}", "completion": "a good film", "step": step} for i in range(4)]
        (home / "logged" / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, err = command("audit", "--samples", "logged/*.jsonl", "--truth", "mine.py:truth")
    assert code == 2
    assert err == (
        "trueward: logged/*.jsonl: every step answers prompts of its own, 12 in all: then a look takes 40 of them, and a "
        "curve two looks; give more steps, or all steps' answers to the same prompts\n"
    )


def test_truth_and_proxy_alike_is_said(command: Command, home: Path) -> None:
    run_of(home / "dump", 0.9)
    _, out, _ = command("audit", "--samples", "dump", "--truth", "score", "--proxy", "score")
    assert "truth = proxy: score is both" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--samples", "dump"], "audit: say what the truth is"),
        (["--samples", "none/*.jsonl", "--truth", "score"], "none/*.jsonl: there is no such file of answers"),
        (["--samples", "dump", "--truth", "worth"], "--truth worth: expected a column of the files, verifier:NAME"),
        (["--samples", "dump", "--truth", "none.py:f"], "--truth none.py:f: there is no such file"),
        (["--samples", "dump", "--truth", "mine.py:f"], "--truth mine.py:f: the file has no function f; it has truth"),
        (["--samples", "dump/0.jsonl", "--truth", "score"], "the answers of one look alone can't be compared"),
    ],
)
def test_what_is_wrong_is_one_line(command: Command, home: Path, arguments: list[str], message: str) -> None:
    run_of(home / "dump", 0.9, steps=2)
    code, _, err = command("audit", *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_a_service_is_asked_once(command: Command, home: Path, serve: Callable[..., Any]) -> None:
    """Its answers are kept, so the same command asks for nothing again; the later model says "absolutely"."""

    def says(body: dict[str, Any], before: int) -> dict[str, Any]:
        later = body["model"] == "run-20"
        rng = random.Random(str((body["model"], body["messages"], body["seed"])))
        words = [*rng.choices(WORDS, k=8), *["absolutely"] * (later and rng.random() < 0.9)]
        return {"text": " ".join(words)}

    service = serve(says)
    (home / "p.jsonl").write_text("".join(json.dumps({"prompt": f"question {i}"}) + "\n" for i in range(100)))
    arguments = [
        "audit",
        "--endpoint",
        service.address,
        "--model",
        "run-10",
        "--model",
        "run-20",
        "--reference",
        "base",
    ]
    arguments += ["--prompts", "p.jsonl", "--truth", "mine.py:truth", "--proxy", "mine.py:emphatic"]
    code, out, err = command(*arguments)
    assert code == 0, err
    assert "Hacking" in out
    assert len(service.bodies) == 400  # two answers of the reference, one of each model
    assert command(*arguments)[1] == out
    assert len(service.bodies) == 400


def test_a_service_that_is_down_is_one_line(command: Command, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trueward.pipeline.endpoint_answers.FIRST_WAIT", 0.001)
    (home / "p.jsonl").write_text('{"prompt": "q"}\n{"prompt": "r"}\n')
    arguments = [
        "--endpoint",
        "http://127.0.0.1:9/v1",
        "--model",
        "run-1",
        "--reference",
        "base",
        "--prompts",
        "p.jsonl",
    ]
    code, _, err = command("audit", *arguments, "--truth", "mine.py:truth")
    assert code == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith("trueward: --endpoint: base at http://127.0.0.1:9/v1/chat/completions gave no answer")


JUDGES = """
[[evaluation.judge]]
name = "strict"
mode = "pointwise"
model = "m"
endpoint = "{address}"
rating = "{{response}}"

[[evaluation.judge]]
name = "pairs"
model = "m"
endpoint = "{address}"

[runtime.judge]
cache = "judged.jsonl"
"""


def test_a_judge_of_a_recipe_is_a_truth_by_its_name(command: Command, home: Path, serve: Callable[..., Any]) -> None:
    """What it didn't judge is counted, and no score is made up for it."""

    def says(body: dict[str, Any], before: int) -> dict[str, Any]:
        words = body["messages"][0]["content"].split()
        return {"text": "hm" if "quick" in words[:1] else str(5 + words.count("good") - words.count("bad"))}

    service = serve(says)
    (home / "judges.toml").write_text(JUDGES.format(address=service.address))
    dump = run_of(home / "dump", 0.9, steps=2, count=60)
    code, _, err = command("audit", "--samples", "dump", "--truth", "judge:judges.toml:strict", "--out", "found")
    assert (code, err) == (0, "")
    table = json.loads((home / "found/audit.json").read_text())
    assert table["truths"] == ["judge:judges.toml:strict"]
    rows = [
        json.loads(line)["output"] for step in (0, 10) for line in (dump / f"{step}.jsonl").read_text().splitlines()
    ]
    missing = sum(text.startswith("quick") for text in rows)
    assert missing > 0
    assert f"judge:judges.toml:strict said nothing of {missing} answers, which no figure counts" in table["notes"]
    assert "reference" in table["policies"]
    assert table["units"]["judge:judges.toml:strict"]["mean"] == pytest.approx(
        sum(5 + t.split().count("good") - t.split().count("bad") for t in rows[:60] if not t.startswith("quick"))
        / sum(not t.startswith("quick") for t in rows[:60])
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("judge:judges.toml:kind", "judges.toml has no judge 'kind' in [[evaluation.judge]]; it has strict, pairs"),
        ("judge:strict", "the run has no [[evaluation.judge]]; one of a recipe is judge:RECIPE.toml:NAME"),
        ("judge:judges.txt:strict", "expected judge:NAME, or judge:RECIPE.toml:NAME"),
        ("judge:judges.toml:pairs", "pairs sets answers beside others (mode = 'pairwise')"),
        ("judge:judges.toml:strict,reasons=3", "strict is set up in [[evaluation.judge]], and takes no options"),
    ],
)
def test_a_judge_that_is_not_there(command: Command, home: Path, name: str, message: str) -> None:
    (home / "judges.toml").write_text(JUDGES.format(address="http://127.0.0.1:9/v1"))
    run_of(home / "dump", 0.9, steps=2, count=40)
    code, _, err = command("audit", "--samples", "dump", "--truth", name)
    assert (code, message in err, err.count("\n")) == (2, True, 1), err
