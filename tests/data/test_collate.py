"""From records to token ids, and back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tokenizers import processors

from trueward.data import toy
from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.models.tiny import word_tokenizer
from trueward.records import Completion, Message, Prompt

MakeNetwork = Callable[..., Network]
TEMPLATE = (
    "{% for m in messages %}{{ '<|begin|>' + m.content }}{% endfor %}{% if add_generation_prompt %} is{% endif %}"
)


def collator(context: int = 64) -> Collator:
    return Collator(word_tokenizer(toy.words()), context)


def ids_of(words: str) -> list[int]:
    vocabulary = word_tokenizer(toy.words()).get_vocab()
    return [vocabulary[w.replace("_", "▁")] for w in words.split()]


def test_text_by_hand() -> None:
    door = collator()
    assert door.prompt_ids(Prompt(text="the new film")) == [1, *ids_of("the _new _film")]
    assert door.response_ids(" is great", finished=True) == [*ids_of("_is _great"), 2]
    assert door.response_ids(" is great", finished=False) == ids_of("_is _great")
    assert door.response_ids("", finished=True) == [2]
    assert door.response_ids("", finished=False) == []


def test_tokenizers_that_close_what_they_encode() -> None:
    door = collator()
    closing = processors.TemplateProcessing(
        single="<|begin|> $A <|end|>", special_tokens=[("<|begin|>", 1), ("<|end|>", 2)]
    )
    door.tokenizer.backend_tokenizer.post_processor = closing
    assert door.prompt_ids(Prompt(text="the new film")) == [1, *ids_of("the _new _film")]
    assert door.response_ids(" is", finished=False) == ids_of("_is")


def test_messages_go_through_the_template_once() -> None:
    door = collator()
    prompt = Prompt(messages=(Message(role="user", content="the film"),))
    with pytest.raises(ValueError, match="no chat template"):
        door.prompt_ids(prompt)
    door.tokenizer.chat_template = TEMPLATE
    assert door.prompt_ids(prompt) == [1, *ids_of("the _film _is")]


@pytest.mark.parametrize("finished", [True, False])
def test_what_a_policy_wrote_comes_back_as_the_same_tokens(finished: bool) -> None:
    door = collator()
    for prompt, response in toy.reviews(50, seed=3):
        written = door.response_ids(response, finished)
        completion = door.completion(Prompt(text=prompt), written)
        assert completion == Completion(prompt=Prompt(text=prompt), response=response, finished=finished)
        assert door.pairs([completion]) == [(door.prompt_ids(Prompt(text=prompt)), written)]


def test_opening_padding_and_end_are_no_text() -> None:
    completion = collator().completion(Prompt(text="the"), [*ids_of("_is"), 1, 0, 2])
    assert (completion.response, completion.finished) == (" is", True)
    chatting = collator()
    chatting.tokenizer.chat_template = TEMPLATE
    assert chatting.completion(Prompt(text="the"), [*ids_of("_is"), 1, 0, 2]).response == " is<|begin|>"
    chatting.tokenizer.pad_token = "<|begin|>"  # borrowed, where there was none
    assert chatting.completion(Prompt(text="the"), [*ids_of("_is"), 1, 2]).response == " is<|begin|>"
    empty = collator().completion(Prompt(text="the"), [2])
    assert (empty.response, empty.finished) == ("", True)


def test_batches_are_padded_on_the_right() -> None:
    door = collator()
    prompt = Prompt(text="the film")
    tokens = door.tokens(
        [
            Completion(prompt=prompt, response=" is great"),
            Completion(prompt=prompt, response=" is", finished=False),
        ]
    )
    head = [1, *ids_of("the _film")]
    assert tokens.ids.tolist() == [[*head, *ids_of("_is _great"), 2], [*head, *ids_of("_is"), 0, 0]]
    assert tokens.prompt_lengths.tolist() == [3, 3]
    assert tokens.response_lengths.tolist() == [3, 1]


def test_long_responses_are_cut_to_the_context() -> None:
    prompt = Prompt(text="the film")
    pairs = collator(context=5).pairs(
        [Completion(prompt=prompt, response=" is great and funny ."), Completion(prompt=prompt, response=" is")]
    )
    assert pairs == [
        ([1, *ids_of("the _film")], ids_of("_is _great")),
        ([1, *ids_of("the _film")], [*ids_of("_is"), 2]),
    ]


def test_no_sequence_is_longer_than_the_context() -> None:
    completion = Completion(prompt=Prompt(text="the new film about love"), response=" is great")
    prompt, response = collator(context=7).pairs([completion])[0]
    assert (len(prompt), len(response)) == (6, 1)
    with pytest.raises(ValueError, match="a prompt of 6 tokens leaves no room in a context of 4"):
        collator(context=4).pairs([completion])


def test_a_conversation_and_a_text_are_different_prompts() -> None:
    door = collator()
    door.tokenizer.chat_template = TEMPLATE
    talk, text = Prompt(messages=(Message(role="user", content="the film"),)), Prompt(text="the film")
    pairs = door.pairs([Completion(prompt=p, response=" is") for p in (talk, text, talk)])
    assert pairs[0] == pairs[2]
    assert pairs[0][0] != pairs[1][0]


def test_many_at_once_are_what_each_is_alone() -> None:
    door = collator()
    texts = [" is great", "", " was dull and slow", " is great"]
    both = [(text, finished) for text in texts for finished in (True, False)]
    assert door.responses_ids(both) == [door.response_ids(*one) for one in both]
    assert door.responses_ids([]) == []
    prompts = [Prompt(text="the new film")] * len(both)
    ids = door.responses_ids(both)
    assert door.completions(prompts, ids) == [door.completion(p, i) for p, i in zip(prompts, ids, strict=True)]
    assert door.completions([], []) == []
    assert [(c.response, c.finished) for c in door.completions(prompts, ids)] == both


def test_what_one_tokenizer_said_is_not_taken_for_anothers() -> None:
    prompt = Prompt(text="the new film")
    one, same = collator(), Collator(word_tokenizer(toy.words()), 64)
    other = Collator(word_tokenizer(["other", *toy.words()]), 64)
    assert one.prompt_ids(prompt) == same.prompt_ids(prompt) == one.prompt_ids(prompt)
    assert [i - 1 for i in other.prompt_ids(prompt)[1:2]] == one.prompt_ids(prompt)[1:2]
