"""Verdicts by hand for every family, and the self-test that finds a verifier with a hole in it. Under 2 s, but for imports."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest

from trueward.records import Completion, Prompt, Score
from trueward.scorers.sandbox import run
from trueward.scorers.verifiers import catalogue, constraints, gym, selftest
from trueward.scorers.verifiers.match import Exact, MatchOptions
from trueward.scorers.verifiers.verifier import Verifier, passed

REFUSAL = run.refusal()


def made(name: str, **options: Any) -> Verifier[Any]:
    return catalogue.make(name, options, "options")


def score(verifier: Verifier[Any], response: str, answer: str = "", prompt: str = "the prompt") -> float:
    (verdict,) = verifier([Completion(prompt=Prompt(text=prompt, answer=answer), response=response)])
    return verdict.score


EXAMPLES = [name for name in catalogue.VERIFIERS if name != "gym"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_verifier_passes_its_own_test(name: str) -> None:
    if name == "code" and REFUSAL:
        pytest.skip(f"no sandbox here: {REFUSAL}")
    kind = catalogue.VERIFIERS[name]
    cases = selftest.examine(made(name, **kind.example_options), kind.examples)
    assert [str(c) for c in cases if not c.ok] == []
    tried = {c.what for c in cases}
    assert {"the answer key", "the empty answer", "the echoed prompt"} <= tried
    if kind.unique and name != "regex":
        assert {"two answers", "all answers at once"} <= tried
    assert sum(c.expected for c in cases) == len(kind.examples), "one right answer each, all else is wrong"


RIGHT_AND_WRONG: dict[str, tuple[dict[str, Any], str, tuple[str, ...], tuple[str, ...]]] = {
    "exact": ({}, "Paris", ("Paris", " Paris\n"), ("paris", "Paris.", "Paris Paris", "It is Paris")),
    "exact, any case": ({"ignore_case": True}, "Paris", ("paris", "PARIS"), ("Paris.", "pari")),
    "exact, marker": ({"marker": "A:"}, "4", ("so A: 4", "A: 3 A: 4"), ("4", "A: 4 or 5", "A: 4 A: 5")),
    "normalised": (
        {},
        "The Eiffel Tower",
        ("eiffel tower", "the  Eiffel-Tower!", "An EIFFEL tower."),
        ("Eiffel", "eiffel tower tower", "not the eiffel tower"),
    ),
    "normalised, numbers": ({}, "-2.5", ("-2.5", "-2.5."), ("2.5", "-25", "-2 5", "2 5")),
    "regex": (
        {"pattern": r"\d+ {answer}s?", "example": "3 {answer}"},
        "cat",
        ("3 cat", "12 cats"),
        ("cats", "３ cats", "3 cats or 4 dogs", "3 c.t"),
    ),
    "regex, a part": ({"pattern": "{answer}", "example": "{answer}", "whole": False}, "a.b", ("xa.by",), ("xaxby",)),
    "numeric": (
        {},
        "1,234.5",
        (
            "1234.5",
            "1,234.50",
            "The answer is 1234.5.",
            "3 + 4 is 7. #### 1234.5",
            r"\boxed{1234.5}",
            "1.2345e3",
            "2469/2",
        ),
        (
            "1234",
            "-1234.5",
            "1 or 1234.5",
            "1234.5 1235",
            "１２３４.５",
            r"\boxed{1} \boxed{1234.5}",
            "v1234.5",
            "1234.5.6",
        ),
    ),
    "numeric, tolerance": ({"absolute": 0.5, "relative": 0.0}, "10", ("9.5", "10.5"), ("9.49", "10.51")),
    "numeric, relative": ({"relative": 0.01}, "-200", ("-198", "-202"), ("-197.9", "200")),
    "numeric, units": (
        {},
        "1.5 km",
        ("1500 m", "1.5 km", "150000 cm", "It takes 1.5km", "1.5 km or 1500 m"),
        ("1.5", "1.5 kg", "1.5 m", "1500", "1.5 km or 2 km"),
    ),
    "numeric, no unit needed": ({"unit_needed": False}, "50 %", ("50", "50 %"), ("0.5", "50 m")),
    "numeric, negative": ({}, "-3", ("-3", "−3", "answer: -3"), ("3", "5-3", "--3 3")),
    "maths": (
        {},
        r"\frac{1}{2}",
        ("1/2", "0.5", r"$\frac{2}{4}$", r"so \boxed{\frac12}", "The answer is 1/2."),
        ("1", "2", "1 or 1/2", "1/2 1/3", r"\boxed{1/2} or \boxed{1/3}", "one half", "½", "1/2, 1/3"),
    ),
    "maths, symbols": ({}, "x^2 - 1", ("(x-1)(x+1)", "x^2-1", "-1 + x^2"), ("x^2 + 1", "x", "x - 1 or x^2 - 1")),
    "choice": (
        {},
        "C",
        ("C", "(C)", "c is wrong, C", "The answer is C.", "C) cats"),
        ("c", "A or C", "ABCD", "A B C D", "CC"),
    ),
    "choice, text": ({"choices": "AB"}, "A", ("Answer: A", "A"), ("I'd say B, no, A", "answer: A, or B", "C")),
    "json_schema, key": (
        {},
        '{"a": [1, 2]}',
        ('{"a":[1,2]}', '{"a": [1.0, 2]}'),
        ('{"a": [2, 1]}', "{}", '{"a": [true, 2]}'),
    ),
    "json_schema": (
        {
            "json_schema": {
                "type": "object",
                "required": ["n"],
                "properties": {"n": {"type": "integer"}},
                "examples": [{"n": 1}],
            }
        },
        "",
        ('{"n": 3}', '```json\n{"n": 3}\n```', '{"n": 3, "m": null}'),
        ('{"n": "3"}', "{}", '{"n": 3', '{"n": 3} {"n": 4}', '{"n": NaN}', '{"n": "x", "n": 3}', "[" * 99999),
    ),
    "constraints": (
        {"contains": ["film"], "excludes": ["bad"], "max_words": 4, "ends_with": ".", "starts_with": "A"},
        "",
        ("A film.", " A good Film . "),
        ("A films.", "A bad film.", "A film", "film.", "A film of five words."),
    ),
    "constraints, sentences": (
        {"min_sentences": 2, "max_sentences": 2},
        "",
        ("A. B!", "a... b"),
        ("A.", "A. B. C", "...!"),
    ),
    "constraints, words": ({"min_words": 3}, "", ("don't you well-known", "a b c d"), ("a b", "- - - -")),
    "constraints, json": ({"format": "json"}, "", ("[1]", "3"), ("[1", "three")),
    "constraints, bullets": ({"format": "bullets"}, "", ("- a\n* b",), ("- a\nb", "-a")),
    "constraints, lower": ({"format": "lowercase"}, "", ("a b.",), ("A b.",)),
    "constraints, upper": ({"format": "uppercase"}, "", ("A B.",), ("A b.",)),
    "constraints, line": ({"format": "one_line"}, "", ("a b",), ("a\nb",)),
    "constraints, key": ({"max_words": 3}, '{"contains": ["x"]}', ("x y",), ("y", "x y z w")),
}


@pytest.mark.parametrize("case", RIGHT_AND_WRONG)
def test_verdicts(case: str) -> None:
    options, answer, right, wrong = RIGHT_AND_WRONG[case]
    verifier = made(case.split(",")[0], **options)
    assert {r: score(verifier, r, answer) for r in right} == dict.fromkeys(right, 1.0)
    assert {r: score(verifier, r, answer) for r in wrong} == dict.fromkeys(wrong, 0.0)


def test_an_empty_answer_and_an_echo_are_wrong_whatever_the_key() -> None:
    verifier = made("constraints", max_words=9)
    assert score(verifier, "fine") == 1.0
    assert [score(verifier, r) for r in ("", " \n\t ", "the prompt", " the prompt ")] == [0.0] * 4


def test_parts_and_shares() -> None:
    options = {"contains": ["x"], "max_words": 2, "ends_with": "."}
    (verdict,) = made("constraints", **options)([Completion(prompt=Prompt(text="p"), response="x y z.")])
    assert verdict == Score(
        score=0.0, parts={"contains": 1.0, "max_words": 0.0, "ends_with": 1.0}, note="missed: max_words"
    )
    assert score(made("constraints", **options, score="share"), "x y z.") == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "options",
    [
        {"starts_with": "A", "contains": ["b"], "min_sentences": 3, "min_words": 9, "ends_with": "end"},
        {"format": "json", "contains": ["b c"]},
        {"format": "bullets", "min_words": 4},
        {"excludes": ["the"], "max_words": 1},
        {"format": "lowercase", "contains": ["B"]},
    ],
)
def test_an_example_is_found_for_constraints(options: dict[str, Any]) -> None:
    assert score(made("constraints", **options), constraints.example(constraints.Constraints(**options))) == 1.0


def test_constraints_that_contradict_each_other_are_found() -> None:
    verifier = made("constraints", contains=["one two three"], max_words=2)
    with pytest.raises(
        ValueError, match=r"^reward\.verifier fails its self-test .1 of 4 cases.: the answer key scores 0"
    ):
        selftest.require(verifier, [Prompt(text="p")], "reward.verifier")


class Generous(Exact):
    """A verifier with a hole: the key may stand anywhere in the answer, and digits of any script will do."""

    def judge(self, response: str, answer: str) -> Score:
        digits = "".join(str(int(c)) if c.isdecimal() else c for c in response)
        return passed(answer in digits)


class PaysForNothing(Exact):
    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        return [passed(c.response in (c.prompt.answer, "", str(c.prompt))) for c in completions]


@pytest.mark.parametrize(
    ("kind", "got"),
    [
        (Generous, {"two answers", "all answers at once", "full-width digits", "Arabic-Indic digits"}),
        (PaysForNothing, {"the empty answer", "the echoed prompt"}),
    ],
)
def test_the_self_test_finds_holes(kind: type[Exact], got: set[str]) -> None:
    prompts = [Prompt(text="6 · 7?", answer="42"), Prompt(text="1 + 1?", answer="2")]
    cases = selftest.examine(kind(MatchOptions()), prompts)
    assert {c.what for c in cases if not c.ok} == got
    with pytest.raises(ValueError, match="fails its self-test"):
        selftest.require(kind(MatchOptions()), prompts, "x")


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        ("exact", "", "expected an answer key"),
        ("normalised", "the", "a word in it"),
        ("numeric", "4 or 5", "one number"),
        ("choice", "E", "one letter of ABCD"),
        ("maths", "no idea", "a mathematical expression"),
        ("json_schema", "{", "expected JSON"),
        ("constraints", "[]", "JSON object"),
        ("constraints", '{"max_wrods": 3}', "no such option"),
        ("gym", "4", "expected a prompt of data.prompts = reasoning-gym:TASK"),
    ],
)
def test_a_wrong_key_is_an_error_that_names_the_prompt(name: str, answer: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^where: the prompt 'what\?': .*{message}"):
        selftest.require(made(name), [Prompt(text="what?", answer=answer)], "where")


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("exat", {}, "there is no verifier 'exat'"),
        ("exact", {"x": 1}, "options.x: there is no such option; known: ignore_case, marker"),
        ("exact", {"ignore_case": "maybe"}, "options.ignore_case: input should be a valid boolean"),
        ("regex", {"pattern": "(", "example": "x"}, "options.pattern: not a regular expression"),
        ("constraints", {"min_words": 3, "max_words": 2}, "options: min_words (3) is more than max_words (2)"),
        ("json_schema", {"json_schema": {"type": "thing"}}, "options.json_schema: not a JSON schema"),
        ("json_schema", {"json_schema": {"type": "object"}}, "options.json_schema: give the schema `examples`"),
    ],
)
def test_wrong_options(name: str, options: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(line)}"):
        made(name, **options)


def test_nothing_that_a_schema_refers_to_is_fetched() -> None:
    verifier = made("json_schema", json_schema={"$ref": "https://example.org/s.json", "examples": [1]})
    with pytest.raises(Exception, match="Unresolvable"):
        score(verifier, "1")


def test_a_question_that_a_task_repeats_is_one_prompt() -> None:
    pytest.importorskip("reasoning_gym")
    prompts = gym.prompts("chain_sum", {"size": 300, "min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1})
    assert 100 < len(prompts) == len({p.text for p in prompts}) < 300
    verifier = made("gym")
    for prompt in prompts[::40]:
        key = verifier.right(prompt.answer)
        assert key is not None
        assert verifier.judge(key, prompt.answer).score == 1.0


def test_any_task_of_reasoning_gym() -> None:
    pytest.importorskip("reasoning_gym")
    prompts = gym.prompts("chain_sum", {"size": 5, "seed": 3, "max_terms": 2})
    assert len({p.id for p in prompts}) == 5
    assert prompts == gym.prompts("chain_sum", {"size": 5, "seed": 3, "max_terms": 2})
    assert json.loads(prompts[4].answer)["index"] == 4
    verifier = made("gym")
    assert selftest.require(verifier, prompts, "x") > 50
    right = verifier.right(prompts[0].answer)
    assert right is not None
    assert score(verifier, f"I think the answer is {right}", prompts[0].answer) == 1.0
    assert score(verifier, f"{int(right) + 1}", prompts[0].answer) == 0.0
    with pytest.raises(ValueError, match="no task 'chain_sun'; did you mean chain_sum"):
        gym.prompts("chain_sun", {})
    with pytest.raises(ValueError, match=r"^data\.task: reasoning-gym's chain_sum: .*max_term"):
        gym.prompts("chain_sum", {"max_term": 2})


@pytest.mark.skipif(bool(REFUSAL), reason=f"no sandbox here: {REFUSAL}")
def test_code_is_tested_where_it_is_fenced() -> None:
    verifier = made("code", score="share")
    key = json.dumps({"setup": "limit = 3", "tests": ["assert f(1) < limit", "assert f(9) < limit"]})
    assert score(verifier, "Here:\n```python\ndef f(x):\n    return x\n```\nDone.", key) == 0.5
    assert score(verifier, "```\ndef f(x):\n    return 0\n```", key) == 1.0
    assert score(verifier, "I can't do that.", key) == 0.0
    for wrong in ("x", '{"tests": []}', '{"tests": ["a"], "code": 1}'):
        with pytest.raises(ValueError, match="expected the answer key"):
            verifier.check(wrong)
