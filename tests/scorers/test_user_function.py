"""A user's function is called in the form that it has, trueward's or TRL's, and what it does wrong is one line."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward.records import Completion, Message, Prompt, Score
from trueward.scorers.custom import FunctionScorer, with_neutral
from trueward.scorers.mix import Ingredient, Mix
from trueward.scorers.scorer import ABSTAINED, judged_pairs

PLAIN = [
    Completion(prompt=Prompt(text="p", answer="1", columns={"answer": 1, "level": "hard"}), response="a"),
    Completion(prompt=Prompt(text="q", columns={"answer": 2}), response="bb"),
]
TALK = Completion(prompt=Prompt(messages=(Message(role="user", content="Hi"),)), response="Ho")


def scored(function: Callable[..., Any], completions: list[Completion] = PLAIN, **more: Any) -> list[float]:
    return [s.score for s in FunctionScorer("f", function, **more)(completions)]


def test_trls_form_is_handed_texts_and_columns() -> None:
    seen: dict[str, Any] = {}

    def reward(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        seen.update(columns, prompts=prompts, completions=completions)
        return [float(len(c)) for c in completions]

    assert scored(reward) == [1, 2]
    assert seen == {"prompts": ["p", "q"], "completions": ["a", "bb"], "answer": [1, 2], "level": ["hard", None]}


def test_conversations_are_lists_of_messages() -> None:
    def reward(completions: Any, **kwargs: Any) -> list[float]:
        assert kwargs["prompts"] == [[{"role": "user", "content": "Hi"}]]
        return [float(len(c[0]["content"])) for c in completions]

    assert scored(reward, [TALK]) == [2]


class Counts:
    __name__ = "Counts"

    def __call__(self, prompts: Any, completions: Any, answer: Any, **kwargs: Any) -> list[float]:
        return [float(a) for a in answer]


FORMS: dict[str, tuple[Callable[..., Any], list[float]]] = {
    "named columns": (lambda completions, answer: [float(a) for a in answer], [1, 2]),
    "a column by keyword": (lambda *, completions, answer, **kwargs: answer, [1, 2]),
    "a column with a default": (lambda completions, level=None, **kwargs: [len(level)] * 2, [2, 2]),
    "all by keyword": (lambda **kwargs: [len(kwargs["completions"]) + a for a in kwargs["answer"]], [3, 4]),
    "prompts first": (
        lambda prompts, completions: [float(p < c) for p, c in zip(prompts, completions, strict=True)],
        [0, 0],
    ),
    "what only TRL has": (lambda completions, trainer_state=None, **kwargs: [0.5, 0.5], [0.5, 0.5]),
    "an object": (Counts(), [1, 2]),
    "a part of a function": (functools.partial(lambda prompts, completions, scale: [scale] * 2, scale=3.0), [3, 3]),
    "our own": (lambda completions: [len(c.response) for c in completions], [1, 2]),
    "our own by another name": (lambda rows: [len(c.response) for c in rows], [1, 2]),
    "our own with a setting": (lambda completions, scale=2: [scale * len(c.response) for c in completions], [2, 4]),
    "our own, any arguments": (lambda *rows, **more: [len(c.response) for c in rows[0]], [1, 2]),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str) -> None:
    function, expected = FORMS[form]
    assert scored(function) == expected


def test_columns_beside_prompts_are_found_by_the_prompts_id() -> None:
    prompt = Prompt(text="r")
    cut = Prompt(text="", messages=(Message(role="user", content="r"),), whole=prompt.id)
    rows = [Completion(prompt=p, response="x") for p in (prompt, cut)]
    assert scored(
        lambda completions, level, **k: [len(v) for v in level], rows, columns={prompt.id: {"level": "hard"}}
    ) == [4, 4]


WRONG: dict[str, tuple[Callable[..., Any], str]] = {
    "two lists": (lambda first, second: [1.0], r"f: expected a function of a list of completions.*f\(first, second\)"),
    "none": (lambda: [1.0], r"f: expected a function of a list of completions"),
    "by keyword alone": (lambda *, rows: [1.0], r"f: expected a function of a list of completions"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_signature_is_known_before_a_call(case: str) -> None:
    function, match = WRONG[case]
    with pytest.raises(ValueError, match=match) as caught:
        FunctionScorer("f", function)
    assert "\n" not in str(caught.value)


def test_an_async_function_is_refused() -> None:
    async def reward(completions: Any, **kwargs: Any) -> list[float]:
        return [1.0]

    with pytest.raises(ValueError, match="this one is async"):
        FunctionScorer("f", reward)


def test_a_column_that_no_row_has() -> None:
    def reward(completions: Any, target: Any, **kwargs: Any) -> list[float]:
        return [0.0 if t is None else 1.0 for t in target]

    scorer = FunctionScorer("f", reward)
    with pytest.raises(
        ValueError, match=r"^truth: f needs the column 'target', which no row of the prompts has; there are: "
    ):
        scorer.check([c.prompt for c in PLAIN], "truth")
    with pytest.raises(ValueError, match=r"there are: none beside the prompt"):
        scorer.check([TALK.prompt], "truth")
    scorer.check([*(c.prompt for c in PLAIN), Prompt(text="r", columns={"target": 1})], "truth")
    assert scored(reward) == [0, 0], "in a batch without it the values are None"
    with pytest.raises(ValueError, match="needs completion_ids, and scorers are handed texts and columns alone"):
        FunctionScorer("f", lambda completions, completion_ids: [1.0]).check([], "truth")


def first_letter(completions: list[Completion]) -> list[float]:
    return [float(ord(letter(c.response))) for c in completions]


def letter(text: str) -> str:
    return text[10**6]


def lazily(completions: list[Completion]) -> Any:
    return (1 / (len(c.response) - 1) for c in completions)


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (first_letter, r"^f raised IndexError: string index out of range \(\S+test_user_function.py, line \d+\)$"),
        (lazily, r"^f raised ZeroDivisionError: .*test_user_function.py, line \d+\)$"),
        (lambda completions: [completions.text], r"^f raised AttributeError: 'list' object has no attribute 'text'"),
    ],
)
def test_what_it_raises_is_one_line_with_its_own_place(function: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        scored(function)


def test_the_place_is_the_last_one_in_the_users_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trueward.scorers.custom import CustomScorer

    (tmp_path / "reading_scorers.py").write_text(
        "import json\n\n\ndef parsed(completions, **kwargs):\n    return [json.loads(c) for c in completions]\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match=r"reading_scorers:parsed raised JSONDecodeError: .*reading_scorers.py, line 5\)$"
    ):
        CustomScorer("reading_scorers:parsed")(PLAIN)
    (tmp_path / "dying_scorers.py").write_text("\nimport json\njson.loads('nothing')\n")
    with pytest.raises(ValueError, match=r"dying_scorers can't be imported: JSONDecodeError"):
        CustomScorer("dying_scorers:f")


def test_it_is_tried_before_anything_is_trained() -> None:
    seen: list[Completion] = []

    def reward(completions: list[Completion]) -> list[float]:
        seen.extend(completions)
        return [1.0] * len(completions)

    FunctionScorer("f", reward).try_out([c.prompt for c in PLAIN] * 9)
    assert [c.prompt.text for c in seen] == ["p", "q"]
    with pytest.raises(ValueError, match="f returned None"):
        FunctionScorer("f", lambda completions: None).try_out([PLAIN[0].prompt])


# None abstains.


def only_long(completions: list[Completion]) -> list[float | None]:
    return [float(len(c.response)) if len(c.response) > 1 else None for c in completions]


def answers(*texts: str) -> list[Completion]:
    return [Completion(prompt=Prompt(text="p"), response=text) for text in texts]


def test_abstaining_is_neutral() -> None:
    one, two, three = FunctionScorer("f", only_long)(answers("a", "bb", "cccc"))
    assert (one.score, two.score, three.score) == (3, 2, 4), "the mean of the others, where no other is known"
    assert (one.parts, two.parts, one.note) == ({ABSTAINED: 1.0}, {}, "abstained")
    known = with_neutral(FunctionScorer("f", only_long), -7.0)
    assert [s.score for s in known(answers("a", "bb"))] == [-7, 2]
    assert [s.score for s in FunctionScorer("f", only_long)(answers("a", "b"))] == [0, 0]


def test_a_scale_is_that_of_what_was_judged() -> None:
    pairs = judged_pairs(FunctionScorer("f", only_long), answers("a", "bb", "ccc", "dddd"), "it")
    assert pairs.tolist() == [[3, 4]]
    with pytest.raises(ValueError, match="it abstains from all of the SFT policy's answers"):
        judged_pairs(FunctionScorer("f", lambda completions: [None] * 2), answers("a", "b"), "it")


def test_in_a_mixture_a_part_that_abstains_adds_nothing() -> None:
    """As TRL sums several reward functions."""
    long = FunctionScorer("f", only_long)
    ones = FunctionScorer("g", lambda completions: [1.0] * len(completions))
    mix = Mix([Ingredient("long", long, 2.0), Ingredient("one", ones)], floor=-1.0)
    short, other = mix(answers("a", "bbb"))
    assert (short.score, other.score) == (1, 7)
    assert short.parts == {"long.abstained": 1.0, "one": 1.0}
    gated = Mix([Ingredient("long", long, gate=True), Ingredient("one", ones)], floor=-1.0)
    assert [s.score for s in gated(answers("a", "bbb"))] == [1, 1], "a gate that abstains is open"
    silent = Mix([Ingredient("long", long)], floor=-1.0, neutral=0.25)
    assert [s.score for s in silent(answers("a", "bbb"))] == [0.25, 3]
    assert ABSTAINED in silent(answers("a"))[0].parts


def test_a_score_may_stand_beside_none() -> None:
    function = lambda completions: [Score(score=2.0, parts={"x": 1.0}), None]  # noqa: E731
    first, second = FunctionScorer("f", function)(PLAIN)
    assert (first.parts, second.score) == ({"x": 1.0}, 2.0)
