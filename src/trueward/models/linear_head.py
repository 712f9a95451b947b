"""A reward model as a linear function: what its head reads of a completion, and the head's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from trueward.batches import Lower, Tokens, micro_batches
from trueward.data.collate import Collator
from trueward.models import heads, precision
from trueward.models.fast import packed
from trueward.models.layer_states import layers_of
from trueward.models.network import Network
from trueward.models.state_cache import StateCache
from trueward.models.tabular import BagOfWords
from trueward.records import Completion
from trueward.token_budget import Budget


@torch.no_grad()
def head_inputs(
    network: Network,
    completions: Sequence[Completion],
    micro_batch_tokens: Budget,
    states_below: StateCache | None = None,
) -> np.ndarray:
    """The states that the scalar head reads, at the last token; of a bag of words the counts of its words: float32 [n, d].

    states_below: of the lowest layers, which are not computed again where they are there.
    """
    model = network.model
    tokens = Collator(network.tokenizer, network.context).tokens(completions)
    found: np.ndarray | None = None
    for rows in micro_batches(tokens.lengths, micro_batch_tokens, heads.prompt_groups(model, tokens)):
        batch = tokens.take(rows)
        batch = batch if states_below is None else states_below.joined(batch)
        states = _counts(model, batch) if isinstance(model, BagOfWords) else _states(network, batch)
        if found is None:
            found = np.zeros((len(completions), states.shape[1]), dtype=np.float32)
        found[rows.numpy()] = states
    return np.zeros((0, 0), dtype=np.float32) if found is None else found


@torch.no_grad()
def head_inputs_of_both(
    lower: Network, whole: Network, completions: Sequence[Completion], micro_batch_tokens: Budget
) -> tuple[np.ndarray, np.ndarray]:
    """As `head_inputs` of a network of the lowest layers and of the whole one, which are read once: float32 [n, d] each.

    Both on the packed path, with the same lowest layers.
    """
    shared = layers_of(lower.model) - 1  # the last of the lower ones is computed at the last token alone
    tokens = Collator(whole.tokenizer, whole.context).tokens(completions)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    order = []
    for rows in micro_batches(tokens.lengths, micro_batch_tokens, heads.prompt_groups(whole.model, tokens)):
        batch = tokens.take(rows).to(whole.device)
        with precision.products(whole.model):
            states = packed.lower_states(whole.model, batch, shared)
        batch = replace(batch, lower=Lower(shared, states))
        found.append((_read(lower, batch), _read(whole, batch)))
        order.append(rows.numpy())
    back = np.argsort(np.concatenate(order))
    return np.concatenate([low for low, _ in found])[back], np.concatenate([high for _, high in found])[back]


@torch.no_grad()
def set_head(network: Network, weights: np.ndarray) -> None:
    """Give the head these weights, [d], and no bias: the reward is their product with what `head_inputs` gives."""
    model = network.model
    target = model.weights if isinstance(model, BagOfWords) else model.score.weight
    target.copy_(torch.as_tensor(weights).to(target.dtype).view_as(target))
    bias = getattr(model.score, "bias", None)
    if bias is not None:
        bias.zero_()


def _states(network: Network, batch: Tokens) -> np.ndarray:
    return _read(network, batch.to(network.device))


def _read(network: Network, batch: Tokens) -> np.ndarray:
    states: np.ndarray = heads.sequence_states(network.model, batch).float().cpu().numpy()
    return states


def _counts(model: BagOfWords, batch: Tokens) -> np.ndarray:
    inside = torch.arange(batch.ids.shape[1]) < batch.lengths[:, None]
    counts = torch.zeros(len(batch), model.config.vocab_size)
    return counts.scatter_add(1, batch.ids, inside.float()).numpy()
