"""What models say of a policy's answers, token by token: the KL to the reference, entropies, likelihoods.

Each answer is read once by each model. The logits are there a part of the positions at a time, and the figures of all answers
come from the device together.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from trueward import transfers
from trueward.batches import Rollout, Tokens, micro_batches
from trueward.losses import kl
from trueward.losses import logprobs as lp
from trueward.models import heads
from trueward.models.network import Network
from trueward.token_budget import Budget, within_memory

AnswerFigures = tuple[dict[str, np.ndarray], list[tuple[list[int], list[float]]]]
"""Figures by answer, [answers] each; and of each answer its token ids, with a number for each."""
NAMES = ("kl", "k1", "entropy", "sft_nll", "base_nll")


@torch.no_grad()
def by_answer(
    networks: Mapping[str, Network], rollout: Rollout, temperature: float, micro_batch_tokens: Budget
) -> AnswerFigures:
    """By answer, nats, each [answers]: the KL by the exact sum at each position (Rao–Blackwell), its k1 estimate, the
    summed entropy, and −log of the answer's probability under the reference and the base model. And each answer's
    token ids with log π/π_ref of each.

    networks: `policy`, `reference` and, if there is one, `base`.
    """
    tokens = rollout.tokens.host
    device = networks["policy"].device

    def attempt() -> tuple[list[Tensor], list[Tokens], list[dict[str, Tensor]]]:
        groups = micro_batches(tokens.lengths, micro_batch_tokens)
        parts = [tokens.take(rows) for rows in groups]
        return groups, parts, [_flat(networks, part.to(device), temperature) for part in parts]

    groups, parts, flats = within_memory(micro_batch_tokens, attempt)
    names = list(flats[0]) if flats else []
    read = iter(transfers.read([flat[name] for flat in flats for name in names]))

    ratios: list[tuple[list[int], list[float]]] = [([], [])] * len(tokens)
    out = {name: np.zeros(len(tokens)) for name in NAMES}
    for rows, part in zip(groups, parts, strict=True):
        values = {name: next(read) for name in names}
        for name, flat in values.items():
            out[name][rows.numpy()] = heads.from_flat(flat, part).double().sum(1).numpy()
        sizes = part.response_lengths.tolist()
        split = zip(rows.tolist(), part.chosen.split(sizes), values["k1"].split(sizes), strict=True)
        for row, own, k1 in split:
            ratios[row] = (own.tolist(), k1.double().tolist())
    return out, ratios


def _flat(networks: Mapping[str, Network], tokens: Tokens, temperature: float) -> dict[str, Tensor]:
    """The figures of each of the response's tokens, [N] each."""
    rows = {name: heads.LogitRows(network.model, tokens) for name, network in networks.items()}
    found: list[dict[str, Tensor]] = []
    for part in rows["policy"].parts():
        logits, anchor, ids = rows["policy"][part], rows["reference"][part], tokens.chosen[part]
        likely = lp.token_logprobs(anchor, ids, temperature)
        flat = {
            "kl": kl.exact(logits, anchor, temperature),
            "k1": lp.token_logprobs(logits, ids, temperature) - likely,
            "entropy": lp.entropy(logits, temperature),
            "sft_nll": -likely,
        }
        if "base" in rows:
            flat["base_nll"] = -lp.token_logprobs(rows["base"][part], ids, temperature)
        found.append(flat)
    return {name: torch.cat([flat[name] for flat in found]) for name in found[0]}
