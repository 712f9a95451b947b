"""The SFT loss beside a policy's: its gradient is SFT's, and which demonstrations come is a function of the step."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trueward.algorithms import sft
from trueward.config import SftConfig
from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.records import Completion
from trueward.training import ptx
from trueward.training.setup import Supervised
from trueward.training.state import State

MakeNetwork = Callable[..., Network]


def gradient(network: Network) -> Tensor:
    return torch.cat([p.grad.flatten() for p in network.model.parameters() if p.grad is not None])


@pytest.mark.parametrize("budget", [1, 25, 10_000])
def test_its_gradient_is_that_of_sft(make_policy: MakeNetwork, demonstrations: list[Completion], budget: int) -> None:
    network, other = make_policy(dtype=torch.float64), make_policy(dtype=torch.float64)
    before = torch.cat([p.detach().flatten() for p in other.model.parameters()])
    config = SftConfig(batch_size=12, epochs=1, learning_rate=1.0, max_grad_norm=1e9, warmup=0)
    state = State({"policy": other.model}, {"policy": torch.optim.SGD(other.model.parameters(), lr=1.0)})
    setup = Supervised(policy=other, demonstrations=demonstrations, seed=1, micro_batch_tokens=10_000)
    (step,) = list(sft.train(config, setup, state))
    after = torch.cat([p.detach().flatten() for p in other.model.parameters()])

    tokens = Collator(network.tokenizer, network.context).tokens(demonstrations)
    # Powers of two, since the norms of a Llama are computed in float32 and round.
    nll = sum(part.item() for part in ptx.accumulate_ptx(network, tokens, 0.5, budget))
    assert nll == pytest.approx(step.metrics["nll"], abs=1e-12)
    torch.testing.assert_close(gradient(network), 0.5 * (before - after), rtol=0, atol=1e-12)
    ptx.accumulate_ptx(network, tokens, 0.25, budget)  # it adds up
    torch.testing.assert_close(gradient(network), 0.75 * (before - after), rtol=0, atol=1e-12)


def test_as_many_as_a_minibatch_has_answers(make_policy: MakeNetwork, demonstrations: list[Completion]) -> None:
    network = make_policy()
    tokens = Collator(network.tokenizer, network.context).tokens(demonstrations)
    number = {tuple(row): i for i, row in enumerate(tokens.ids.tolist())}

    def numbers(sizes: list[int], turn: int, seed: int = 0) -> list[list[int]]:
        found = ptx.ptx_batches(tokens, sizes, 8, turn, seed)
        wide = [torch.nn.functional.pad(t.ids, (0, tokens.ids.shape[1] - t.ids.shape[1])) for t in found if t]
        return [[number[tuple(row)] for row in t.tolist()] for t in wide]

    passes = [numbers([3, 3, 2], turn) for turn in range(3)]
    assert [[len(part) for part in parts] for parts in passes] == [[3, 3, 2]] * 3
    drawn = [i for parts in passes for part in parts for i in part]
    assert sorted(drawn[:12]) == sorted(drawn[12:]) == list(range(12))
    assert numbers([3, 3, 2], 1) == passes[1]
    assert numbers([3, 3, 2], 1, seed=1) != passes[1]
    assert numbers([2, 2], 1) == [passes[1][0][:2], [passes[1][0][2], passes[1][1][0]]]  # some answers are left out
    assert ptx.ptx_batches(None, [3, 3], 8, 0, 0) == [None, None]
