"""The states of a network's layers at the last token of each answer, without gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from trueward.batches import micro_batches
from trueward.data.collate import Collator
from trueward.models import precision
from trueward.models.network import Network
from trueward.records import Completion
from trueward.token_budget import Budget, within_memory


def layer_states(
    network: Network, completions: Sequence[Completion], layers: Sequence[int], micro_batch_tokens: Budget
) -> np.ndarray:
    """The residual stream after each of these layers, at the last token: float64 [len(layers), n, d].

    layers: from 0, the embeddings, to `layer_count`, whose states are normed. Each completion is read as text.
    """
    tokens = Collator(network.tokenizer, network.context).tokens(completions)

    def attempt() -> np.ndarray:
        found: np.ndarray | None = None
        for rows in micro_batches(tokens.lengths, micro_batch_tokens):
            batch = tokens.take(rows).to(network.device)
            with precision.products(network.model):
                states = network.model.base_model(
                    input_ids=batch.ids, use_cache=False, output_hidden_states=True
                ).hidden_states
            at = torch.arange(len(rows), device=network.device), batch.lengths.to(network.device) - 1
            last = torch.stack([states[layer][at] for layer in layers]).cpu().double().numpy()
            if found is None:
                found = np.zeros((len(layers), len(completions), last.shape[-1]))
            found[:, rows.numpy()] = last
        return np.zeros((len(layers), 0, 0)) if found is None else found

    with torch.no_grad():
        return within_memory(micro_batch_tokens, attempt)


def layer_count(network: Network) -> int:
    """How many layers the network has; 0 for a table, which has no states."""
    return layers_of(network.model)


def layers_of(model: Any) -> int:
    """How many layers a model has; 0 for a table, or where its configuration doesn't say."""
    return int(getattr(model.config, "num_hidden_layers", 0) or 0)
