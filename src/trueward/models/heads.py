"""A model's outputs: log-probs of the tokens a policy chose, and scalars (values, rewards).

Sequences are padded on the right, so a causal model needs no attention mask: no token attends to padding.
Logits are computed where a token was chosen and nowhere else.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trueward.batches import Tokens
from trueward.losses import logprobs as lp
from trueward.models import vocabulary
from trueward.models.fast import packed
from trueward.models.fast.fused import TokenLogprobs
from trueward.parallel.fabric import ALONE, Fabric

# Families whose logits are their output embeddings times the last hidden state, and nothing more. Others (soft-capped,
# scaled) go through their own forward pass.
PLAIN_HEADS = frozenset({"llama", "mistral", "qwen2", "qwen3", "gpt2", "gpt_neox", "gemma", "phi", "olmo2", "smollm3"})


def hidden_states(model: Any, ids: Tensor) -> Tensor:
    """The last layer's output after the final norm: [B, T] -> [B, T, D]."""
    out: Tensor = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    return out


def shift_left(mask: Tensor) -> Tensor:
    """Where the token after this one is in the mask: the states in which the masked tokens were chosen. [B, T]."""
    return torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)


def prompt_groups(model: Any, tokens: Tokens) -> Tensor | None:
    """Group numbers [B]: rows that share a prompt are best in one micro-batch. None if rows are padded anyway."""
    return packed.prompt_numbers(tokens) if packed.covers(model) else None


def states_at(model: Any, tokens: Tokens, where: Tensor) -> Tensor:
    """The last layer's output after the final norm at `where` [B, T], row by row: [n, D]."""
    if packed.covers(model):
        return packed.states(model, tokens, where)
    return hidden_states(model, tokens.ids)[where]


def response_logits(model: Any, tokens: Tokens) -> Tensor:
    """Logits of the distributions that the response's tokens were chosen from: [N, V], N = tokens in the mask, row by row.

    V counts the tokens that the tokenizer knows (models/vocabulary.py).
    """
    states = shift_left(tokens.response_mask)
    if model.config.model_type in PLAIN_HEADS:
        return vocabulary.narrow(model, model.get_output_embeddings()(states_at(model, tokens, states)))
    logits: Tensor = model(input_ids=tokens.ids, use_cache=False).logits
    return vocabulary.narrow(model, logits[states])


def from_flat(flat: Tensor, mask: Tensor) -> Tensor:
    """Values of the masked tokens [N] at their positions: [B, T], 0 elsewhere."""
    return torch.zeros(mask.shape, dtype=flat.dtype, device=flat.device).masked_scatter(mask, flat)


def response_logprobs(model: Any, tokens: Tokens, temperature: float = 1.0) -> Tensor:
    """log π(token | before) at the response's tokens, 0 elsewhere: [B, T], in nats."""
    return response_logprobs_and_entropy(model, tokens, temperature, with_entropy=False)[0]


@torch.no_grad()
def read_logprobs(model: Any, tokens: Tokens, temperature: float, budget: int, fabric: Fabric = ALONE) -> Tensor:
    """`response_logprobs` without gradient, in micro-batches of `budget` tokens at most; each process computes its share."""
    return fabric.by_parts(
        lambda part: response_logprobs(model, part, temperature), tokens, budget, prompt_groups(model, tokens)
    )


def response_logprobs_and_entropy(
    model: Any, tokens: Tokens, temperature: float = 1.0, *, with_entropy: bool = True
) -> tuple[Tensor, Tensor]:
    """`response_logprobs`, and the entropy of each distribution, without gradient: twice [B, T], in nats."""
    mask = tokens.response_mask
    if model.config.model_type == "tabular":  # many positions share a row: each row is normalised once
        table, at = model.table, model.state(tokens.ids)[shift_left(mask)]
        chosen = (lp.at_temperature(table, temperature).log_softmax(-1))[at, tokens.ids[mask]]
        entropies = lp.entropy(table.detach(), temperature)[at] if with_entropy else torch.zeros_like(chosen)
        return from_flat(chosen, mask), from_flat(entropies, mask)
    if has_plain_head(model):
        return logprobs_of(model, states_at(model, tokens, shift_left(mask)), tokens, temperature, with_entropy)
    logits = response_logits(model, tokens)
    chosen = lp.token_logprobs(logits, tokens.ids[mask], temperature)
    entropies = lp.entropy(logits.detach(), temperature) if with_entropy else torch.zeros_like(chosen)
    return from_flat(chosen, mask), from_flat(entropies, mask)


def logprobs_entropy_and_values(
    model: Any, score: nn.Module, tokens: Tokens, temperature: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probs, entropies and the scalar head `score` of the same states, in one pass: three times [B, T]; 0 elsewhere.

    Only for models of which `has_plain_head` is true.
    """
    mask = tokens.response_mask
    states = states_at(model, tokens, shift_left(mask))
    logprobs, entropies = logprobs_of(model, states, tokens, temperature, True)
    return logprobs, entropies, from_flat(score(states).squeeze(-1), mask)


def has_plain_head(model: Any) -> bool:
    """Whether its logits are a product of the states with a matrix: no bias, no adapter around it, no gaps between ids."""
    known = vocabulary.of(model)
    if model.config.model_type not in PLAIN_HEADS or (known is not None and known.unknown is not None):
        return False
    head = model.get_output_embeddings()
    return type(head) is nn.Linear and head.bias is None


def logprobs_of(
    model: Any, states: Tensor, tokens: Tokens, temperature: float, with_entropy: bool
) -> tuple[Tensor, Tensor]:
    """Log-probs and entropies of the response's tokens from the states that they were chosen in [n, D]: twice [B, T]."""
    mask, weight = tokens.response_mask, model.get_output_embeddings().weight
    if (known := vocabulary.of(model)) is not None:
        weight = weight[: known.width]
    chosen, entropies = TokenLogprobs.apply(states, weight, tokens.ids[mask], temperature, with_entropy)
    return from_flat(chosen, mask), from_flat(entropies, mask)


def response_values(model: Any, tokens: Tokens) -> Tensor:
    """The scalar head in the state in which each response token was chosen, 0 elsewhere: [B, T]."""
    mask = tokens.response_mask
    states = states_at(model, tokens, shift_left(mask))
    return from_flat(model.score(states).squeeze(-1), mask)


def sequence_states(model: Any, tokens: Tokens) -> Tensor:
    """The last layer's output at the last token, which the scalar head reads: [B, D]."""
    at = torch.arange(tokens.ids.shape[1], device=tokens.ids.device)
    return states_at(model, tokens, at == tokens.lengths[:, None] - 1)


def sequence_scores(model: Any, tokens: Tokens) -> Tensor:
    """The scalar head at the last token: [B]. The same number as the model's own forward pass gives."""
    out: Tensor = model.score(sequence_states(model, tokens)).squeeze(-1)
    return out
