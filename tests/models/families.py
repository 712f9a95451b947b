"""Tiny models of many families with random weights, as other tools would have saved them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from trueward.data import toy

CPU = torch.device("cpu")
WEIGHTS = "model.safetensors"
SPARE = 5  # rows of the embeddings that no token of the tokenizer has
SPECIAL = ["<pad>", "<bos>", "<eos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
TURN_END = SPECIAL.index("<end_of_turn>")
GEMMA = (  # the shape of Gemma's own: turns end with another token than texts do
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
SMALL: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 64, "initializer_range": 0.3,
}  # fmt: skip
KV = {**SMALL, "num_key_value_heads": 1}
HEAD = {**KV, "head_dim": 8}
OLDER: dict[str, Any] = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, "initializer_range": 0.3}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", KV),
    "mistral": ("Mistral", KV),
    "mixtral": ("Mixtral", {**KV, "num_local_experts": 2}),
    "qwen2": ("Qwen2", KV),
    "qwen3": ("Qwen3", HEAD),
    "gemma": ("Gemma", HEAD),
    "gemma2": ("Gemma2", {**HEAD, "sliding_window": 8}),
    "gemma3_text": ("Gemma3", {**HEAD, "sliding_window": 8}),
    "phi": ("Phi", SMALL),
    "phi3": ("Phi3", KV),
    "gpt2": ("GPT2", OLDER),
    "gptj": ("GPTJ", {**OLDER, "rotary_dim": 4}),
    "gpt_neox": ("GPTNeoX", SMALL),
    "opt": ("OPT", {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 24, "max_position_embeddings": 64,
        "word_embed_proj_dim": 16, "init_std": 0.3,
    }),
    "bloom": ("Bloom", {"hidden_size": 16, "n_layer": 2, "n_head": 2, "initializer_range": 0.3}),
    "falcon": ("Falcon", {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.3}),
    "olmo2": ("Olmo2", KV),
    "smollm3": ("SmolLM3", KV),
    "glm4": ("Glm4", HEAD),
    "cohere": ("Cohere", KV),
    "mamba": ("Mamba", {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}),
}  # fmt: skip


def words(template: str = "", **roles: str) -> PreTrainedTokenizerFast:
    """A tokenizer of the toy reviews' words, with the control tokens of a chat model."""
    pieces = [*SPECIAL, *toy.words(), *("▁" + w for w in toy.words()), "user", "model", "\n", "▁"]
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(dict.fromkeys(pieces))}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Metaspace(prepend_scheme="never")]
    )
    core.decoder = decoders.Metaspace(prepend_scheme="never")
    names = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"} | roles
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, additional_special_tokens=["<start_of_turn>", "<end_of_turn>"], **names
    )
    if template:
        made.chat_template = template
    return made


def save_model(
    folder: Path,
    family: str = "llama",
    tokenizer: PreTrainedTokenizerBase | None = None,
    seed: int = 0,
    spare: int = SPARE,
    **more: Any,
) -> Path:
    """A causal model of a family with its tokenizer; its embeddings are wider than the tokenizer by `spare`."""
    name, settings = FAMILIES[family]
    tokenizer = words() if tokenizer is None else tokenizer
    roles = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = getattr(transformers, f"{name}TextConfig" if name == "Gemma3" else f"{name}Config")(
        **{**settings, "vocab_size": len(tokenizer) + spare, **roles, **more}
    )
    torch.manual_seed(seed)
    model = getattr(transformers, "GPT2LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM")(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tensors(folder: Path) -> dict[str, Tensor]:
    """The weights of a model's directory, by name."""
    return load_file(folder / WEIGHTS)


def variant(source: Path, target: Path, weights: dict[str, Tensor], **settings: Any) -> Path:
    """A copy of a model's directory with other weights, and with settings of its config.json changed."""
    shutil.copytree(source, target)
    save_file({name: t.contiguous() for name, t in weights.items()}, target / WEIGHTS, metadata={"format": "pt"})
    change(target / "config.json", **settings)
    return target


def change(file: Path, **settings: Any) -> None:
    """Set keys of a JSON file."""
    table = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    file.write_text(json.dumps(table | settings), encoding="utf-8")
