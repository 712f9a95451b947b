"""The tokens that a model can write: those that its tokenizer knows. Embeddings are often wider than that.

A policy is a distribution over known tokens, whoever computes it: the sampler, the log-probs that it learns from, the KL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from trueward import transfers

NAME = "trueward_vocabulary"  # attribute of a model, copied with it and never saved


@dataclass(frozen=True)
class Vocabulary:
    """Known ids are those below `width` that aren't in `unknown` [n]."""

    width: int
    unknown: Tensor | None
    copies: dict[torch.device, Tensor] = field(default_factory=dict, repr=False, compare=False)
    """`unknown` on the devices where it was needed."""

    def unknown_on(self, device: torch.device) -> Tensor:
        """`unknown`, which has to be there, on a device: copied once."""
        assert self.unknown is not None
        if device not in self.copies:
            self.copies[device] = transfers.moved(self.unknown, device)
        return self.copies[device]


def known_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """All ids that a tokenizer has, in order. Not always 0, 1, 2 …: added tokens may stand apart."""
    return sorted(set(tokenizer.get_vocab().values()))


def settle(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Note on a language model which of its logits are of tokens that the tokenizer knows; nothing where all are."""
    config: Any = getattr(model, "config", None)
    if not hasattr(config, "get_text_config"):  # a table is made for its tokenizer, and a head alone has no logits
        return
    size = config.get_text_config().vocab_size
    if len(tokenizer) == size:  # as many; ids beyond are refused where models are loaded
        setattr(model, NAME, None)
        return
    ids = [i for i in known_ids(tokenizer) if i < size]
    width = ids[-1] + 1
    gaps = torch.tensor(sorted(set(range(width)) - set(ids)), dtype=torch.long) if len(ids) < width else None
    setattr(model, NAME, None if width == size and gaps is None else Vocabulary(width, gaps))


def of(model: Any) -> Vocabulary | None:
    """What `settle` noted; None if the tokenizer knows every id of the model."""
    noted: Vocabulary | None = getattr(model, NAME, None)
    return noted


def narrow(model: Any, logits: Tensor) -> Tensor:
    """Logits of known tokens: [..., V] -> [..., width], −inf at the gaps. Unchanged where there's nothing unknown."""
    known = of(model)
    if known is None:
        return logits
    logits = logits[..., : known.width]
    return logits if known.unknown is None else logits.index_fill(-1, known.unknown_on(logits.device), -torch.inf)


def embeddings(model: Any) -> int | None:
    """How many ids a model has an embedding for; None for a table."""
    return int(model.get_input_embeddings().num_embeddings) if hasattr(model, "get_input_embeddings") else None


def require_ids(model: Any, ids: Iterable[Sequence[int]], tokenizer: PreTrainedTokenizerBase) -> None:
    """`ValueError` if a text has a token that the model has no embedding for."""
    size = embeddings(model)
    most = max((max(row, default=0) for row in ids), default=0)
    if size is not None and most >= size:
        token = tokenizer.convert_ids_to_tokens(most)
        raise ValueError(
            f"a text has the token {token!r}, which the tokenizer knows and the model has no embedding for"
        )


def require_embedded(model: Any, tokenizer: PreTrainedTokenizerBase, place: str) -> None:
    """`ValueError` if the tokenizer writes ids that the model has no embedding for.

    Tokens that were added for other uses (of images, say) may lie beyond, if neither the chat template nor the tokenizer's own
    openings and ends write them.
    """
    size = embeddings(model)
    if size is None:
        return
    beyond = {token: i for token, i in tokenizer.get_vocab().items() if i >= size}
    if not beyond:
        return
    added = tokenizer.added_tokens_decoder
    template = str(tokenizer.chat_template or "")
    roles = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id, tokenizer.cls_token_id}
    bad = sorted(i for token, i in beyond.items() if i not in added or i in roles or token in template)
    if bad:
        token = tokenizer.convert_ids_to_tokens(bad[0])
        raise ValueError(
            f"{place}: its tokenizer knows {token!r} as number {bad[0]}, but the model has embeddings for 0 to {size - 1} "
            "alone: they don't belong together, or the model was not resized when tokens were added"
        )


def require_end(tokenizer: PreTrainedTokenizerBase, place: str) -> None:
    """`ValueError` for a tokenizer without a token that ends a text."""
    if tokenizer.eos_token_id is None:
        raise ValueError(f"{place}: its tokenizer has no end-of-sequence token, so no answer could ever end")
