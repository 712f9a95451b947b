"""The lab's words and prompts."""

from __future__ import annotations

from trueward.data import nano, reviews


def test_words() -> None:
    assert len(set(nano.WORDS)) == len(nano.WORDS) == 120
    assert all(word.isalpha() and word.islower() for word in nano.WORDS)
    assert set(nano.liked("a")) == set(nano.CHEERFUL)
    assert len(set(nano.liked("b"))) == len(nano.CHEERFUL) == 20
    assert len(set(nano.liked("a")) & set(nano.liked("b"))) == 16


def test_prompts_are_the_same_every_time_and_some_hundreds_are_held_out() -> None:
    prompts = nano.prompts()
    assert prompts == nano.prompts()
    assert len(set(prompts)) == len(prompts) == 4000
    assert {word for prompt in prompts for word in prompt.split()} == set(nano.WORDS)
    assert all(len(prompt.split()) == nano.PROMPT - 1 for prompt in prompts)
    assert 350 < sum(map(reviews.held_out, prompts)) < 450
