"""Reward models made elsewhere: random ones of many families, scored as transformers scores padded batches of text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from trueward.data import toy
from trueward.models import loading
from trueward.models.network import Network
from trueward.records import Completion, Message, Prompt
from trueward.scorers import hf_reward_model, reward_model

CPU = torch.device("cpu")
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "<user>", "<bot>", "<end>"]
TEMPLATE = (
    "{% for m in messages %}{{ '<user> ' if m['role'] == 'user' else '<bot> ' }}{{ m['content'] }} <end>{% endfor %}"
    "{% if add_generation_prompt %}<bot> {% endif %}"
)
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
BERT = {
    "max_position_embeddings": 60,
    "pad_token_id": 0,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
ROPE = {"max_position_embeddings": 60, "num_key_value_heads": 2}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 60}
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("Llama", "plain", {**SMALL, **ROPE}),
    "gpt2": ("GPT2", "plain", GPT2),
    "gpt_neox": ("GPTNeoX", "plain", {**SMALL, "max_position_embeddings": 60}),
    "mistral": ("Mistral", "chat", {**SMALL, **ROPE}),
    "qwen3": ("Qwen3", "chat", {**SMALL, **ROPE, "head_dim": 8}),
    "gemma2": ("Gemma2", "chat", {**SMALL, **ROPE, "head_dim": 8, "sliding_window": 64}),
    "bert": ("Bert", "pair", {**SMALL, **BERT}),
    "distilbert": ("DistilBert", "pair", {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, **BERT}),
    "roberta": ("Roberta", "pair", {**SMALL, **BERT, "type_vocab_size": 1}),
    "deberta": ("DebertaV2", "pair", {**SMALL, **BERT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    "electra": ("Electra", "pair", {**SMALL, **BERT, "embedding_size": 16}),
}


def tokenizer(way: str, ends: bool) -> PreTrainedTokenizerFast:
    """Words of the toy reviews; no word is known by the same number as to the policy."""
    words = [*SPECIAL, *reversed(sorted(toy.words())), "film:", "user:"]
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(dict.fromkeys(words))}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "model_max_length": 60}
    if way == "pair":
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
        inputs = ["input_ids", "token_type_ids", "attention_mask"]
        names |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "model_input_names": inputs}
    if ends:
        names["eos_token"] = "<end>"
    got = PreTrainedTokenizerFast(tokenizer_object=made, **names)
    if way == "chat":
        got.chat_template = TEMPLATE
    return got


def make(folder: Path, family: str, pad: str = "[PAD]", seed: int = 0) -> Path:
    kind, way, settings = FAMILIES[family]
    torch.manual_seed(seed)
    words = tokenizer(way, ends=way != "pair")
    words.pad_token = pad or None
    pads = words.pad_token_id
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(words), num_labels=1, **{"initializer_range": 0.3, **settings, "pad_token_id": pads}
    )
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    model.save_pretrained(folder / family)
    words.save_pretrained(folder / family)
    return folder / family


@pytest.fixture
def texts() -> list[Completion]:
    rows = [Completion(prompt=Prompt(text=p), response=r) for p, r in toy.reviews(14, seed=3)]
    return [*sorted(rows, key=lambda c: -len(c.response))[::2], *rows[:4], rows[0].model_copy(update={"response": ""})]


def as_transformers_does(path: Path, texts: list[Completion], side: str) -> np.ndarray:
    """The library alone: its own tokenizer, padding, and forward pass."""
    words = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(path).eval()
    words.padding_side = side
    if words.chat_template:
        conversations = [
            [{"role": "user", "content": c.prompt.text}, {"role": "assistant", "content": c.response}] for c in texts
        ]
        batch = words.apply_chat_template(
            conversations, tokenize=True, padding=True, return_tensors="pt", return_dict=True
        )
    elif words.cls_token:
        batch = words([c.prompt.text for c in texts], [c.response for c in texts], padding=True, return_tensors="pt")
    else:
        batch = words([f"{c.prompt.text} {c.response.strip()} <end>" for c in texts], padding=True, return_tensors="pt")
    known = {
        "input_ids",
        "attention_mask",
        *(["token_type_ids"] if model.config.model_type in ("bert", "deberta-v2", "electra") else []),
    }
    with torch.no_grad():
        out: np.ndarray = model(**{k: v for k, v in batch.items() if k in known}).logits[:, 0].double().numpy()
    return out


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_transformers_on_padded_batches(
    family: str, texts: list[Completion], tmp_path: Path
) -> None:
    path = make(tmp_path, family)
    scorer = reward_model.load(path, CPU)
    assert hf_reward_model.template(scorer.network) == FAMILIES[family][1]
    got = scorer.raw(texts)
    assert got.std() > 1e-3
    read = [hf_reward_model.encode(scorer.network, c).ids for c in texts]
    assert len({id for ids in read for id in ids}) > 20
    assert len({len(ids) for ids in read}) > 3
    np.testing.assert_allclose(got, as_transformers_does(path, texts, "right"), atol=1e-4)
    if family in (
        "llama",
        "mistral",
        "qwen3",
        "gemma2",
        "gpt_neox",
    ):  # others count places from the left, padding or not
        np.testing.assert_allclose(got, as_transformers_does(path, texts, "left"), atol=1e-4)
    scorer.micro_batch_tokens = 20
    np.testing.assert_allclose(scorer.raw(texts), got, atol=1e-5)
    judged, states = scorer.judge_with_states(texts)
    np.testing.assert_allclose(judged.score, got, atol=1e-5)
    assert states.shape == (len(texts), 16)
    if hasattr(scorer.network.model, "score"):
        head = scorer.network.model.score(torch.tensor(states, dtype=torch.float32))[:, 0].detach().numpy()
        np.testing.assert_allclose(head, got, atol=1e-4)


@pytest.mark.parametrize("pad", ["<end>", ""])
@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_a_padding_token_that_is_the_end_or_none(
    family: str, pad: str, texts: list[Completion], tmp_path: Path
) -> None:
    path = make(tmp_path, family, pad)
    got = reward_model.load(path, CPU).raw(texts)
    if pad:
        expected = as_transformers_does(path, texts, "right")
    else:  # then transformers takes one row at a time
        expected = np.concatenate([as_transformers_does_alone(path, c) for c in texts])
    np.testing.assert_allclose(got, expected, atol=1e-4)


def as_transformers_does_alone(path: Path, completion: Completion) -> np.ndarray:
    words = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(path).eval()
    turns = [{"role": "user", "content": completion.prompt.text}, {"role": "assistant", "content": completion.response}]
    text = f"{completion.prompt.text} {completion.response.strip()} <end>"
    ids = (
        words.apply_chat_template(turns, tokenize=True, return_dict=False)
        if words.chat_template
        else words(text)["input_ids"]
    )
    with torch.no_grad():
        out: np.ndarray = model(input_ids=torch.tensor([ids])).logits[:, 0].double().numpy()
    return out


def test_what_is_saved_with_a_scale_reads_the_same_text(texts: list[Completion], tmp_path: Path) -> None:
    for family in ("mistral", "bert", "gpt2"):
        scorer = reward_model.load(make(tmp_path, family), CPU)
        raw = scorer.raw(texts)
        scorer.scale = reward_model.Scale(0.5, 2.0)
        scorer.save(tmp_path / "saved")
        again = reward_model.load(tmp_path / "saved", CPU)
        assert again.scale == reward_model.Scale(0.5, 2.0)
        np.testing.assert_allclose(again.raw(texts), raw, atol=1e-5)


def test_conversations_and_answers_that_were_cut(tmp_path: Path) -> None:
    turns = (
        Message(role="user", content="the film"),
        Message(role="assistant", content="is"),
        Message(role="user", content="why"),
    )
    network = reward_model.load(make(tmp_path, "mistral"), CPU).network
    ids = network.tokenizer.convert_tokens_to_ids
    whole = Completion(prompt=Prompt(messages=turns), response="the story")
    judged = [
        "<user>",
        "the",
        "film",
        "<end>",
        "<bot>",
        "is",
        "<end>",
        "<user>",
        "why",
        "<end>",
        "<bot>",
        "the",
        "story",
    ]
    assert hf_reward_model.encode(network, whole).ids == ids([*judged, "<end>"])
    assert hf_reward_model.encode(network, whole.model_copy(update={"finished": False})).ids == ids(judged)
    plain = reward_model.load(make(tmp_path, "llama"), CPU).network
    one = Completion(prompt=Prompt(text="the film"), response=" is", finished=False)
    assert hf_reward_model.encode(plain, one).ids == plain.tokenizer.convert_tokens_to_ids(["the", "film", "is"])
    assert (
        hf_reward_model.encode(plain, one.model_copy(update={"finished": True})).ids[-1] == plain.tokenizer.eos_token_id
    )
    with pytest.raises(ValueError, match="the reward model's tokenizer has no chat template"):
        hf_reward_model.encode(plain, whole)


@pytest.mark.parametrize("family", ["llama", "mistral", "bert", "roberta"])
def test_a_long_prompt_loses_its_beginning_and_that_is_counted(family: str, tmp_path: Path) -> None:
    scorer = reward_model.load(make(tmp_path, family), CPU)
    tokenizer = scorer.network.tokenizer
    words = sorted(toy.words())[:50]
    long = Completion(prompt=Prompt(text=" ".join(words * 2)), response=" the film is great")
    short = long.model_copy(update={"prompt": Prompt(text="the film")})
    encoded = hf_reward_model.encode(scorer.network, long)
    assert encoded.truncated
    assert len(encoded.ids) == scorer.network.context
    stored = tokenizer.convert_ids_to_tokens(encoded.ids)
    assert " ".join(words[-5:]) in " ".join(stored)
    assert "the film is great" in " ".join(stored)
    assert np.isfinite(scorer.raw([long, short])).all()
    (row,) = hf_reward_model.left_out(scorer.network, [long, short, long])
    assert row["rows"] == 2
    assert hf_reward_model.left_out(scorer.network, [short]) == []
    very_long = long.model_copy(update={"response": " ".join(words * 2)})
    assert len(hf_reward_model.encode(scorer.network, very_long).ids) == scorer.network.context


def test_the_template_can_be_given(tmp_path: Path, texts: list[Completion]) -> None:
    path = make(tmp_path, "mistral")
    auto, plain = loading.reward(path, CPU), loading.reward(path, CPU, "plain")
    assert (hf_reward_model.template(auto), hf_reward_model.template(plain)) == ("chat", "plain")
    assert abs(hf_reward_model.read(auto, texts, 1000)[0] - hf_reward_model.read(plain, texts, 1000)[0]).max() > 1e-3
    with pytest.raises(ValueError, match="but its tokenizer has no chat template"):
        loading.reward(make(tmp_path, "llama"), CPU, "chat")


def test_more_labels_than_one_are_refused(tmp_path: Path) -> None:
    path = make(tmp_path, "bert")
    model = transformers.BertForSequenceClassification.from_pretrained(path, num_labels=2, ignore_mismatched_sizes=True)
    model.save_pretrained(path)
    with pytest.raises(ValueError, match="a reward model has 1 label, this one has 2"):
        loading.reward(path, CPU)


def test_our_own_read_their_tokens_as_in_training(make_reward: Callable[..., Network], tmp_path: Path) -> None:
    network = make_reward()
    scorer = reward_model.RewardModel(network, reward_model.Scale(0.0, 1.0))
    scorer.save(tmp_path / "own")
    assert hf_reward_model.template(reward_model.load(tmp_path / "own", CPU).network) == loading.OWN


@pytest.mark.parametrize("family", ["llama", "mistral", "bert"])
def test_text_that_looks_like_a_control_token_is_read_as_text(family: str, tmp_path: Path) -> None:
    network = loading.reward(make(tmp_path, family), CPU)
    way = hf_reward_model.template(network)
    marks = ["<end>", "[PAD]"] if way != "pair" else ["[SEP]", "[CLS]"]
    control = network.tokenizer.convert_tokens_to_ids(marks)

    def count(asked: str, response: str, finished: bool = True) -> list[int]:
        completion = Completion(prompt=Prompt(text=asked), response=response, finished=finished)
        ids = hf_reward_model.encode(network, completion).ids
        return [ids.count(token) for token in control]

    first, second = marks
    for finished in (True, False):
        expected = count("the film", " is great", finished)
        assert count(f"the {first} {second} film", " is great", finished) == expected
        assert count("the film", f" is {first} {second} great", finished) == expected
    if way != "pair":
        assert count("the film", f" is great {first}") == count("the film", " is great"), "an answer ends once"
