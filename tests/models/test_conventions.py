"""What a model's files say of how answers end, and of how it is sampled from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from families import CPU, GEMMA, TURN_END, change, save_model, words
from transformers import AutoConfig, GenerationConfig

from trueward.data.collate import Collator
from trueward.data.ends import ends, written_end
from trueward.models import conventions, loading
from trueward.models.network import Network
from trueward.records import Message, Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, sample
from trueward.sampling.stream import stream

GENERATION = "generation_config.json"
EOS = 2
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m['role'] }}\n\n{{ m['content'] | trim }}<end_of_turn>{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>assistant\n\n{% endif %}"
)
CHATML = (
    "{% for m in messages %}<start_of_turn>{{ m['role'] }}\n{{ m['content'] }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>assistant\n{% endif %}"
)
PHI3 = (  # the text's end follows the last turn's
    "{% for m in messages %}<start_of_turn>{{ m['role'] }}\n{{ m['content'] }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>assistant\n{% else %}{{ eos_token }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
LLAMA2 = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token }}[INST] {{ m['content'] }} [/INST]"
    "{% else %} {{ m['content'] }} {{ eos_token }}{% endif %}{% endfor %}"
)
OPEN = "{% for m in messages %}{{ m['role'] }} {{ m['content'] }}\n{% endfor %}"
PICKY = "{{ raise_exception('roles must be odd') }}"
TEMPLATES = {
    "gemma": (GEMMA, TURN_END),
    "llama 3": (LLAMA3, TURN_END),
    "chatml": (CHATML, TURN_END),
    "phi 3": (PHI3, TURN_END),
    "mistral": (MISTRAL, EOS),
    "llama 2": (LLAMA2, EOS),
    "one that leaves answers open": (OPEN, EOS),
    "one that refuses": (PICKY, EOS),
    "none": ("", EOS),
}


@pytest.mark.parametrize("which", TEMPLATES)
def test_a_finished_answer_ends_as_the_template_writes_it(which: str) -> None:
    template, expected = TEMPLATES[which]
    tokenizer = words(template)
    assert written_end(tokenizer) == expected
    assert set(ends(tokenizer)) == {EOS, expected}
    collator = Collator(tokenizer, 64)
    assert collator.response_ids("film", True)[-1] == expected
    assert collator.response_ids("film", False)[-1] != expected
    prompt = Prompt(text="the")
    for end in {EOS, expected}:
        done = collator.completions([prompt], [[*collator.response_ids("film", False), end]])[0]
        assert (done.response, done.finished) == ("film", True)
        assert collator.completion(prompt, [*collator.response_ids("film", False), end]) == done


def test_a_finished_turn_is_what_the_template_itself_writes() -> None:
    for template in (GEMMA, LLAMA3, CHATML):
        tokenizer = words(template)
        collator = Collator(tokenizer, 64)
        turns = [{"role": "user", "content": "the"}, {"role": "assistant", "content": "film"}]
        whole = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False)["input_ids"]
        prompt = collator.prompt_ids(Prompt(messages=(Message(role="user", content="the"),)))
        ours = prompt + collator.response_ids("film", True)
        assert ours == whole[: len(ours)]


GIVEN: dict[str, tuple[Any, Any, set[int]]] = {  # generation_config.json's, config.json's, the ends
    "two in generation_config": ([EOS, TURN_END], EOS, {EOS, TURN_END}),
    "another one in generation_config": (TURN_END, EOS, {EOS, TURN_END}),
    "two in config alone": (EOS, [EOS, TURN_END], {EOS, TURN_END}),
    "two in config, no generation_config": (None, [EOS, TURN_END], {EOS, TURN_END}),
    "an ordinary word that is named": ([EOS, 9], EOS, {EOS, 9}),
    "a word by the family's default": (2, 2, {EOS}),
    "ids that the tokenizer lacks": ([EOS, 4000, 128009], EOS, {EOS}),
    "none": (None, None, {EOS}),
}


@pytest.mark.parametrize("which", GIVEN)
def test_every_end_of_the_files_ends_an_answer(which: str, tmp_path: Path) -> None:
    generation, config, expected = GIVEN[which]
    place = save_model(tmp_path / "model")
    change(place / "config.json", eos_token_id=config)
    if generation is None:
        (place / GENERATION).unlink()
    else:
        change(place / GENERATION, eos_token_id=generation)
    network = loading.causal(str(place), 0, CPU)
    assert set(ends(network.tokenizer)) == expected
    assert set(ends(loading.tokenizer(str(place))[0])) == expected
    loading.save(network, tmp_path / "saved")
    assert set(ends(loading.causal(str(tmp_path / "saved"), 0, CPU).tokenizer)) == expected


def test_a_default_that_is_an_ordinary_word_to_the_tokenizer_ends_nothing(tmp_path: Path) -> None:
    """LlamaConfig's 2, where 2 is nobody's end."""
    tokenizer = words(eos_token="<end_of_turn>", unk_token="<unk>")
    place = save_model(tmp_path / "model", tokenizer=tokenizer)
    table = json.loads((place / "tokenizer.json").read_text(encoding="utf-8"))
    table["added_tokens"] = [t for t in table["added_tokens"] if t["id"] != EOS]
    (place / "tokenizer.json").write_text(json.dumps(table), encoding="utf-8")
    change(place / "config.json", eos_token_id=2)
    change(place / GENERATION, eos_token_id=2)
    assert ends(loading.causal(str(place), 0, CPU).tokenizer) == (TURN_END,)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_answers_end_at_every_end(family: str, tmp_path: Path) -> None:
    place = save_model(tmp_path / "model", family, words(GEMMA), spare=0)
    change(place / GENERATION, eos_token_id=[EOS, 3])
    network = loading.causal(str(place), 0, CPU)
    assert set(ends(network.tokenizer)) == {EOS, 3, TURN_END}
    rollout = sample(network, [Prompt(text="the film")] * 200, SamplingParams(1.5, 24), Draws.purpose(0, "ends"))
    starts, lengths = rollout.tokens.prompt_lengths.tolist(), rollout.tokens.response_lengths.tolist()
    seen = set()
    for row, start, length, done in zip(rollout.tokens.ids.tolist(), starts, lengths, rollout.completions, strict=True):
        answer = row[start : start + length]
        assert not {EOS, 3, TURN_END} & set(answer[:-1])
        assert done.finished == (answer[-1] in (EOS, 3, TURN_END))
        assert done.finished or length == 24
        seen |= {answer[-1]} if done.finished else set()
    assert seen == {EOS, 3, TURN_END}
    first = next(i for i, done in enumerate(rollout.completions) if done.finished and lengths[i] > 1)
    row, start = rollout.tokens.ids[first].tolist(), starts[first]
    draws = Draws.purpose(0, "ends").take(torch.tensor([first]), 200)
    assert list(stream(network, row[:start], SamplingParams(1.5, 24), draws)) == row[start : start + lengths[first]]


def test_a_trained_models_files_name_the_ends_it_was_taught(tmp_path: Path) -> None:
    place = save_model(tmp_path / "model", tokenizer=words(CHATML))
    loading.save(loading.causal(str(place), 0, CPU), tmp_path / "saved")
    assert set(GenerationConfig.from_pretrained(tmp_path / "saved").eos_token_id) == {EOS, TURN_END}
    plain = save_model(tmp_path / "plain")
    loading.save(loading.causal(str(plain), 0, CPU), tmp_path / "same")
    assert GenerationConfig.from_pretrained(tmp_path / "same").eos_token_id == EOS
    assert AutoConfig.from_pretrained(tmp_path / "same").eos_token_id == EOS


def test_a_reward_model_writes_the_same_end_as_its_policy(tmp_path: Path) -> None:
    """It has no generation_config.json; the end stands in its config.json."""
    place = save_model(tmp_path / "model", tokenizer=words(OPEN))
    change(place / GENERATION, eos_token_id=[EOS, 9])
    policy = loading.causal(str(place), 0, CPU)
    loading.save(policy, tmp_path / "policy")
    loading.save(loading.reward_from_policy(tmp_path / "policy", CPU), tmp_path / "reward")
    reward: Network = loading.reward(tmp_path / "reward", CPU)
    assert ends(reward.tokenizer) == ends(policy.tokenizer) == (EOS, 9)


ASIDE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "qwen": (
        {"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05},
        ["temperature = 0.7", "top_k = 20", "top_p = 0.8", "repetition_penalty = 1.05"],
    ),
    "without do_sample": ({"temperature": 0.6, "top_p": 0.9}, ["temperature = 0.6", "top_p = 0.9"]),
    "beams": ({"num_beams": 4, "no_repeat_ngram_size": 3}, ["num_beams = 4", "no_repeat_ngram_size = 3"]),
    "words": ({"suppress_tokens": [1, 2]}, ["suppress_tokens = [1, 2]"]),
    "nothing": ({"temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0, "num_beams": 1, "top_k": None}, []),
}


@pytest.mark.parametrize("which", ASIDE)
def test_sampling_settings_that_are_set_aside_are_named_in_one_line(which: str, tmp_path: Path) -> None:
    settings, expected = ASIDE[which]
    place = save_model(tmp_path / "model")
    change(place / GENERATION, **settings)
    line = conventions.note(str(place), "model.base")
    assert bool(line) == bool(expected)
    assert "\n" not in line
    assert not line or line.startswith(f"model.base: {place}: {GENERATION}")
    for part in expected:
        assert part in line
    network = loading.causal(str(place), 0, CPU)
    loading.save(network, tmp_path / "saved")  # settings that contradict each other are no obstacle
    loading.causal(str(tmp_path / "saved"), 0, CPU)


def test_shipped_models_and_broken_files_have_nothing_to_set_aside(tmp_path: Path) -> None:
    assert conventions.note("trueward:tiny") == ""
    (tmp_path / GENERATION).write_text("{", encoding="utf-8")
    assert conventions.note(str(tmp_path)) == ""
