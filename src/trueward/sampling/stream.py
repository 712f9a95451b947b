"""One answer, token by token: what `sample` draws for a single prompt, handed over while it is being drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from trueward import transfers
from trueward.data.ends import ends
from trueward.models.network import Network
from trueward.models.vocabulary import narrow, require_ids
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, decoder_for, draw


@torch.no_grad()
def stream(network: Network, ids: Sequence[int], params: SamplingParams, draws: Draws) -> Iterator[int]:
    """The answer's token ids, end-of-sequence included if it comes. ids: the prompt's [T].

    `ValueError` if the prompt leaves no room for an answer.
    """
    room = min(params.max_new_tokens, network.context - len(ids))
    if room < 1:
        raise ValueError(f"a prompt of {len(ids)} tokens leaves no room in a context of {network.context}")
    require_ids(network.model, [ids], network.tokenizer)
    device, over = network.device, ends(network.tokenizer)
    uniforms = transfers.moved(draws.uniforms(1, params.max_new_tokens), device)
    decoder = decoder_for(network, params.quantize)
    decoder.start(1, len(ids) + room)
    length = torch.tensor([len(ids)])
    logits = decoder.prefill(torch.tensor([0]), torch.tensor([list(ids)]), length)
    length = transfers.moved(length, device)
    for at in range(room):
        token, _ = draw(narrow(network.model, logits), uniforms[:, at], params.temperature)
        written = int(token)
        yield written
        if written in over or at + 1 == room:
            return
        logits = decoder.step(token, length + at, len(ids) + at + 1)
