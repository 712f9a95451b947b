"""A scorer with its options, as a command line names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.service import Service

from trueward.config import JudgeCallsConfig, JudgeConfig
from trueward.scorers.judge.judge_options import read_judge
from trueward.scorers.scorer_spec import ScorerSpec, parse

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("judge", "judge", {}),
        ("verifier:constraints,max_words=12", "verifier:constraints", {"max_words": 12}),
        ('verifier:constraints,contains=["a, b", "c"],score=share', "verifier:constraints",
         {"contains": ["a, b", "c"], "score": "share"}),
        ("judge,model=qwen,endpoint=http://localhost:8000/v1", "judge",
         {"model": "qwen", "endpoint": "http://localhost:8000/v1"}),
        ('judge, principles="short, and true" , logprobs=false', "judge",
         {"principles": "short, and true", "logprobs": False}),
        ("judge,principles=Don't be rude,model=m", "judge", {"principles": "Don't be rude", "model": "m"}),
        ("model:runs/tiny,policy.kl_coef=0.2/reward_model/model", "model:runs/tiny,policy.kl_coef=0.2/reward_model/model", {}),
    ],
)  # fmt: skip
def test_names_and_options(text: str, name: str, options: dict[str, Any]) -> None:
    assert parse(text) == ScorerSpec(name, options)


def test_files(tmp_path: Path) -> None:
    toml, js = tmp_path / "j.toml", tmp_path / "j.json"
    toml.write_text('scorer = "judge"\nmodel = "m"\n[options]\nreasons = 3\n')
    js.write_text(json.dumps({"scorer": "judge", "model": "m", "options": {"reasons": 3}}))
    assert parse(str(toml)) == parse(str(js)) == ScorerSpec("judge", {"reasons": 3, "model": "m"})
    assert parse(f"{toml},model=other").options["model"] == "other"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a scorer's name"),
        ("max_words=3", "expected a scorer's name"),
        ("verifier:constraints,12", "expected key=value after each comma, got '12'"),
        ("verifier:constraints,a=1,a=2", "a is given twice"),
        ("nowhere.toml", "nowhere.toml: No such file"),
    ],
)
def test_one_line_for_what_can_not_be_read(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        parse(text)
    assert "\n" not in str(error.value)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    for name, text in {"a.toml": "x", "b.json": "[1]", "c.toml": 'model = "m"'}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=name):
            parse(str(tmp_path / name))


def test_a_judge_from_options() -> None:
    options = {"model": "m", "base_url": "http://h/v1", "api_key_env": "KEY", "principles": "Be kind."}
    judge, calls = read_judge(options, None, JudgeCallsConfig(), "--scorer judge")
    assert (judge.model, judge.endpoint, judge.principles, calls.key) == ("m", "http://h/v1", ("Be kind.",), "KEY")
    judge, _ = read_judge({"reasons": 5}, judge, calls, "--scorer judge")
    assert (judge.model, judge.reasons) == ("m", 5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "say which one"),
        ({"modell": "m"}, "there is no such option"),
        ({"model": "m", "endpoint": "x"}, "endpoint: expected an address"),
    ],
)
def test_a_judge_from_wrong_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_judge(options, None, JudgeCallsConfig(), "--scorer judge")
    assert JudgeConfig().model == ""


def test_constraints_without_one_are_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "the new film"}\n{"prompt": "a long story"}\n')
    base = ("evaluate", "trueward:tiny", "--prompts", "p.jsonl", "--max-new-tokens", "3", "--scorer")
    code, _, err = command(*base, "verifier:constraints")
    assert (code, "max_words" in err, len(err.strip().splitlines())) == (2, True, 1), err
    code, out, err = command(*base, "verifier:constraints,max_words=50", "--json")
    assert (code, json.loads(out)["scorers"][0]["model"]["mean"]) == (0, 1.0), err
    code, _, err = command(*base, "verifier:constraints,words=50")
    assert (code, "there is no such option" in err) == (2, True)
    code, _, err = command(*base, "verifier:exact")
    assert (code, "expected an answer key" in err) == (2, True)


def test_a_judge_outside_of_a_run(command: Command, tmp_path: Path, serve: Callable[..., Service]) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "the new film"}\n{"prompt": "a long story"}\n')
    service = serve(lambda body, before: {"text": "7"})
    spec = f"judge,model=m,base_url={service.address},cache="
    base = ("evaluate", "trueward:tiny", "--prompts", "p.jsonl", "--max-new-tokens", "3")
    code, out, err = command(*base, "--scorer", spec, "--json")
    assert (code, json.loads(out)["scorers"][0]["model"]["mean"]) == (0, 7.0), err
    assert service.bodies[0]["model"] == "m"
    code, _, err = command(*base, "--scorer", "judge")
    assert (code, "say which one" in err) == (2, True)
