"""A model's outputs: log-probs of the tokens a policy chose, and scalars (values, rewards).

Sequences are padded on the right, so a causal model needs no attention mask: no token attends to padding.
Logits are computed where a token was chosen and nowhere else.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trueward import transfers
from trueward.batches import Tokens
from trueward.losses import logprobs as lp
from trueward.models import checkpointing, precision, vocabulary
from trueward.models.fast import packed
from trueward.models.fast.attention import capped
from trueward.models.fast.fused import HELD, TokenLogprobs
from trueward.models.fast.spec import logit_cap
from trueward.models.sharded import reads_whole_model
from trueward.parallel.fabric import ALONE, Fabric
from trueward.token_budget import Budget

# Families whose logits are their output embeddings times the last hidden state, capped where `logit_cap` says so, and nothing
# more. Others (scaled) go through their own forward pass.
PLAIN_HEADS = frozenset({
    "llama", "mistral", "qwen2", "qwen3", "gpt2", "gpt_neox", "gemma", "gemma2", "gemma3_text", "phi", "phi3", "olmo2",
    "smollm3",
})  # fmt: skip


def hidden_states(model: Any, ids: Tensor) -> Tensor:
    """The last layer's output after the final norm: [B, T] -> [B, T, D]."""
    with checkpointing.around(model), precision.products(model):
        out: Tensor = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    return out.float() if out.dtype is precision.LOW else out


def prompt_groups(model: Any, tokens: Tokens) -> Tensor | None:
    """Group numbers [B]: rows that share a prompt are best in one micro-batch. None if rows are padded anyway."""
    return packed.prompt_numbers(tokens) if packed.covers(model) else None


@reads_whole_model
def states_at(model: Any, tokens: Tokens, where: Tensor) -> Tensor:
    """The last layer's output after the final norm at `where` [B, T], a mask in the host's memory, row by row: [n, D]."""
    if packed.covers(model):
        with precision.products(model):
            return packed.states(model, tokens, where)
    return rows_at(hidden_states(model, tokens.ids), where)


def rows_at(x: Tensor, where: Tensor) -> Tensor:
    """What stands at `where` [B, T], a mask in the host's memory, of x [B, T, D], row by row: [n, D]."""
    return x.flatten(0, 1).index_select(0, transfers.moved(where.flatten().nonzero().squeeze(1), x.device))


@reads_whole_model
def response_logits(model: Any, tokens: Tokens) -> Tensor:
    """Logits of the distributions that the response's tokens were chosen from: [N, V], N = tokens in the mask, row by row.

    V counts the tokens that the tokenizer knows (models/vocabulary.py).
    """
    if model.config.model_type in PLAIN_HEADS:
        return logits_of(model, states_at(model, tokens, tokens.before))
    with checkpointing.around(model), precision.products(model):
        logits: Tensor = model(input_ids=tokens.ids, use_cache=False).logits
    return vocabulary.narrow(model, rows_at(logits, tokens.before))


def logits_of(model: Any, states: Tensor) -> Tensor:
    """Logits from the states [n, D] of a model with such a head: [n, V], V as in `response_logits`."""
    return vocabulary.narrow(model, capped(model.get_output_embeddings()(states), logit_cap(model)))


class LogitRows:
    """`response_logits` a part of the rows at a time, so that no more than `HELD` numbers of them are there at once.

    Where a family's logits are more than a product with the states, all of them are computed at once.
    """

    def __init__(self, model: Any, tokens: Tokens) -> None:
        self.model, self.count = model, int(tokens.host.response_lengths.sum())
        self.is_plain = model.config.model_type in PLAIN_HEADS
        self.rows = states_at(model, tokens, tokens.before) if self.is_plain else response_logits(model, tokens)

    def parts(self) -> list[slice]:
        """The parts, one after the other; one, and empty, if there are no rows."""
        width = len(self.model.get_output_embeddings().weight) if self.is_plain else 1
        size = max(1, min(self.count, HELD // width))
        return [slice(at, at + size) for at in range(0, max(1, self.count), size)]

    def __getitem__(self, part: slice) -> Tensor:
        """The logits of these rows, [n, V]."""
        rows = self.rows[part]
        return logits_of(self.model, rows) if self.is_plain else rows


def from_flat(flat: Tensor, tokens: Tokens) -> Tensor:
    """Values of the response's tokens [N] at their positions: [B, T], 0 elsewhere."""
    shape = tokens.ids.shape
    empty = torch.zeros(shape.numel(), dtype=flat.dtype, device=flat.device)
    return empty.index_copy(0, tokens.chosen_at, flat).view(shape)


def response_logprobs(model: Any, tokens: Tokens, temperature: float = 1.0) -> Tensor:
    """log π(token | before) at the response's tokens, 0 elsewhere: [B, T], in nats."""
    return response_logprobs_and_entropy(model, tokens, temperature, with_entropy=False)[0]


@torch.no_grad()
def read_logprobs(model: Any, tokens: Tokens, temperature: float, budget: Budget, fabric: Fabric = ALONE) -> Tensor:
    """`response_logprobs` without gradient, in micro-batches of `budget` tokens at most; each process computes its share."""
    return fabric.by_parts(
        lambda part: response_logprobs(model, part, temperature), tokens, budget, prompt_groups(model, tokens)
    )


@reads_whole_model
def response_logprobs_and_entropy(
    model: Any, tokens: Tokens, temperature: float = 1.0, *, with_entropy: bool = True
) -> tuple[Tensor, Tensor]:
    """`response_logprobs`, and the entropy of each distribution, without gradient: twice [B, T], in nats."""
    if model.config.model_type == "tabular":  # many positions share a row: each row is normalised once
        table, at = model.table, rows_at(model.state(tokens.ids), tokens.before)
        chosen = (lp.at_temperature(table, temperature).log_softmax(-1))[at, tokens.chosen]
        entropies = lp.entropy(table.detach(), temperature)[at] if with_entropy else torch.zeros_like(chosen)
        return from_flat(chosen, tokens), from_flat(entropies, tokens)
    if has_plain_head(model):
        return logprobs_of(model, states_at(model, tokens, tokens.before), tokens, temperature, with_entropy)
    logits = response_logits(model, tokens)
    chosen = lp.token_logprobs(logits, tokens.chosen, temperature)
    entropies = lp.entropy(logits.detach(), temperature) if with_entropy else torch.zeros_like(chosen)
    return from_flat(chosen, tokens), from_flat(entropies, tokens)


@reads_whole_model
def logprobs_entropy_and_values(
    model: Any, score: nn.Module, tokens: Tokens, temperature: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probs, entropies and the scalar head `score` of the same states, in one pass: three times [B, T]; 0 elsewhere.

    Only for models of which `has_plain_head` is true.
    """
    states = states_at(model, tokens, tokens.before)
    logprobs, entropies = logprobs_of(model, states, tokens, temperature, True)
    return logprobs, entropies, from_flat(score(states).squeeze(-1), tokens)


def has_plain_head(model: Any) -> bool:
    """Whether its logits are a product of the states with a matrix, maybe capped: no bias, no adapter, no gaps between ids."""
    known = vocabulary.of(model)
    if model.config.model_type not in PLAIN_HEADS or (known is not None and known.unknown is not None):
        return False
    head = model.get_output_embeddings()
    return type(head) in (nn.Linear, precision.WideLinear) and head.bias is None


def logprobs_of(
    model: Any, states: Tensor, tokens: Tokens, temperature: float, with_entropy: bool
) -> tuple[Tensor, Tensor]:
    """Log-probs and entropies of the response's tokens from the states that they were chosen in [n, D]: twice [B, T]."""
    weight = model.get_output_embeddings().weight
    if (known := vocabulary.of(model)) is not None:
        weight = weight[: known.width]
    chosen, entropies = TokenLogprobs.apply(
        states, weight, tokens.chosen, temperature, with_entropy, precision.of(model), logit_cap(model)
    )
    return from_flat(chosen, tokens), from_flat(entropies, tokens)


@reads_whole_model
def response_values(model: Any, tokens: Tokens) -> Tensor:
    """The scalar head in the state in which each response token was chosen, 0 elsewhere: [B, T]."""
    states = states_at(model, tokens, tokens.before)
    return from_flat(model.score(states).squeeze(-1), tokens)


@reads_whole_model
def sequence_states(model: Any, tokens: Tokens) -> Tensor:
    """The last layer's output at the last token, which the scalar head reads: [B, D]."""
    at = torch.arange(tokens.ids.shape[1])
    return states_at(model, tokens, at == tokens.host.lengths[:, None] - 1)


@reads_whole_model
def sequence_scores(model: Any, tokens: Tokens) -> Tensor:
    """The scalar head at the last token: [B]. The same number as the model's own forward pass gives."""
    out: Tensor = model.score(sequence_states(model, tokens)).squeeze(-1)
    return out
