"""How long texts may be: as the recipe says, else as nearly all of the data; and what is done with longer ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trueward.data.collate import Collator
from trueward.data.lengths import Lengths, nearly_all
from trueward.data.truncation import Fitter, shortened
from trueward.models.tiny import make_tokenizer
from trueward.records import Comparison, Message, Prompt, Response

CHAT = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }} {% endfor %}"


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        (list(range(1, 101)), 99),
        (list(range(1, 1001)), 990),
        ([3] * 98 + [7, 900], 7),
        ([3, 5], 5),
        ([0], 1),
        ([], 1),
    ],
)
def test_nearly_all(lengths: list[int], expected: int) -> None:
    assert nearly_all(lengths) == expected


def test_lengths_of_the_data_go_up_to_the_context() -> None:
    of_data = Lengths.of(None, None, 64, [[3] * 50, [10] * 50], [[20] * 50])
    assert (of_data.prompt, of_data.response) == (10, 20)
    assert "data.max_prompt_tokens = 10 and data.max_response_tokens = 20" in of_data.sentence
    long = Lengths.of(None, None, 64, [[300]], [[300]])
    assert (long.prompt, long.response) == (63, 64)
    assert long.prompt_reason == "prompt longer than the model's context of 64 tokens"
    assert Lengths.of(5, 6, 64, [[10]], [[20]]) == Lengths(5, 6, 64)
    assert Lengths.of(5, 6, 64).sentence == ""
    half = Lengths.of(5, None, 64, [], [[20]])
    assert (half.prompt, half.response) == (5, 20)
    assert half.sentence.startswith("data.max_response_tokens = 20: as long as 99% of the data")
    assert half.prompt_reason == "prompt longer than data.max_prompt_tokens = 5"
    assert half.response_reason(3) == "response longer than data.max_response_tokens = 20, the length of 99% of them"
    assert half.room(50) == 14
    assert half.response_reason(50).endswith("leaves of the model's context of 64 tokens")


def test_a_prompt_leaves_room_for_an_answer() -> None:
    with pytest.raises(ValueError, match=r"data.max_prompt_tokens: 64 leaves no room for an answer"):
        Lengths.of(64, None, 64)


@pytest.mark.parametrize(
    ("text", "side", "most", "expected"),
    [
        ("one two three four", "left", 10, "three four"),
        ("one two three four", "right", 10, "one two"),
        ("one two three four", "left", 9, "four"),
        ("one two three four", "left", 3, "our"),  # not even a word fits
        (" one two", "right", 5, " one"),
        ("天地玄黄宇宙洪荒", "left", 3, "宙洪荒"),
        ("天地玄黄宇宙洪荒", "right", 3, "天地玄"),
        ("short", "left", 9, "short"),
        ("one", "left", 0, ""),
        ("a" * 100 + " b", "right", 50, "a" * 50),
    ],
)
def test_shortened(text: str, side: str, most: int, expected: str) -> None:
    assert shortened(text, side, lambda part: len(part) <= most) == expected


def fitter(prompt: int, response: int, truncation: str, template: str | None = None) -> Fitter:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    return Fitter(Collator(tokenizer, 64), Lengths(prompt, response, 64), truncation)


FILM = "the film is great and the story is dull and the end is good"


@pytest.mark.parametrize(("side", "kept"), [("left", str.endswith), ("right", str.startswith)])
def test_a_prompt_is_cut_on_its_side(side: str, kept: Callable[[str, str], bool]) -> None:
    cutting = fitter(5, 9, side)
    prompt = Prompt(text=FILM, answer="yes")
    shorter = cutting.prompt(prompt, "prompts")
    assert shorter is not None
    assert 3 <= len(cutting.collator.prompt_ids(shorter)) <= 5
    assert kept(FILM, shorter.text)
    assert (shorter.answer, shorter.whole) == ("yes", prompt.id)
    assert cutting.rows() == (
        [],
        [{"what": "prompts", "reason": "prompt longer than data.max_prompt_tokens = 5", "rows": 1}],
    )
    assert cutting.prompt(shorter, "prompts") is shorter


def test_a_response_is_cut_at_its_end_and_does_not_end_there() -> None:
    cutting = fitter(20, 5, "left")
    text, finished = cutting.response(Prompt(text="the film"), " " + FILM, True, "demonstrations") or ("", True)
    assert (" " + FILM).startswith(text)
    assert not finished
    assert len(cutting.collator.response_ids(text, False)) <= 5
    assert cutting.response(Prompt(text="the film"), " is", True, "demonstrations") == (" is", True)
    assert cutting.rows()[1][0]["rows"] == 1


def test_dropped_rows_are_counted_with_their_reason() -> None:
    dropping = fitter(5, 5, "drop")
    assert dropping.prompt(Prompt(text=FILM), "prompts") is None
    assert dropping.response(Prompt(text="the film"), FILM, True, "demonstrations") is None
    assert dropping.rows() == (
        [
            {"what": "prompts", "reason": "prompt longer than data.max_prompt_tokens = 5", "rows": 1},
            {"what": "demonstrations", "reason": "response longer than data.max_response_tokens = 5", "rows": 1},
        ],
        [],
    )
    assert dropping.too_long("prompts") == (
        ": 1 have a prompt longer than data.max_prompt_tokens = 5; set a longer one, or "
        'data.truncation = "left" or "right" to cut them'
    )
    assert dropping.too_long("held-out prompts") == ""


def talk(*texts: str, system: str = "") -> Prompt:
    roles = ("user", "assistant")
    turns = [Message(role=roles[i % 2], content=text) for i, text in enumerate(texts)]
    return Prompt(messages=tuple([Message(role="system", content=system)] * bool(system) + turns))


def test_of_a_conversation_the_oldest_turns_go_first() -> None:
    cutting = fitter(24, 9, "left", CHAT)
    prompt = talk(FILM, "ok", "the film is good", system="the film")
    assert len(cutting.collator.prompt_ids(prompt)) > 24
    shorter = cutting.prompt(prompt, "prompts")
    assert shorter is not None
    assert [(m.role, m.content) for m in shorter.messages] == [("system", "the film"), ("user", "the film is good")]


def test_the_last_message_is_cut_if_it_has_to_be() -> None:
    for side in ("left", "right"):
        cutting = fitter(14, 9, side, CHAT)
        shorter = cutting.prompt(talk(FILM), "prompts")
        assert shorter is not None
        (message,) = shorter.messages
        assert FILM.endswith(message.content) if side == "left" else FILM.startswith(message.content)
        assert message.content
        assert len(cutting.collator.prompt_ids(shorter)) <= 14


def test_a_system_message_that_leaves_no_room_is_named() -> None:
    cutting = fitter(6, 9, "left", CHAT)
    assert cutting.prompt(talk("the film", system=FILM), "prompts") is None
    assert "set a longer one" in cutting.too_long("prompts")
    assert "data.truncation" not in cutting.too_long("prompts")


def test_comparisons_are_cut_on_both_sides() -> None:
    sides = (Response(id="1", text=" " + FILM + " a"), Response(id="2", text=" " + FILM + " b"))
    pair = Comparison(prompt=Prompt(text="the film"), first=sides[0], second=sides[1], probability=1, source="x")
    cutting = fitter(9, 6, "right")
    assert cutting.comparison(pair) is None, "the same once they are cut"
    assert cutting.rows()[0] == [
        {"what": "comparisons", "reason": "the responses are the same once they are cut", "rows": 1}
    ]
    other = pair.model_copy(update={"second": Response(id="2", text=" is dull")})
    cut = fitter(9, 6, "right").comparison(other)
    assert cut is not None
    assert (cut.first.finished, cut.second.finished, cut.second.text) == (False, True, " is dull")


def test_prompts_that_are_cut_to_the_same_are_one() -> None:
    cutting = fitter(3, 9, "left")
    both = cutting.prompts([Prompt(text="a " + FILM), Prompt(text="the " + FILM)], "prompts")
    assert len(both) == 1
    assert cutting.left_out == {("prompts", "the same as another once it was cut"): 1}
