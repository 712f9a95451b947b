"""What SFT learns from conversations: the assistant's words with their ends, of all turns or of the last, in any template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from chat_templates import FAMILIES, tokenizer
from trueward.algorithms import sft
from trueward.config import SftConfig
from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.records import Completion, Message, Prompt
from trueward.training.setup import Supervised

TALK = (("user", "How many legs?"), ("assistant", "Eight."), ("user", "And an ant?"), ("assistant", "Six, it has."))
CALL = {"type": "function", "function": {"name": "legs", "arguments": {"animal": "ant"}}}
TOOL = {"type": "function", "function": {"name": "legs", "parameters": {"type": "object"}}}


def policy(tok: Any, context: int = 400) -> Network:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tok), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=context, pad_token_id=tok.pad_token_id,
    )  # fmt: skip
    return Network(LlamaForCausalLM(config).eval(), tok)


def demonstration(*turns: tuple[str, str]) -> Completion:
    messages = tuple(Message(role=role, content=text) for role, text in turns[:-1])
    return Completion(prompt=Prompt(messages=messages), response=turns[-1][1])


def learned_texts(network: Network, demonstrations: Sequence[Completion], which: Any) -> list[list[str]]:
    """The runs of learned tokens of each sequence, as text."""
    tokens, learned, _ = sft.turns(network, demonstrations, which)
    out = []
    for ids, mask in zip(tokens.ids.tolist(), learned.tolist(), strict=True):
        runs: list[list[int]] = []
        for place, (token, is_learned) in enumerate(zip(ids, mask, strict=True)):
            if is_learned and not (place and mask[place - 1]):
                runs.append([])
            if is_learned:
                runs[-1].append(token)
        out.append([network.tokenizer.decode(run) for run in runs])
    return out


@pytest.mark.parametrize("name", FAMILIES)
def test_all_turns_of_the_assistant_are_learned_with_their_ends(name: str) -> None:
    family = FAMILIES[name]
    network = policy(tokenizer(family))
    words, end = [text for role, text in TALK if role == "assistant"], family.ends
    for talk in (TALK, (("system", "Be brief."), *TALK) if family.has_system else TALK):
        (whole,) = [demonstration(*talk)]
        runs = learned_texts(network, [whole], "all")
        assert [text for row in runs for text in row] == [f"{text}{end}" for text in words]
        assert learned_texts(network, [whole], "last") == [[f"{words[-1]}{end}"]]


@pytest.mark.parametrize("name", ["chatml", "llama-3", "gemma"])
def test_turns_that_follow_each_other_are_one_sequence(name: str) -> None:
    """As the template writes the whole conversation, up to its last answer's end."""
    family = FAMILIES[name]
    tok = tokenizer(family)
    tokens, learned, places = sft.turns(policy(tok), [demonstration(*TALK)], "all")
    messages = [{"role": role, "content": text} for role, text in TALK]
    whole = tok(tok.apply_chat_template(messages, tokenize=False), add_special_tokens=False)["input_ids"]
    assert [row.tolist() for row in places] == [[0]]
    ids = tokens.ids[0].tolist()
    assert ids == whole[: len(ids)]
    assert ids[-1] == tok.eos_token_id
    assert learned.sum() == sum(len(tok(text)["input_ids"]) for role, text in TALK if role == "assistant") + (
        0 if family.opens != "<|endoftext|>" else 2
    )


def test_a_template_that_moves_the_system_message_gives_a_sequence_a_turn() -> None:
    """Mistral's puts it into the last turn of the user's: an answer is learned behind what it was an answer to."""
    network = policy(tokenizer(FAMILIES["mistral"]))
    talk = (("system", "Be brief."), *TALK)
    tokens, _, places = sft.turns(network, [demonstration(*talk), demonstration(*TALK[:2])], "all")
    assert [row.tolist() for row in places] == [[0, 1], [2]]
    prompts = [
        network.tokenizer.decode(ids[:length]) for ids, length in zip(tokens.ids, tokens.prompt_lengths, strict=True)
    ]
    assert prompts[0].endswith("[INST] Be brief.\n\nHow many legs?[/INST]")
    assert prompts[1].endswith("[INST] Be brief.\n\nAnd an ant?[/INST]")
    assert "[INST] How many legs?[/INST]" in prompts[1]


def test_calls_are_learned_as_the_template_writes_them_and_results_are_not() -> None:
    network = policy(tokenizer(FAMILIES["chatml"]))
    messages = (
        Message(role="user", content="How many legs has an ant?"),
        Message(role="assistant", content="", tool_calls=(CALL,)),
        Message(role="tool", content="6 legs", name="legs"),
    )
    row = Completion(prompt=Prompt(messages=messages, tools=(TOOL,)), response="Six.")
    written = '<tool_call>\n{"name": "legs", "arguments": {"animal": "ant"}}\n</tool_call><|im_end|>'
    assert learned_texts(network, [row], "all") == [[written, "Six.<|im_end|>"]]
    assert learned_texts(network, [row], "last") == [["Six.<|im_end|>"]]


def test_what_is_no_answer_is_not_learned() -> None:
    network = policy(tokenizer(FAMILIES["chatml"]))
    greeted = demonstration(("assistant", "Hello!"), ("user", "Legs?"), ("assistant", ""), ("user", "Legs?"), TALK[1])
    assert learned_texts(network, [greeted], "all") == [["Eight.<|im_end|>"]]


def test_single_turns_are_read_as_ever(demonstrations: list[Completion], make_policy: Callable[..., Network]) -> None:
    network = make_policy()
    expected = Collator(network.tokenizer, network.context).tokens(demonstrations)
    for which in ("all", "last"):
        tokens, learned, places = sft.turns(network, demonstrations, which)
        assert torch.equal(tokens.ids, expected.ids)
        assert torch.equal(tokens.prompt_lengths, expected.prompt_lengths)
        assert torch.equal(learned, expected.response_mask)
        assert [row.tolist() for row in places] == [[i] for i in range(len(demonstrations))]


def loss_of(network: Network, prompt: Prompt, response: str) -> tuple[float, int]:
    """Minus the sum of the log-probs of a response and its end by a plain forward pass, and their number."""
    ids, answer = Collator(network.tokenizer, network.context).pairs([Completion(prompt=prompt, response=response)])[0]
    with torch.no_grad():
        logps = network.model(torch.tensor([ids + answer])).logits[0].log_softmax(-1)
    places = range(len(ids) - 1, len(ids) + len(answer) - 1)
    return -sum(logps[at, token].item() for at, token in zip(places, answer, strict=True)), len(answer)


@pytest.mark.parametrize("name", ["llama-3", "mistral"])
@pytest.mark.parametrize("which", ["all", "last"])
def test_the_first_loss_is_that_of_plain_forward_passes(name: str, which: Any) -> None:
    """Each answer behind the prompt that it would be sampled from; every token counts the same, and a row is one example."""
    rows = [
        demonstration(("system", "Be brief."), *TALK),
        demonstration(*TALK[:2]),
        demonstration(*TALK, ("user", "Why?"), TALK[1]),
    ]
    network = policy(tokenizer(FAMILIES[name]))
    total, count = 0.0, 0
    for row in rows:
        messages = (*row.prompt.messages, Message(role="assistant", content=row.response))
        for place, message in enumerate(messages):
            if message.role == "assistant" and (which == "all" or place == len(messages) - 1):
                nll, tokens = loss_of(network, Prompt(messages=messages[:place]), message.content)
                total, count = total + nll, count + tokens
    setup = Supervised(seed=0, micro_batch_tokens=150, policy=network, demonstrations=rows)
    config = SftConfig(batch_size=3, epochs=1.0, turns=which)
    assert sft.steps(config, setup) == 1
    assert sft.held_out_nll(network, rows, 150, which) == pytest.approx(total / count, abs=1e-4)
    step = next(iter(sft.train(config, setup, sft.start(config, setup))))
    assert step.metrics["nll"] == pytest.approx(total / count, rel=1e-5)
    assert step.metrics["tokens"] == count
