"""One evaluation of tiny networks, against plain forward passes and plain counting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from trueward.batches import Rollout
from trueward.evaluation.evaluator import Evaluator
from trueward.evaluation.measurement import Measurement
from trueward.evaluation.outliers import Outliers, fit_home
from trueward.evaluation.truth import Truth
from trueward.records import Completion, Score
from trueward.sampling import sampler
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale

Case = tuple[Measurement, Rollout, Any, Any, RewardModel]


def long(completions: Sequence[Completion]) -> list[Score]:
    return [Score(score=float(len(c.response))) for c in completions]


@pytest.fixture
def case(make_policy: Callable[..., Any], make_reward: Callable[..., Any], toy_prompts: list[Any]) -> Case:
    few = ["this", "the", "a"]  # so that the end is one of few tokens, and comes at all places
    policy, reference, base = (make_policy(seed, None, few) for seed in (0, 1, 2))
    proxy = RewardModel(make_reward(3, None, few), Scale(0.0, 1.0))
    drawn: list[Rollout] = []

    def sample(network: Any, prompts: Any, draws: Draws) -> Rollout:
        drawn.append(sampler.sample(network, prompts, SamplingParams(0.7, 12, 64), draws))
        return drawn[-1]

    home = sampler.sample(reference, toy_prompts * 4, SamplingParams(0.7, 12, 64), Draws(5))
    evaluator = Evaluator(reference, proxy, [Truth("long", long, Scale(0.0, 1.0))], sample, 0.7, 0, 4096,
                  outliers=Outliers(fit_home(proxy.states(home.completions)), proxy.judge_with_states), base=base)  # fmt: skip
    return evaluator.measure(policy, toy_prompts, "x"), drawn[0], reference, base, proxy


def test_perplexities_are_those_of_the_reference_and_the_base_model(case: Case) -> None:
    measured, rollout, reference, base, _ = case
    tokens = rollout.tokens
    for network, key in ((reference, "sft_nll"), (base, "base_nll")):
        with torch.no_grad():
            logp = torch.log_softmax(network.model(tokens.ids).logits.double() / 0.7, -1)
        chosen = logp[:, :-1].gather(2, tokens.ids[:, 1:, None])[..., 0]
        assert measured.row[key] == pytest.approx(-float(chosen[tokens.response_mask[:, 1:]].mean()), abs=1e-4)


def test_the_figures_of_an_evaluation_are_those_of_its_answers(case: Case) -> None:
    measured, rollout, *_ = case
    proxy, truth = (np.array([row[key] for row in measured.samples]) for key in ("proxy", "truth"))
    lengths = rollout.tokens.response_lengths.double().numpy()
    assert measured.row["proxy_truth_correlation"] == pytest.approx(np.corrcoef(proxy, truth)[0, 1], abs=1e-4)
    assert measured.row["length_correlation"] == pytest.approx(np.corrcoef(proxy, lengths)[0, 1], abs=1e-4)
    assert measured.row["outlier_share"] == pytest.approx(np.mean([row["outlier"] for row in measured.samples]))
    # Scored as its length in characters, the truth gains nothing beyond the tokens' lengths but their own width.
    whole = truth.mean() - np.mean([row["reference_truth"] for row in measured.samples])
    assert measured.row["truth_at_length"] != pytest.approx(whole, abs=1e-3)
    assert 0 < measured.row["length_matched"] <= 1


def test_the_state_is_what_the_head_reads(case: Case) -> None:
    *_, rollout, _, _, proxy = case
    states = torch.as_tensor(proxy.states(rollout.completions)).float()
    with torch.no_grad():
        read = proxy.network.model.score(states).squeeze(-1)
    np.testing.assert_allclose(read.numpy(), proxy.raw(rollout.completions), atol=1e-5)
    assert proxy.raw([]).shape == (0,)
