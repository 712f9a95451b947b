"""The model of the recipe `tiny`: a Llama of about 100,000 parameters with a vocabulary of whole words, untrained."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from trueward.data import toy

CONTEXT = 64  # tokens
SPECIAL = ("<|pad|>", "<|begin|>", "<|end|>", "<|unknown|>")


def build() -> tuple[LlamaForCausalLM, PreTrainedTokenizerBase]:
    """Weights from torch's global generator; the caller seeds it."""
    tokenizer = make_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=160,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config), tokenizer


def make_tokenizer() -> PreTrainedTokenizerBase:
    """The tokenizer of the toy text's words, one token a word."""
    return word_tokenizer(toy.words())


def word_tokenizer(words: list[str]) -> PreTrainedTokenizerBase:
    """One token a word with its leading space, if it has one: " film" and "film" are two tokens, as in byte-level BPE."""
    vocabulary = {piece: i for i, piece in enumerate([*SPECIAL, *words, *("▁" + w for w in words)])}
    core = Tokenizer(WordLevel(vocabulary, unk_token="<|unknown|>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    core.decoder = decoders.Metaspace(prepend_scheme="never")
    core.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|pad|>",
        bos_token="<|begin|>",
        eos_token="<|end|>",
        unk_token="<|unknown|>",
        model_max_length=CONTEXT,
    )
