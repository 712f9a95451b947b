"""An answer token by token: where each of its tokens ends in the text, and log π/π_ref of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transformers import PreTrainedTokenizerBase

from trueward.data.collate import texts

DIGITS = 3


def strip(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], ratios: Sequence[float], text: str
) -> Mapping[str, list[float]]:
    """For a sample's row: `ends` of the tokens in `text`, in characters, and `log_ratio`, nats; both [tokens].

    The sum of the ratios is the answer's k1 estimate of the KL. A token without text of its own (end-of-sequence, or the
    first bytes of a character) ends where the one before it did.
    """
    assert len(ids) == len(ratios)
    return {"ends": list(ends(tokenizer, ids, text)), "log_ratio": [round(float(r), DIGITS) for r in ratios]}


def ends(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], text: str) -> list[int]:
    """The number of characters of the text up to the end of each token: never less than before, all of them for the last."""
    positions, last = [], 0
    for so_far in texts(tokenizer, [list(ids[:n]) for n in range(1, len(ids) + 1)]):
        # a prefix of the text, except for a last character that is incomplete
        whole = so_far if text.startswith(so_far) else so_far.rstrip("\ufffd")
        if text.startswith(whole):
            last = max(last, len(whole))
        positions.append(last)
    if positions:
        positions[-1] = len(text)
    return positions
