"""States of layers at the last token: those that transformers gives, without padding, whatever shares the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trueward.data.collate import Collator
from trueward.models import tiny
from trueward.models.derived import scalar_head
from trueward.models.layer_states import layer_count, layer_states
from trueward.models.network import Network
from trueward.records import Completion, Prompt
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale

TEXTS = (" is great .", " is dull and the plot is slow .", " .")


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(*tiny.build())


@pytest.fixture(scope="module")
def completions() -> list[Completion]:
    return [Completion(prompt=Prompt(text="the new film"), response=r, finished=i != 1) for i, r in enumerate(TEXTS)]


def test_each_answer_alone_gives_the_same(network: Network, completions: list[Completion]) -> None:
    together = layer_states(network, completions, [0, 1, 2], 4096)
    assert together.shape == (3, 3, network.model.config.hidden_size)
    for i, completion in enumerate(completions):
        (pair,) = Collator(network.tokenizer, network.context).pairs([completion])
        ids = torch.tensor([[*pair[0], *pair[1]]])
        with torch.no_grad():
            states = network.model.base_model(input_ids=ids, output_hidden_states=True).hidden_states
        for layer in range(3):
            assert together[layer, i] == pytest.approx(states[layer][0, -1].double().numpy(), abs=1e-5)


def test_the_last_layer_is_what_a_reward_model_reads(network: Network, completions: list[Completion]) -> None:
    model = RewardModel(scalar_head(network, None, 0), Scale(0.0, 1.0))
    last = layer_states(network, completions, [layer_count(network)], 16)[0]
    assert np.abs(last - model.states(completions)).max() < 1e-5


def test_none(network: Network) -> None:
    assert layer_states(network, [], [1], 64).shape == (1, 0, 0)
    assert layer_count(network) == 2
