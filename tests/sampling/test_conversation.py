"""A conversation: answers as `sample` draws them, turn after turn, and the history's left end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.records import Message, Prompt
from trueward.sampling.conversation import Conversation
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, sample
from trueward.sampling.stream import stream

TURNS = "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}"
TEMPLATE = TURNS + "{% if add_generation_prompt %}assistant {% endif %}"
STRICT = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TEMPLATE
WORDS = ["system", "user", "assistant", "be", "brief", "hello", "film", "great", "bad", "?", "!", "."]


@pytest.fixture
def network(make_policy: Callable[..., Network]) -> Network:
    return make_policy(words=WORDS)


@pytest.fixture
def chatting(make_policy: Callable[..., Network]) -> Network:
    network = make_policy(words=WORDS)
    network.tokenizer.chat_template = TEMPLATE
    return network


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_stream_is_what_sample_draws(network: Network, temperature: float, kind: str) -> None:
    if kind == "gpt2":  # a family without a fast path
        from transformers import GPT2Config, GPT2LMHeadModel

        size = len(network.tokenizer)
        config = GPT2Config(
            vocab_size=size, n_embd=16, n_layer=1, n_head=2, n_positions=48, bos_token_id=1, eos_token_id=2
        )
        network = Network(GPT2LMHeadModel(config).eval(), network.tokenizer)
    params = SamplingParams(temperature, 20)
    for seed in range(4):
        prompt = Prompt(text="film film great")
        drawn = sample(network, [prompt], params, Draws(seed)).tokens
        ids = Collator(network.tokenizer, network.context).prompt_ids(prompt)
        assert drawn.ids[drawn.response_mask].tolist() == list(stream(network, ids, params, Draws(seed)))


def test_a_stream_stops_at_the_end_of_the_context(network: Network) -> None:
    ids = [1] * (network.context - 2)
    assert 1 <= len(list(stream(network, ids, SamplingParams(1.0, 20), Draws(0)))) <= 2
    with pytest.raises(ValueError, match="a prompt of 48 tokens leaves no room in a context of 48"):
        list(stream(network, [1] * network.context, SamplingParams(), Draws(0)))


def test_a_text_is_continued(network: Network) -> None:
    talk = Conversation(network, SamplingParams(0.0, 6))
    for turn in ("film", "great"):
        before = "".join(f"{a}{b if b[:1].isspace() else ' ' + b} " for a, b in talk.turns)
        pieces = list(talk.answer(turn))
        whole = Prompt(text=before + turn)
        expected = sample(network, [whole], SamplingParams(0.0, 6), Draws(0)).completions[0]
        assert ("".join(pieces), talk.finished) == (expected.response, expected.finished)
        assert talk.turns[-1] == (turn, expected.response)
    talk.reset()
    assert talk.turns == []


def test_a_conversation_goes_through_the_template(chatting: Network) -> None:
    talk = Conversation(chatting, SamplingParams(0.0, 5), system="be brief")
    first = "".join(talk.answer("hello"))
    second = "".join(talk.answer("film ?"))
    messages = [("system", "be brief"), ("user", "hello"), ("assistant", first), ("user", "film ?")]
    prompt = Prompt(messages=tuple(Message(role=role, content=text) for role, text in messages))
    assert sample(chatting, [prompt], SamplingParams(0.0, 5), Draws(0)).completions[0].response == second


def test_equal_seeds_answer_equally_and_turns_differ(network: Network) -> None:
    def answers(seed: int) -> list[str]:
        talk = Conversation(network, SamplingParams(1.0, 12), seed)
        out = []
        for _ in range(3):
            out.append("".join(talk.answer("film")))
            talk.reset()
        return out

    assert answers(0) == answers(0)
    assert answers(0) != answers(1)
    assert len(set(answers(0))) > 1


def test_the_left_end_goes_when_the_context_is_full(chatting: Network) -> None:
    talk = Conversation(chatting, SamplingParams(0.0, 10), system="be brief")
    talk.turns = [("hello", "great . " * 4), ("film", "bad"), ("film ?", "great")]
    length = len(talk._ids([*talk.turns, ("hello", "")]))
    assert talk.make_room("hello") == 0
    talk.turns[1] = ("film", "bad . " * ((chatting.context - 10 - length) // 2 + 1))
    assert talk.make_room("hello") == 1
    assert talk.turns[0][0] == "film"
    assert len(talk._ids([*talk.turns, ("hello", "")])) + 10 <= chatting.context
    turns = list(talk.turns)
    with pytest.raises(
        ValueError, match=r"\d+ tokens don't fit into a context of 48 with 10 left for the answer; write less"
    ):
        talk.make_room("film " * 60)
    assert talk.turns == turns


def test_half_the_context_is_room_enough(network: Network) -> None:
    talk = Conversation(network, SamplingParams(0.0, 1000))
    assert talk.make_room("film") == 0
    assert len("".join(talk.answer("film"))) > 0


def test_a_broken_off_turn_leaves_no_trace(network: Network) -> None:
    talk = Conversation(network, SamplingParams(0.0, 6))
    answer = talk.answer("film")
    next(answer)
    answer.close()
    assert talk.turns == []


def test_system_messages_that_have_no_place(network: Network, chatting: Network) -> None:
    with pytest.raises(ValueError, match="no chat template, so there is no place for a system message"):
        Conversation(network, SamplingParams(), system="be brief")
    chatting.tokenizer.chat_template = STRICT
    with pytest.raises(ValueError, match="chat template refuses this conversation: no system role"):
        Conversation(chatting, SamplingParams(), system="be brief")
    assert Conversation(chatting, SamplingParams()).has_template
