"""A model isn't loaded to get its tokenizer: the same tokenizer and context, and no weights read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForCausalLM,
)

from trueward.config import LoraConfig
from trueward.models import loading, shared_base, tabular
from trueward.models.network import Network

CPU = torch.device("cpu")
WORDS = ["<|end|>", "<|unknown|>", "<|begin|>", "a", "b", "c"]


def words(**special: str) -> PreTrainedTokenizerFast:
    core = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<|unknown|>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", **special)


def gpt2(folder: Path, **special: str) -> str:
    config = GPT2Config(
        vocab_size=len(WORDS), n_positions=16, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    words(**special).save_pretrained(folder)
    return str(folder)


def roberta(folder: Path) -> str:
    """Its positions are counted from the id of the padding token."""
    config = RobertaConfig(
        vocab_size=len(WORDS), max_position_embeddings=20, hidden_size=8, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=8, is_decoder=True, pad_token_id=1, bos_token_id=2, eos_token_id=0,
    )  # fmt: skip
    RobertaForCausalLM(config).save_pretrained(folder)
    words(bos_token="<|begin|>").save_pretrained(folder)
    return str(folder)


def saved(folder: Path) -> str:
    loading.save(loading.causal("trueward:tiny", 3, CPU), folder)
    return str(folder)


def table(folder: Path) -> str:
    loading.save(loading.causal("trueward:nano", 3, CPU), folder)
    return str(folder)


def adapter(folder: Path) -> str:
    standing = shared_base.policy(gpt2(folder / "base"), 0, CPU)
    adapted = shared_base.adapted(standing, LoraConfig(rank=2, save="adapter"), 0)
    loading.save(adapted, folder / "policy")
    assert not (folder / "policy" / "config.json").exists()
    return str(folder / "policy")


def adapter_beside(folder: Path) -> str:
    standing = shared_base.policy(saved(folder / "base"), 0, CPU)
    loading.save(shared_base.adapted(standing, LoraConfig(rank=2), 0), folder / "policy")
    assert (folder / "policy" / "adapter").is_dir()
    return str(folder / "policy")


MODELS: dict[str, Callable[[Path], str]] = {
    **{f"trueward:{name}": lambda folder, name=name: f"trueward:{name}" for name in ("base", "tiny", "nano")},
    "a saved model": saved,
    "a table": table,
    "an adapter": adapter,
    "a model with its adapter beside it": adapter_beside,
    "one with a padding token to be added": gpt2,
    "one whose padding is its end": lambda folder: gpt2(folder, pad_token="<|end|>"),
    "one with a spare opening token": lambda folder: gpt2(folder, bos_token="<|begin|>"),
    "one whose positions are counted from its padding": roberta,
}


def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever would make a model or read weights fails from now on."""

    def fail(*_: Any, **__: Any) -> None:
        pytest.fail("a model was loaded")

    for owner in (AutoModelForCausalLM, GPT2LMHeadModel, LlamaForCausalLM):
        monkeypatch.setattr(owner, "from_pretrained", fail)
    monkeypatch.setattr(torch.nn.Module, "__init__", fail)
    monkeypatch.setattr(tabular, "load_file", fail)
    monkeypatch.setattr(torch, "load", fail)
    monkeypatch.setattr(torch, "manual_seed", fail)


def same(network: Network, tokenizer: Any, context: int) -> None:
    expected = network.tokenizer
    assert type(tokenizer) is type(expected)
    assert tokenizer.get_vocab() == expected.get_vocab()
    assert len(tokenizer) == len(expected)
    assert tokenizer.special_tokens_map == expected.special_tokens_map
    for name in ("pad_token_id", "eos_token_id", "bos_token_id", "unk_token_id", "chat_template", "model_max_length"):
        assert getattr(tokenizer, name) == getattr(expected, name), name
    assert tokenizer.backend_tokenizer.to_str() == expected.backend_tokenizer.to_str()
    assert context == network.context


@pytest.mark.parametrize("which", MODELS)
def test_it_is_the_models_own(which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = MODELS[which](tmp_path)
    network = loading.causal(name, 0, CPU)
    assert network.tokenizer.pad_token_id not in (None, network.tokenizer.eos_token_id)
    no_weights(monkeypatch)
    same(network, *loading.tokenizer(name))


def test_a_padding_token_is_added_and_counted(tmp_path: Path) -> None:
    tokenizer, context = loading.tokenizer(gpt2(tmp_path))
    assert (len(tokenizer), tokenizer.pad_token_id, context) == (len(WORDS) + 1, len(WORDS), 16)


def test_positions_that_are_counted_from_the_padding(tmp_path: Path) -> None:
    tokenizer, context = loading.tokenizer(roberta(tmp_path))
    assert (tokenizer.pad_token, context) == ("<|begin|>", 20 - 3)


def test_what_is_no_model_is_refused_in_the_same_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{", encoding="utf-8")
    endless = gpt2(tmp_path / "endless")
    core = words().backend_tokenizer
    PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<|unknown|>").save_pretrained(endless)
    for name in ("empty", "file", "broken", "missing", "endless"):
        lines = []
        for load in (loading.tokenizer, lambda path: loading.causal(path, 0, CPU)):
            with pytest.raises(ValueError, match=name) as caught:
                load(str(tmp_path / name))
            lines.append(str(caught.value))
        assert lines[0] == lines[1]
        assert "\n" not in lines[0]
