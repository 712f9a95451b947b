"""Models to and from disk, and padding as a token of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from trueward.models import loading, tabular
from trueward.models.network import Network

MakeNetwork = Callable[..., Network]
CPU = torch.device("cpu")
WORDS = ["<|end|>", "<|unknown|>", "<|begin|>", "a", "b", "c"]


def tokenizer_with(**special: str) -> PreTrainedTokenizerFast:
    core = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<|unknown|>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=core, **special)


def gpt2(vocabulary: int = len(WORDS)) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    end = {"bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=vocabulary, n_positions=16, n_embd=8, n_layer=1, n_head=2, **end)
    ).eval()


@pytest.mark.parametrize("pad", [{}, {"pad_token": "<|end|>"}])
@pytest.mark.parametrize(
    ("special", "expected"),
    [({"unk_token": "<|unknown|>"}, "<|pad|>"), ({"bos_token": "<|begin|>"}, "<|begin|>")],
)
def test_padding_that_is_the_end_is_moved_to_a_spare_token(
    pad: dict[str, str], special: dict[str, str], expected: str
) -> None:
    tokenizer, model = tokenizer_with(eos_token="<|end|>", **special, **pad), gpt2()
    loading.separate_pad(model, tokenizer)
    assert tokenizer.pad_token == expected
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id
    assert model.get_input_embeddings().num_embeddings >= len(tokenizer)


def test_a_tokenizer_with_nothing_to_spare_gets_a_new_token_and_the_model_a_row_for_it() -> None:
    tokenizer, model = tokenizer_with(eos_token="<|end|>", bos_token="<|end|>", unk_token="<|end|>"), gpt2()
    before = model(input_ids=torch.tensor([[3, 4, 5]])).logits
    loading.separate_pad(model, tokenizer)
    assert tokenizer.pad_token_id == len(WORDS)
    assert model.get_input_embeddings().num_embeddings == len(WORDS) + 1
    assert model.config.vocab_size == len(WORDS) + 1
    after = model(input_ids=torch.tensor([[3, 4, 5]])).logits
    torch.testing.assert_close(after[..., : len(WORDS)], before)


def test_a_new_token_takes_a_row_that_the_model_has_anyway() -> None:
    tokenizer, model = tokenizer_with(eos_token="<|end|>"), gpt2(vocabulary=10)
    loading.separate_pad(model, tokenizer)
    assert tokenizer.pad_token_id == len(WORDS)
    assert model.get_input_embeddings().num_embeddings == 10


def test_padding_of_its_own_is_left_alone(make_policy: MakeNetwork) -> None:
    network = make_policy()
    loading.separate_pad(network.model, network.tokenizer)
    assert (network.tokenizer.pad_token_id, network.model.config.pad_token_id) == (0, 0)


@pytest.mark.parametrize("tied", [True, False])
def test_a_saved_policy_loads_in_transformers(make_policy: MakeNetwork, tmp_path: Path, tied: bool) -> None:
    network = make_policy(tie_word_embeddings=tied)
    loading.save(network, tmp_path / "policy")
    other = AutoModelForCausalLM.from_pretrained(tmp_path / "policy").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "policy")
    ids = torch.tensor([network.tokenizer("the new film is great")["input_ids"]])
    assert tokenizer("the new film is great")["input_ids"] == ids[0].tolist()
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 2)
    torch.testing.assert_close(other(input_ids=ids).logits, network.model(input_ids=ids).logits, rtol=0, atol=1e-5)
    again = loading.causal(str(tmp_path / "policy"), 0, CPU)
    torch.testing.assert_close(again.model(input_ids=ids).logits, other(input_ids=ids).logits, rtol=0, atol=1e-5)
    assert again.context == 48


def test_a_policy_with_an_added_pad_token_loads_again(tmp_path: Path) -> None:
    network = Network(gpt2(), tokenizer_with(eos_token="<|end|>"))
    loading.save(network, tmp_path / "old")
    first = loading.causal(str(tmp_path / "old"), 7, CPU)
    second = loading.causal(str(tmp_path / "old"), 7, CPU)
    assert torch.equal(first.model.get_input_embeddings().weight, second.model.get_input_embeddings().weight)
    loading.save(first, tmp_path / "new")
    third = loading.causal(str(tmp_path / "new"), 8, CPU)
    assert third.tokenizer.pad_token_id == first.tokenizer.pad_token_id
    assert torch.equal(first.model.get_input_embeddings().weight, third.model.get_input_embeddings().weight)


def test_a_reward_model_starts_from_the_policys_network_and_a_head_of_zeros(
    make_policy: MakeNetwork, tmp_path: Path
) -> None:
    policy = make_policy()
    loading.save(policy, tmp_path / "policy")
    network = loading.reward_from_policy(tmp_path / "policy", CPU)
    assert (network.model.score.weight == 0).all()
    for name, weight in policy.model.model.named_parameters():
        assert torch.equal(weight, network.model.model.get_parameter(name)), name
    assert not network.model.training


def test_what_is_no_model_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{", encoding="utf-8")
    for name in ("empty", "file", "broken", "missing"):
        with pytest.raises(ValueError, match=name) as caught:
            loading.causal(str(tmp_path / name), 0, CPU)
        assert "\n" not in str(caught.value)


def test_a_classifier_with_two_labels_is_no_reward_model(make_reward: MakeNetwork, tmp_path: Path) -> None:
    loading.save(make_reward(), tmp_path / "one")
    loading.reward(tmp_path / "one", CPU)
    network = make_reward()
    network.model.config.num_labels = 2
    network.model.score = torch.nn.Linear(16, 2, bias=False)
    loading.save(network, tmp_path / "two")
    with pytest.raises(ValueError, match="1 label, this one has 2"):
        loading.reward(tmp_path / "two", CPU)


def test_devices() -> None:
    assert loading.pick_device("cpu") == CPU
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"runtime\.device"):
            loading.pick_device("cuda:0")


def test_mps_is_taken_only_when_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert loading.pick_device("auto") == CPU
    assert loading.pick_device("mps") == torch.device("mps")


def test_the_tiny_model_is_the_same_for_one_seed() -> None:
    one, same, other = (loading.causal("trueward:tiny", seed, CPU) for seed in (1, 1, 2))
    weights = [torch.cat([p.flatten() for p in n.model.parameters()]) for n in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    shared = sum(p.numel() for p in {id(p): p for p in one.model.parameters()}.values())
    assert loading.parameters(one.model) == shared


def test_tables_are_saved_and_loaded_as_policies_and_reward_models(tmp_path: Path) -> None:
    policy = loading.causal("trueward:nano", 3, CPU)
    loading.save(policy, tmp_path / "policy")
    again = loading.causal(str(tmp_path / "policy"), 4, CPU)
    assert torch.equal(again.model.table, policy.model.table)
    assert not torch.equal(again.model.table, loading.causal("trueward:nano", 4, CPU).model.table)
    assert again.tokenizer("joy river")["input_ids"] == policy.tokenizer("joy river")["input_ids"]
    reward = loading.reward_from_policy(tmp_path / "policy", CPU)
    assert isinstance(reward.model, tabular.BagOfWords)
    assert not reward.model.weights.any()
    torch.nn.init.normal_(reward.model.weights)
    loading.save(reward, tmp_path / "reward")
    assert torch.equal(loading.reward(tmp_path / "reward", CPU).model.weights, reward.model.weights)


def test_a_table_of_the_wrong_kind_is_said_in_one_line(tmp_path: Path) -> None:
    loading.save(loading.causal("trueward:nano", 3, CPU), tmp_path / "policy")
    loading.save(loading.reward_from_policy(tmp_path / "policy", CPU), tmp_path / "reward")
    for load, place, kind in (
        (lambda p: loading.causal(str(p), 0, CPU), "reward", "expected a TabularPolicy, this is a BagOfWords"),
        (lambda p: loading.reward(p, CPU), "policy", "expected a TabularScalar or BagOfWords, this is a TabularPolicy"),
        (lambda p: loading.reward_from_policy(p, CPU), "reward", "expected a TabularPolicy, this is a BagOfWords"),
    ):
        with pytest.raises(ValueError, match=f"{place}: {kind}"):
            load(tmp_path / place)
    (tmp_path / "policy" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ValueError, match="policy: can't be loaded as a table: "):
        loading.causal(str(tmp_path / "policy"), 0, CPU)


def test_the_labs_policy_only_ever_says_words() -> None:
    model = loading.causal("trueward:nano", 0, CPU).model
    chances = model.table.softmax(-1)
    assert chances.shape == (123, 123)
    assert not chances[:, :3].any()
    assert (chances[:, 3:] > 0).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_named(tmp_path: Path, value: float) -> None:
    network = loading.causal("trueward:base", 0, torch.device("cpu"))
    name, weights = list(network.model.named_parameters())[-1]
    with torch.no_grad():
        weights.view(-1)[-1] = value
    loading.save(network, tmp_path / "model")
    with pytest.raises(
        ValueError, match=f"model: {re.escape(name)} holds weights that are not finite numbers"
    ) as refused:
        loading.causal(str(tmp_path / "model"), 0, torch.device("cpu"))
    assert "\n" not in str(refused.value)
