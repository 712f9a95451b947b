"""How an answer ends: every token that ends one, and the one that a finished answer is written with.

The tokenizer alone names one token. A model's configuration often names more, and its chat template may write another one
than the tokenizer's; whoever loads a model declares them here (models/conventions.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from jinja2 import TemplateError

if TYPE_CHECKING:  # this room is read without torch and transformers
    from transformers import PreTrainedTokenizerBase

DECLARED, WRITTEN = "trueward_ends", "trueward_written_end"  # attributes of a tokenizer, never saved with it
SAMPLE = "Zq7sample"  # an answer that no template writes by itself


def declare(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> None:
    """From now on these ids end an answer, beside the tokenizer's own."""
    setattr(tokenizer, DECLARED, tuple(ids))


def ends(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The ids that end an answer, the one that is written first."""
    first = written_end(tokenizer)
    return tuple(dict.fromkeys((first, *_known(tokenizer))))


def written_end(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that a finished answer ends with: the one after an answer in the chat template, else the tokenizer's own."""
    key = tokenizer.chat_template, tokenizer.eos_token_id, getattr(tokenizer, DECLARED, ())
    remembered = getattr(tokenizer, WRITTEN, None)
    if remembered is None or remembered[0] != key:
        remembered = key, _after_answer(tokenizer)
        setattr(tokenizer, WRITTEN, remembered)
    end: int = remembered[1]
    return end


def _known(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    own = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
    return (*own, *getattr(tokenizer, DECLARED, ()))


def _after_answer(tokenizer: PreTrainedTokenizerBase) -> int:
    """The first token after an answer that is an end or one that was added to the vocabulary. One of plain text is none."""
    own: int = tokenizer.eos_token_id
    if not tokenizer.chat_template:
        return own
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": SAMPLE}]
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    except (
        TemplateError,
        ValueError,
        TypeError,
        KeyError,
    ):  # it wants other turns; its rows are refused where they are read
        return own
    _, there, rest = text.rpartition(SAMPLE)
    if not there:
        return own
    others = {tokenizer.bos_token_id, tokenizer.unk_token_id, tokenizer.pad_token_id} - {own}
    special = {*_known(tokenizer), *tokenizer.added_tokens_decoder} - others
    ids = tokenizer(rest, add_special_tokens=False, verbose=False)["input_ids"]
    return next((token for token in ids if token in special), own)
