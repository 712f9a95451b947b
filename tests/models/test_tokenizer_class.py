"""A model reads text as its own files say, whatever its family usually does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from trueward.models import loading, tiny, tokenizer_class
from trueward.models.network import Network

TEXT = " the film is good and the plot is bad ."
SIZES = {"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 32}


def written(folder: Path, family: str) -> Path:
    """A model of a family with the vocabulary of `trueward:tiny`, which splits text at spaces."""
    tokenizer = tiny.make_tokenizer()
    settings = {**SIZES, "num_hidden_layers": 1, "vocab_size": len(tokenizer), "max_position_embeddings": 64}
    made = Qwen2ForCausalLM(Qwen2Config(**settings)) if family == "qwen2" else LlamaForCausalLM(LlamaConfig(**settings))
    for each in (made.config, made.generation_config):
        each.bos_token_id, each.eos_token_id, each.pad_token_id = 1, 2, 0
    loading.save(Network(made, tokenizer), folder)
    return folder


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_text_is_read_as_the_files_say(family: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = written(tmp_path / family, family)
    own = tiny.make_tokenizer()
    read, _ = loading.tokenizer(str(model))
    assert read(TEXT)["input_ids"] == own(TEXT)["input_ids"]
    assert [getattr(read, name) for name in ("eos_token_id", "pad_token_id", "bos_token_id")] == [2, 0, 1]
    said = capfd.readouterr().err
    assert ("its tokenizer.json is read as it is" in said) == (family == "qwen2")
    assert said.count("\n") <= 1


def test_a_class_that_the_files_name_is_left_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What a named class makes of tokenizer.json is the author's wish."""
    model = written(tmp_path, "qwen2")
    file = model / "tokenizer_config.json"
    table = json.loads(file.read_text(encoding="utf-8")) | {"tokenizer_class": "Qwen2TokenizerFast"}
    file.write_text(json.dumps(table), encoding="utf-8")
    assert type(tokenizer_class.read(model)).__name__ == "Qwen2Tokenizer"
    assert "tokenizer.json" not in capfd.readouterr().err
