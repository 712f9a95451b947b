"""Padding as a token of its own, which no text ends with."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from trueward.models import vocabulary


def separate_pad(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make padding a token of its own: a reward is read at the last token that isn't padding, and that may be the end."""
    separate_pad_token(tokenizer)
    rows = vocabulary.embeddings(model)
    if rows is not None and tokenizer.pad_token_id >= rows:  # it was added, here or by another tool
        model.resize_token_embeddings(tokenizer.pad_token_id + 1, mean_resizing=model.device.type != "meta")
    model.config.pad_token_id = tokenizer.pad_token_id
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id


def separate_pad_token(tokenizer: PreTrainedTokenizerBase) -> None:
    """The tokenizer's part of it, once for all."""
    end = tokenizer.eos_token_id
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id != end:
        return
    # Not the unknown token, which can be an answer's last; the opening one never is.
    if tokenizer.bos_token is not None and tokenizer.bos_token_id != end:
        tokenizer.pad_token = tokenizer.bos_token
        return
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
