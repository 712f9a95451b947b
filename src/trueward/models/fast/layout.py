"""Packed sequences: which tokens are computed, in which row each stands, and the padded blocks of the attention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trueward import transfers
from trueward.batches import Tokens
from trueward.models.fast import flash
from trueward.models.fast.flash import Ragged

Inside = NDArray[np.bool_]
NOWHERE = 1 << 40  # the position of a key that is padding, which comes after every query


@dataclass(frozen=True)
class Block:
    """Queries as a padded block [n, t] taken from packed rows, and which keys each attends to."""

    to: Tensor  # [n·t], the packed row of each place; padding has row 0
    back: Tensor  # the place of each packed row that is a query, in their order
    shape: tuple[int, int]
    attn_mask: Tensor | None  # [n, 1, t, keys], 0 or −inf, added to the attention's logits; None: causal
    window_mask: Tensor | None = None  # the same for layers that attend no further back than their window
    ragged: Ragged | None = None  # the same without padding, for flash.py; None where it is off, or doesn't fit


@dataclass(frozen=True)
class Layout:
    """The packed rows: G different prompts one after the other, then the tokens needed of B responses. N in all."""

    ids: Tensor  # [N] tokens
    sources: Tensor  # [N], the source of each in the batch: row·T + column
    positions: Tensor  # [N]
    prompts: Block  # of [G, P]; where no two rows share a prompt, of whole rows [B, T]
    group: Tensor | None  # [B], the prompt of each response; None: no two share one
    answers: Block | None  # of [B, R], keys: its prompt, then itself; None: they're in the prompts' block
    wanted: Block  # of [B, Q], the states that are needed; the same keys

    @property
    def prompt_tokens(self) -> int:
        """Rows of the prompts' block: tokens of the different prompts, or all tokens where no two rows share one."""
        return len(self.prompts.back)


def prompt_numbers(tokens: Tokens) -> Tensor:
    """[B]: the number of each row's prompt among the different ones, in the order in which they come first."""
    ids, lengths = tokens.host.ids.numpy(), tokens.host.prompt_lengths.tolist()
    known: dict[bytes, int] = {}
    return torch.tensor([known.setdefault(row[:n].tobytes(), len(known)) for row, n in zip(ids, lengths, strict=True)])


def layout(tokens: Tokens, where: Tensor, dtype: torch.dtype = torch.float32, window: int | None = None) -> Layout:
    """For the states at `where` [B, T], a mask in the host's memory; tokens that no needed state attends to are left out.

    dtype: the model's. window: how many tokens some layers attend to; None: all of them to all. It's made on the host and taken
    to the tokens' device in one copy.
    """
    device = tokens.ids.device
    ids, needed = tokens.host.ids.numpy(), where.numpy()
    lengths = tokens.host.prompt_lengths.numpy()
    count, width = needed.shape
    at = np.arange(width)
    last = np.where(needed, at, -1).max(1)  # −1: no state of this row is needed

    group = prompt_numbers(tokens).numpy()
    first = np.unique(group, return_index=True)[1]
    if len(first) == count:  # whole rows form one block
        lengths = last + 1
    read = np.maximum(last + 1 - lengths, 0)  # tokens needed of each response
    starts = lengths[first]
    wide, long = max(int(starts.max()), 1), int(read.max())

    in_prompt = np.arange(wide) < starts[:, None]  # [G, P]
    in_answer = np.arange(long) < read[:, None]  # [B, R]
    total = int(starts.sum())
    prompt_row, answer_row = np.zeros(in_prompt.shape, np.int64), np.zeros(in_answer.shape, np.int64)
    prompt_row[in_prompt] = np.arange(total)
    answer_row[in_answer] = total + np.arange(int(read.sum()))
    answer_at = lengths[:, None] + np.arange(long)
    packed = [ids[first, :wide][in_prompt], np.take_along_axis(ids, np.minimum(answer_at, width - 1), 1)[in_answer]]
    positions = [np.broadcast_to(np.arange(wide), in_prompt.shape)[in_prompt], answer_at[in_answer]]
    rows_of = np.concatenate([np.repeat(first, starts), np.repeat(np.arange(count), read)])

    needed_of = needed.sum(1)
    most = max(int(needed_of.max()), 1)
    in_needed = np.arange(most) < needed_of[:, None]
    rows, columns = needed.nonzero()
    needed_at = np.zeros(in_needed.shape, np.int64)
    needed_at[in_needed] = columns
    own = columns - lengths[rows]
    row_of = np.where(own < 0, prompt_row[group[rows], np.minimum(columns, wide - 1)], 0)
    if long:
        row_of = np.where(own >= 0, answer_row[rows, np.clip(own, 0, long - 1)], row_of)
    needed_row = np.zeros(in_needed.shape, np.int64)
    needed_row[in_needed] = row_of

    key_at = np.concatenate([np.broadcast_to(np.arange(wide), (count, wide)), answer_at], axis=1)  # [B, P + R]
    key_at[:, :wide][~in_prompt[group]] = NOWHERE

    blocks = [(prompt_row, in_prompt), (answer_row, in_answer), (needed_row, in_needed)]
    arrays = [
        np.concatenate(packed),
        rows_of * width + np.concatenate(positions),
        np.concatenate(positions),
        *(part for row, inside in blocks for part in (row.ravel(), inside.ravel().nonzero()[0])),
        group,
        key_at,
        answer_at,
        needed_at,
    ]
    (own_ids, sources, places, *rows_and_backs, groups, keys, answer_queries, needed_queries) = (
        transfers.moved_together([torch.from_numpy(np.ascontiguousarray(x, dtype=np.int64)) for x in arrays], device)
    )

    real: list[tuple[Inside, Inside] | None] = [None] * len(blocks)
    if (
        flash.is_on()
    ):  # real queries and keys of each block; of the last one only if each row's queries go on to its last key
        of_rows = np.concatenate([in_prompt[group], in_answer], axis=1)
        stops = np.where(needed_of > 0, needed_at.max(1) + 1, of_rows.sum(1))
        spans = np.where(needed_of > 0, stops - needed_at[:, 0], 0)
        has_tails = bool((stops == of_rows.sum(1)).all() and (spans == needed_of).all())
        real = [(in_prompt, in_prompt), (in_answer, of_rows), (in_needed, of_rows) if has_tails else None]

    def mask(attends: Tensor) -> Tensor:
        return torch.zeros((), dtype=dtype, device=device).masked_fill(~attends[:, None], -torch.inf)

    furthest = wide + long if window is None else window

    def block(number: int, query_at: Tensor | None) -> Block:
        attn_mask = window_mask = None
        if query_at is not None:
            attends = keys[:, None] <= query_at[:, :, None]
            attn_mask = window_mask = mask(attends)
            if furthest < wide + long:
                window_mask = mask(attends & (keys[:, None] > query_at[:, :, None] - furthest))
        elif furthest < wide:
            back = torch.arange(wide, device=device)[:, None] - torch.arange(wide, device=device)
            window_mask = mask(((back >= 0) & (back < furthest))[None])
        shape = blocks[number][0].shape
        to, back_to = rows_and_backs[2 * number : 2 * number + 2]
        inside = real[number]
        rows = None if inside is None else flash.ragged(*inside, device)
        return Block(to, back_to, (shape[0], shape[1]), attn_mask, window_mask, rows)

    return Layout(
        own_ids,
        sources,
        places,
        block(0, None),
        groups if len(first) < count else None,
        block(1, answer_queries) if long else None,
        block(2, needed_queries),
    )
