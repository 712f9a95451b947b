"""The local sampler: answers to prompts, a batch at a time, with the log-probs they were drawn with.

- Prompts of like length are read together; each row then keeps its own position, so nothing is padded on the left.
- A row that has ended leaves the batch, and the next prompt takes its place.
- Tokens are drawn by inverting the cumulative distribution at a number fixed in advance for (completion, position), so
  what one row draws does not depend on which rows stand beside it.
- Logits are computed only where a token is chosen.
- On an accelerator the host looks every `UNREAD` tokens which rows have ended: until then they go on, and what they draw
  after their end is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from trueward import transfers
from trueward.batches import Rollout, Tokens
from trueward.data.collate import Collator
from trueward.data.ends import ends as ends_of
from trueward.errors import named_out_of_memory
from trueward.models.fast.spec import FAMILIES
from trueward.models.network import Network
from trueward.models.vocabulary import narrow, require_ids
from trueward.records import Prompt
from trueward.sampling.decoder_pool import DecoderPool
from trueward.sampling.draws import Draws
from trueward.sampling.fast import FastDecoder
from trueward.sampling.general import GeneralDecoder
from trueward.sampling.tabular import TabularDecoder
from trueward.tracking import beats

Sample = Callable[[Network, Sequence[Prompt], Draws], Rollout]
UNREAD = 16  # tokens that an accelerator draws before the host looks which rows have ended


@dataclass(frozen=True)
class SamplingParams:
    """How to draw: the temperature (0: the likeliest token), the most new tokens, rows at a time, the weights' precision."""

    temperature: float = 1.0
    max_new_tokens: int = 48
    max_num_seqs: int = 128
    quantize: str = "none"


class Decoder(Protocol):
    """A model that is fed token by token. It holds some number of rows, always the first of its cache."""

    refills: bool  # whether rows can be filled while others are in the middle

    def start(self, rows: int, width: int) -> None:
        """Make room for so many rows of so many tokens."""

    def prefill(self, at: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """Read prompts [n, T], padded on the right, into the rows `at` [n]; logits after each one's last token [n, V].

        All three are in the host's memory.
        """

    def step(self, ids: Tensor, positions: Tensor, width: int) -> Tensor:
        """One more token [n] for the first n rows, at its position [n], which is below `width`; logits [n, V]."""

    def keep(self, rows: Tensor) -> None:
        """Keep these rows, in this order. rows: in the host's memory."""


def decoder_for(network: Network, quantize: str = "none") -> Decoder:
    """The fast path where there is one for the model's family, else the general one.

    `ValueError` for another `quantize` than "none" without a fast path.
    """
    if FastDecoder.covers(network.model):
        return FastDecoder(network.model, quantize)
    if quantize != "none":
        raise ValueError(
            f"sampler.engine.quantize = {quantize!r}: there is no such sampler for models of the type "
            f"{network.model.config.model_type!r}; it is for {', '.join(FAMILIES)} with settings that the fast path has"
        )
    if network.model.config.model_type == "tabular":
        return TabularDecoder(network.model)
    return GeneralDecoder(network.model)


@torch.no_grad()
@beats.beat("act")
def sample(
    network: Network,
    prompts: Sequence[Prompt],
    params: SamplingParams,
    draws: Draws,
    on_progress: Callable[[int], None] = lambda done: None,
    pool: DecoderPool | None = None,
    version: int = 0,
) -> Rollout:
    """One completion for each prompt, in order. `ValueError` if a prompt leaves no room for an answer.

    on_progress: called with the number of completions done so far. pool: where the decoder is taken from, if it has one, and
    kept afterwards. version: that of the weights, recorded in the rollout.
    """
    collator = Collator(network.tokenizer, network.context)
    ids = prompts_ids(network, collator, prompts)
    room = [min(params.max_new_tokens, network.context - len(t)) for t in ids]
    uniforms = draws.uniforms(len(ids), params.max_new_tokens)
    there = network.model, params.quantize
    at_once = f"{min(params.max_num_seqs, len(ids))} answers at once of up to {params.max_new_tokens} tokens"
    advice = f"lower sampler.engine.max_num_seqs (now {params.max_num_seqs}) or sampler.max_new_tokens"
    with named_out_of_memory(f"sampling {at_once}", advice):
        decoder = (pool.take(*there) if pool is not None else None) or decoder_for(network, params.quantize)
        seen = beats.decoding(decoder, network.model, params.quantize)
        responses, logprobs = _decode(seen, network, ids, room, uniforms, params, on_progress)
    if pool is not None:
        decoder.start(0, 1)  # no rows: the cache is freed
        pool.put(*there, decoder)

    pad = collator.pad
    rollout = Tokens.collate(list(zip(ids, responses, strict=True)), pad)
    spread = torch.zeros(rollout.ids.shape).masked_scatter(rollout.response_mask, logprobs)
    return Rollout(rollout, spread, collator.completions(prompts, responses), version)


def prompts_ids(network: Network, collator: Collator, prompts: Sequence[Prompt]) -> list[list[int]]:
    """Each prompt's tokens. `ValueError` if one leaves no room for an answer, or has a token without an embedding."""
    collator.remember(prompts)
    ids = [collator.prompt_ids(p) for p in prompts]
    for prompt, tokens in zip(prompts, ids, strict=True):
        if len(tokens) + 1 > network.context:
            raise ValueError(
                f"a prompt of {len(tokens)} tokens leaves no room in a context of {network.context}: {str(prompt)[:60]!r}"
            )
    require_ids(network.model, ids, network.tokenizer)
    return ids


def _decode(
    decoder: Decoder,
    network: Network,
    ids: list[list[int]],
    room: list[int],
    uniforms: Tensor,
    params: SamplingParams,
    on_progress: Callable[[int], None],
) -> tuple[list[list[int]], Tensor]:
    """The answers' ids, and the log-probs of all their tokens, one answer after the other."""
    device = network.device
    unread = 1 if device.type == "cpu" else UNREAD
    waiting = sorted(range(len(ids)), key=lambda i: (len(ids[i]) + room[i], i))  # the shortest is popped last
    rows = min(params.max_num_seqs, len(ids))
    decoder.start(rows, max((len(t) + r for t, r in zip(ids, room, strict=True)), default=0))
    who: list[int] = []  # which completion each of the decoder's rows belongs to
    drawn = [0] * len(ids)  # tokens of each completion, those after its end counted
    logits = torch.empty(0)
    done = 0
    lengths = torch.tensor([len(t) for t in ids], dtype=torch.long)
    together = [torch.tensor(ends_of(network.tokenizer)), torch.tensor(room, dtype=torch.long), lengths]
    ends, limits, starts = transfers.moved_together(together, device)
    # One column more than there are tokens: a row that has ended unnoticed goes on drawing there.
    uniforms = transfers.moved(torch.nn.functional.pad(uniforms, (0, 1)), device)
    written = torch.zeros(len(ids), dtype=torch.long, device=device)
    responses = torch.zeros(len(ids), max(room, default=0) + 1, dtype=torch.long, device=device)
    logprobs = torch.zeros(responses.shape, device=device)

    while waiting or who:
        free = rows - len(who)
        if waiting and (not who or (decoder.refills and free >= max(1, rows // 8))):
            # Fill the free rows, so that the matrix products stay large.
            new = [waiting.pop() for _ in range(min(free, len(waiting)))]
            width = max(len(ids[i]) for i in new)
            padded = torch.tensor([ids[i] + [0] * (width - len(ids[i])) for i in new])
            places = torch.arange(len(who), len(who) + len(new))
            fresh = narrow(network.model, decoder.prefill(places, padded, lengths[new]))
            logits = torch.cat([logits, fresh]) if who else fresh
            who += new
            rows_now = transfers.moved(torch.tensor(who), device)
            at = written[rows_now]
        ended = torch.zeros(len(who), dtype=torch.bool, device=device)
        steps = min(unread, max(room[i] - drawn[i] for i in who))
        for step in range(steps):
            chosen, logp = draw(logits, uniforms[rows_now, at], params.temperature)
            responses[rows_now, at] = chosen
            logprobs[rows_now, at] = logp.float()
            at = at + ~ended
            ended = ended | (chosen[:, None] == ends).any(1) | (at >= limits[rows_now])
            for i in who:
                drawn[i] += 1
            if step + 1 < steps:
                widest = max(len(ids[i]) + min(drawn[i], room[i]) for i in who)
                logits = narrow(network.model, decoder.step(chosen, starts[rows_now] + at - 1, widest))
        (over,) = transfers.read([ended])
        if over.any():
            pool = filling_holes(~over)
            decoder.keep(pool)
            done += len(over) - len(pool)
            on_progress(done)
            written[rows_now] = at
            who = [who[i] for i in pool.tolist()]
            there, rows_now = transfers.moved_together([pool, torch.tensor(who, dtype=torch.long)], device)
            chosen, at = chosen[there], at[there]
        if who:
            widest = max(len(ids[i]) + drawn[i] for i in who)
            logits = narrow(network.model, decoder.step(chosen, starts[rows_now] + at - 1, widest))
    responses, logprobs, written = transfers.read([responses, logprobs, written])
    chosen_ones = torch.arange(responses.shape[1]) < written[:, None]
    rows_of_ids = zip(responses.tolist(), written.tolist(), strict=True)
    return [row[:count] for row, count in rows_of_ids], logprobs[chosen_ones]


def filling_holes(alive: Tensor) -> Tensor:
    """Source of each row so that those still in use come first and few move: the last ones fill the places of the ended.

    alive: [n], in the host's memory.

    >>> filling_holes(torch.tensor([True, False, True, False, True])).tolist()
    [0, 4, 2]
    """
    count = int(alive.sum())
    rows = torch.arange(count)
    rows[~alive[:count]] = alive[count:].nonzero().squeeze(1) + count
    return rows


def draw(logits: Tensor, uniforms: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Tokens and their log-probs: logits [n, V], uniforms [n] in [0, 1) -> [n], [n].

    The token is the first whose cumulative probability exceeds its number. At temperature 0 it is the likeliest one, and
    its log-prob is that at temperature 1.
    """
    if temperature == 0:
        chosen = logits.argmax(-1)
        return chosen, logits.gather(1, chosen[:, None]).squeeze(1) - logits.logsumexp(-1)
    probabilities = (logits / temperature if temperature != 1.0 else logits).softmax(-1)
    cumulative = probabilities.cumsum(-1)
    chosen = torch.searchsorted(cumulative, uniforms[:, None] * cumulative[:, -1:], right=True)
    chosen = chosen.clamp_(max=logits.shape[1] - 1)
    logp = probabilities.gather(1, chosen).log_()
    return chosen.squeeze(1), logp.squeeze(1)
