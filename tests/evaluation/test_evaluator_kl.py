"""The evaluator's KL against the one by enumeration, on a table whose answers can all be listed."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from trueward.evaluation.evaluator import Evaluator
from trueward.models.network import Network
from trueward.models.tabular import TabularPolicy, tokenizer
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, sample

LONGEST, CHOICES, END = 4, (2, 3, 4), 2


def network(seed: int) -> Network:
    """A bigram policy over the end and two words."""
    model = TabularPolicy(5, 1, 10).double()
    torch.nn.init.normal_(model.table, generator=torch.Generator().manual_seed(seed))
    model.table.data[:, :2] = -1e4
    return Network(model, tokenizer(["a", "b"], 10))


def exact_kl(policy: Network, reference: Network, start: int, temperature: float) -> float:
    """Σ π log π/π_ref over all answers to a prompt that ends in `start`."""
    q, p = ((n.model.table.detach() / temperature).log_softmax(-1) for n in (policy, reference))
    total = 0.0
    for length in range(1, LONGEST + 1):
        for answer in itertools.product(CHOICES, repeat=length):
            if END in answer[:-1] or (answer[-1] != END and length < LONGEST):
                continue
            states = (start, *answer[:-1])
            one, other = (sum(t[s, a].item() for s, a in zip(states, answer, strict=True)) for t in (q, p))
            total += math.exp(one) * (one - other)
    return total


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_kl_of_answers(temperature: float) -> None:
    policy, reference = network(0), network(1)
    evaluator = Evaluator(
        reference=reference,
        proxy=None,
        truths=[],
        sample=lambda n, p, d: sample(
            n, p, SamplingParams(temperature=temperature, max_new_tokens=LONGEST, max_num_seqs=500), d
        ),
        temperature=temperature,
        seed=3,
        micro_batch_tokens=5000,
    )
    prompts = [Prompt(text="b a"), Prompt(text="b")] * 1500
    measured = evaluator.measure(policy, prompts, "test")
    expected = sum(exact_kl(policy, reference, start, temperature) for start in (3, 4)) / 2
    row = measured.row
    for name in ("kl", "kl_k1"):
        assert row[f"{name}_se"] > 0
        # the SE is that of a random prompt; here the prompts are given, so it is too wide by a little, never too narrow
        assert abs(row[name] - expected) <= 4.5 * row[f"{name}_se"], name

    # Rao–Blackwell's mean and k1's agree within the error of their paired difference
    rollout = evaluator.sample(policy, prompts, Draws(8))
    figures, _ = evaluator._figures(policy, rollout)
    difference = figures["kl"] - figures["k1"]
    assert abs(difference.mean()) <= 4.5 * difference.std(ddof=1) / len(prompts) ** 0.5
    assert difference.std() > 0.05


def test_the_reference_is_at_no_distance_from_itself() -> None:
    same = network(0)
    evaluator = Evaluator(
        same, None, [], lambda n, p, g: sample(n, p, SamplingParams(max_new_tokens=4), g), 1.0, 0, 1000
    )
    row = evaluator.measure(network(0), [Prompt(text="a")] * 20, "test").row
    assert (row["kl"], row["kl_se"], row["kl_k1"], row["kl_k1_se"]) == (0, 0, 0, 0)
