"""The model of the recipe `nano`: a random bigram table over the lab's 120 words. It is the SFT policy as it stands."""

from __future__ import annotations

import torch
from transformers import PreTrainedTokenizerBase

from trueward.data import nano
from trueward.models.tabular import SPECIAL, TabularPolicy, tokenizer

SPREAD = 1.0  # SD of a row's logits: some words follow each other often, none always
POPULARITY = 0.5  # SD of what a word has in all rows: some words are more common than others

CONTEXT = nano.PROMPT + nano.LENGTH  # tokens


def make_tokenizer() -> PreTrainedTokenizerBase:
    """The tokenizer of the lab's words, one token a word."""
    return tokenizer(list(nano.WORDS), CONTEXT)


def build() -> tuple[TabularPolicy, PreTrainedTokenizerBase]:
    """Weights from torch's global generator; the caller seeds it. Only words are ever chosen: no answer ends by itself."""
    size = len(SPECIAL) + len(nano.WORDS)
    model = TabularPolicy(size, 1, CONTEXT)
    with torch.no_grad():
        model.table.normal_(0.0, SPREAD)
        model.table.add_(torch.randn(size) * POPULARITY)
        model.table[:, : len(SPECIAL)] = -1e4
    return model, make_tokenizer()
