"""One look of the gauge at tiny networks, against plain forward passes and plain counting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from trueward.batches import Rollout
from trueward.engines import sampler
from trueward.engines.sampler import Sampling
from trueward.instruments.gauge import Gauge, Measurement, Truth
from trueward.instruments.outliers import Outliers, settle
from trueward.records import Completion, Verdict
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale

Look = tuple[Measurement, Rollout, Any, Any, RewardModel]


def long(completions: Sequence[Completion]) -> list[Verdict]:
    return [Verdict(score=float(len(c.response))) for c in completions]


@pytest.fixture
def look(make_policy: Callable[..., Any], make_reward: Callable[..., Any], toy_prompts: list[Any]) -> Look:
    few = ["this", "the", "a"]  # so that the end is one of few tokens, and comes at all places
    policy, reference, base = (make_policy(seed, None, few) for seed in (0, 1, 2))
    proxy = RewardModel(make_reward(3, None, few), Scale(0.0, 1.0))
    drawn: list[Rollout] = []

    def sample(network: Any, prompts: Any, generator: torch.Generator) -> Rollout:
        drawn.append(sampler.sample(network, prompts, Sampling(0.7, 12, 64), generator))
        return drawn[-1]

    home = sampler.sample(reference, toy_prompts * 4, Sampling(0.7, 12, 64), torch.Generator().manual_seed(5))
    gauge = Gauge(reference, proxy, [Truth("long", long, Scale(0.0, 1.0))], sample, 0.7, 0, 4096,
                  outliers=Outliers(settle(proxy.states(home.completions)), proxy.judge_with_states), base=base)  # fmt: skip
    return gauge.measure(policy, toy_prompts, "x"), drawn[0], reference, base, proxy


def test_perplexities_are_those_of_the_reference_and_the_base_model(look: Look) -> None:
    found, rollout, reference, base, _ = look
    tokens = rollout.tokens
    for network, key in ((reference, "sft_nll"), (base, "base_nll")):
        with torch.no_grad():
            logp = torch.log_softmax(network.model(tokens.ids).logits.double() / 0.7, -1)
        chosen = logp[:, :-1].gather(2, tokens.ids[:, 1:, None])[..., 0]
        assert found.row[key] == pytest.approx(-float(chosen[tokens.response_mask[:, 1:]].mean()), abs=1e-4)


def test_the_figures_of_a_look_are_those_of_its_answers(look: Look) -> None:
    found, rollout, *_ = look
    proxy, truth = (np.array([row[key] for row in found.samples]) for key in ("proxy", "truth"))
    lengths = rollout.tokens.response_lengths.double().numpy()
    assert found.row["proxy_truth_correlation"] == pytest.approx(np.corrcoef(proxy, truth)[0, 1], abs=1e-4)
    assert found.row["length_correlation"] == pytest.approx(np.corrcoef(proxy, lengths)[0, 1], abs=1e-4)
    assert found.row["outlier_share"] == pytest.approx(np.mean([row["outlier"] for row in found.samples]))
    # Scored as its length in characters, the truth gains nothing beyond the tokens' lengths but their own width.
    whole = truth.mean() - np.mean([row["reference_truth"] for row in found.samples])
    assert found.row["truth_at_length"] != pytest.approx(whole, abs=1e-3)
    assert 0 < found.row["length_matched"] <= 1


def test_the_state_is_what_the_head_reads(look: Look) -> None:
    *_, rollout, _, _, proxy = look
    states = torch.as_tensor(proxy.states(rollout.completions)).float()
    with torch.no_grad():
        read = proxy.network.model.score(states).squeeze(-1)
    np.testing.assert_allclose(read.numpy(), proxy.raw(rollout.completions), atol=1e-5)
    assert proxy.raw([]).shape == (0,)
