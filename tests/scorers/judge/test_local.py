"""A judge that runs here, against transformers' own forward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trueward.data import toy
from trueward.models.network import Network
from trueward.scorers.judge.local import Local
from trueward.scorers.judge.question import JudgeQuestion

WORDS = [*toy.words(), "1", "0", "2"]


def by_hand(network: Network, ids: list[int], answer: list[int]) -> float:
    """Σ log softmax of the model's own logits, one token at a time."""
    total = 0.0
    for i, token in enumerate(answer):
        with torch.no_grad():
            logits = network.model(input_ids=torch.tensor([ids + answer[:i]])).logits[0, -1]
        total += float(torch.log_softmax(logits.double(), -1)[token])
    return total


def ids_of(network: Network, text: str) -> list[int]:
    return list(network.tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("budget", [1, 4096])
def test_log_probs_are_those_of_the_model(make_policy: Any, budget: int) -> None:
    network = make_policy(3)
    texts = ["the new film is", "the story", "a comedy is warm and"]
    questions = [JudgeQuestion(t, ("warm", "slow", "and slow ,")) for t in texts]
    calls: list[int] = []
    got = Local(network, budget).ask(questions, on_progress=calls.append)
    assert calls[-1] == 3
    for text, reply in zip(texts, got, strict=True):
        opened = list(network.tokenizer(text)["input_ids"])
        opened = opened[:-1] if opened[-1] == network.tokenizer.eos_token_id else opened
        for choice, logp in zip(questions[0].choices, reply.logps or (), strict=True):
            assert logp == pytest.approx(by_hand(network, opened, ids_of(network, f" {choice}")), abs=1e-5)


def test_a_choice_that_another_one_begins_with_is_what_is_left(make_policy: Any) -> None:
    """P("1" and no "0" after it) = P("1") − P("1", "0")."""
    network = make_policy(4, words=WORDS)
    (reply,) = Local(network).ask([JudgeQuestion("the film", ("1", "2", "1 0"))])
    opened = list(network.tokenizer("the film")["input_ids"])
    opened = opened[:-1] if opened[-1] == network.tokenizer.eos_token_id else opened
    one, both = (torch.tensor(by_hand(network, opened, ids_of(network, f" {c}"))).exp() for c in ("1", "1 0"))
    assert reply.logps is not None
    assert reply.logps[0] == pytest.approx(float((one - both).log()), abs=1e-5)
    assert reply.logps[2] == pytest.approx(float(both.log()), abs=1e-5)


def test_a_chat_model_is_asked_in_its_template(make_policy: Any) -> None:
    network = make_policy(3)
    network.tokenizer.chat_template = (
        "{% for m in messages %}the {{ m['content'] }} {% endfor %}{% if add_generation_prompt %}film{% endif %}"
    )
    (reply,) = Local(network).ask([JudgeQuestion("story is", ("warm", "slow"))])
    opened = ids_of(network, "the story is film")
    assert reply.logps == pytest.approx(
        [by_hand(network, opened, ids_of(network, c)) for c in ("warm", "slow")], abs=1e-5
    )


def test_a_question_that_is_too_long_has_no_reply(make_policy: Any) -> None:
    network = make_policy(3)
    got = Local(network).ask(
        [JudgeQuestion("the film", ("warm", "slow")), JudgeQuestion("the " * 60, ("warm", "slow"))]
    )
    assert got[0].logps
    assert "tokens, more than the judge's context of 48" in got[1].wrong


def test_a_choice_that_the_tokenizer_does_not_know(make_policy: Any) -> None:
    with pytest.raises(ValueError, match="does not know the choice 'xyzzy'"):
        Local(make_policy(3)).ask([JudgeQuestion("the film", ("warm", "xyzzy"))])


def test_nothing_to_ask(make_policy: Any) -> None:
    assert Local(make_policy(3)).ask([]) == []
