"""PPO's loop on tiny models: step zero, what is paid out, and that its settings do what they say."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import setups
import torch
from setups import Ran, scoring
from torch import Tensor

from trueward.algorithms import ppo
from trueward.batches import Tokens
from trueward.config import CriticConfig, PolicyConfig
from trueward.models import heads
from trueward.models.network import Network
from trueward.records import Completion, Prompt
from trueward.sampling.sampler import SamplingParams
from trueward.scorers.scorer import Scale, Scorer
from trueward.training import ptx
from trueward.training.critic import Critic
from trueward.training.state import State

MakeNetwork = Callable[..., Network]
Run = Callable[..., Ran]


by_length = scoring(lambda completion: 0.1 * len(completion.response))


@pytest.fixture
def run(
    make_policy: MakeNetwork, make_reward: MakeNetwork, toy_prompts: list[Prompt], demonstrations: list[Completion]
) -> Run:
    """A short run with some changed settings, from the same weights each time; the rollouts it sampled come too."""

    def go(
        temperature: float = 1.0,
        budget: int = 10_000,
        scorer: Scorer = by_length,
        prepare: Callable[[State], None] = lambda state: None,
        **changes: Any,
    ) -> Ran:
        config = PolicyConfig(**{"steps": 2, "batch_size": 8, "minibatches": 2, "learning_rate": 3e-3, **changes})
        engine = setups.Recorder(SamplingParams(temperature=temperature, max_new_tokens=8, max_num_seqs=5))
        more = {"critic": Critic(make_reward(), Scale(0.5, 2.0)), "demonstrations": demonstrations}
        setup = setups.online(make_policy(), make_policy(), engine, scorer, toy_prompts, budget, seed=2, **more)
        return setups.run(ppo, config, setup, prepare=prepare)

    return go


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("budget", [30, 10_000])
def test_step_zero(run: Run, temperature: float, budget: int) -> None:
    (one_update,) = run(temperature, budget, steps=1, epochs=1, minibatches=1).steps
    assert one_update.metrics["policy/clipfrac_avg"] == 0
    assert one_update.metrics["policy/approxkl_avg"] < 1e-6
    assert one_update.metrics["val/ratio"] == pytest.approx(1, abs=1e-4)
    first = run(temperature, budget).steps[0]
    assert abs(first.metrics["objective/kl"]) < 1e-4
    assert first.metrics["val/ratio_first"] < 1e-4


def test_the_policy_and_the_value_network_move_and_the_reference_does_not(run: Run, make_policy: MakeNetwork) -> None:
    ran = run(learning_rate=1e-2)
    steps = ran.steps
    assert not torch.equal(ran.weights(), setups.weights(make_policy().model))
    assert [step.number for step in steps] == [1, 2]
    assert abs(steps[1].metrics["objective/kl"]) > 1e-4  # to the weights it started from


@pytest.mark.parametrize("kl_coef", [0.0, 0.3])
def test_what_is_paid_out_is_score_minus_kl_minus_the_penalty(run: Run, kl_coef: float) -> None:
    steps, _, rollouts = run(steps=3, kl_coef=kl_coef, missing_eos_penalty=0.7)
    for step, rollout in zip(steps, rollouts, strict=True):
        cut = [not c.finished for c in rollout.completions]
        scores = [0.1 * len(c.response) for c in rollout.completions]
        assert [d["score"] for d in step.details] == pytest.approx(scores, abs=1e-4)
        assert [d["length"] for d in step.details] == rollout.tokens.response_lengths.tolist()
        kls = [d["kl"] for d in step.details]
        paid = [s - 0.7 * c - kl_coef * k for s, c, k in zip(scores, cut, kls, strict=True)]
        assert step.metrics["objective/rlhf_reward"] == pytest.approx(sum(paid) / len(paid), abs=1e-4)
        less = [s - 0.7 * c for s, c in zip(scores, cut, strict=True)]
        assert step.metrics["objective/scores"] == pytest.approx(sum(less) / len(less), abs=1e-5)
        assert step.metrics["val/num_eos_tokens"] == cut.count(False)
        assert step.completions == rollout.completions
    assert any(not c.finished for r in rollouts for c in r.completions)
    assert any(d["kl"] != 0 for d in steps[-1].details)


def test_the_logged_kl_is_that_of_the_sampled_sequences(run: Run, make_policy: MakeNetwork) -> None:
    steps, _, rollouts = run(temperature=0.7, learning_rate=2e-2)
    reference = heads.response_logprobs(make_policy().model, rollouts[1].tokens, 0.7).detach()
    expected = (rollouts[1].logprobs - reference).sum(1)
    assert [d["kl"] for d in steps[1].details] == pytest.approx(expected.tolist(), abs=1e-3)


def test_values_start_as_the_reward_models_numbers_in_sds(make_reward: MakeNetwork) -> None:
    network = make_reward()
    tokens = Tokens.collate([([1, 8, 9], [20, 21, 2]), ([1, 8], [30])], pad=0)
    got = Critic(network, Scale(0.5, 2.0)).values(tokens).detach()
    for row, (prompt, response) in enumerate([([1, 8, 9], [20, 21, 2]), ([1, 8], [30])]):
        for t in range(len(response)):
            ids = torch.tensor([prompt + response[:t]])
            head = network.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.item()
            assert got[row, len(prompt) + t].item() == pytest.approx((head - 0.5) / 2.0, abs=1e-5)
    assert (got[~tokens.response_mask] == 0).all()


@pytest.mark.parametrize(
    ("batch", "minibatches", "epochs"), [(8, 1, 1), (8, 4, 2), (8, 3, 1), (6, 4, 1), (5, 4, 1), (9, 5, 2)]
)
@pytest.mark.parametrize("budget", [1, 10_000])
def test_every_minibatch_is_one_step_of_both_optimisers(
    run: Run, batch: int, minibatches: int, epochs: int, budget: int
) -> None:
    taken = {"policy": 0, "value": 0}

    def watch(state: State) -> None:
        for name, optimizer in state.optimizers.items():

            def counted(*args: Any, name: str = name) -> None:
                taken[name] += 1

            optimizer.register_step_post_hook(counted)

    run(steps=1, batch_size=batch, minibatches=minibatches, epochs=epochs, budget=budget, prepare=watch)
    assert taken == {"policy": minibatches * epochs, "value": minibatches * epochs}


def test_both_rates_climb_and_fall_and_no_gradient_is_left(run: Run) -> None:
    rates: dict[str, list[float]] = {"policy": [], "value": []}

    def watch(state: State) -> None:
        for name, optimizer in state.optimizers.items():

            def noted(optimizer: Any, *args: Any, name: str = name) -> None:
                rates[name].append(optimizer.param_groups[0]["lr"])

            optimizer.register_step_pre_hook(noted)

    settings = {"steps": 4, "warmup": 0.5, "epochs": 1, "minibatches": 1}
    steps, state, _ = run(learning_rate=2e-3, value_learning_rate=5e-3, prepare=watch, **settings)
    shares = [0.5, 1.0, 1.0, 0.5]
    assert rates["policy"] == pytest.approx([2e-3 * share for share in shares])
    assert rates["value"] == pytest.approx([5e-3 * share for share in shares])
    assert [step.metrics["lr"] for step in steps] == rates["policy"]
    left = [p.grad for network in state.networks.values() for p in network.parameters()]
    assert all(gradient is None or not gradient.any() for gradient in left)


SETTINGS: dict[str, Any] = {
    "batch_size": 10,
    "kl_coef": 2.0,
    "target_kl": 0.01,
    "trainable_layers": 1,
    "learning_rate": 1e-4,
    "value_learning_rate": 1e-4,
    "warmup": 1.0,
    "decay": False,
    "epochs": 1,
    "minibatches": 4,
    "clip": 0.001,
    "dual_clip": 1.0001,
    "importance_sampling_cap": 1.0,
    "value_clip": 0.001,
    "discount": 0.5,
    "gae_lambda": 0.1,
    "whiten_advantages": False,
    "missing_eos_penalty": 3.0,
    "max_grad_norm": 1e-3,
    "ptx_coef": 0.1,
}


CRITIC = {"warmup_steps": 1, "gae_lambda": 0.5, "adaptive_lambda": 0.5}


def test_every_setting_changes_the_weights(run: Run) -> None:
    assert set(SETTINGS) | {
        "kind",
        "loss",
        "options",
        "steps",
        "critic",
        "group",
        "dpo",
        "best_of_n",
        "relabel",
    } == set(PolicyConfig.model_fields)
    plain, again = run(steps=3), run(steps=3)
    names = ("policy", "value")
    assert all(torch.equal(plain.weights(n), again.weights(n)) for n in names)
    nested = {f"critic.{name}": {"critic": {name: value}} for name, value in CRITIC.items()}
    # The loop is given the value network; who makes it reads the others (tests/models/test_frozen_layers.py).
    assert {*CRITIC, "start", "trunk", "coef"} == set(CriticConfig.model_fields)
    for name, change in {**{name: {name: value} for name, value in SETTINGS.items()}, **nested}.items():
        changed = run(steps=3, **change)
        assert not all(torch.equal(plain.weights(n), changed.weights(n)) for n in names), name


def test_an_adaptive_beta_moves_towards_its_target(run: Run) -> None:
    far = [step.metrics["objective/kl_coef"] for step in run(steps=4, target_kl=50.0, kl_coef=0.2).steps]
    assert far == pytest.approx([0.2 * 0.98**n for n in range(4)], rel=1e-6)  # (1 − .1·.2) a step
    near = run(steps=4, target_kl=1e-9, kl_coef=0.2, learning_rate=1e-2)
    signs = [step.metrics["objective/kl"] > 0 for step in near.steps]
    betas = [step.metrics["objective/kl_coef"] for step in near.steps] + [near.state.numbers["kl_coef"]]
    for above, before, after in zip(signs, betas, betas[1:], strict=False):
        assert after == pytest.approx(before * (1.02 if above else 0.98), rel=1e-6)


def test_equal_scores_and_no_anchor_leave_no_nan(run: Run) -> None:
    ran = run(kl_coef=0.0, missing_eos_penalty=0.0, scorer=scoring(lambda completion: 1.0), steps=3)
    assert ran.weights().isfinite().all()
    assert all(torch.tensor(list(step.metrics.values())).isfinite().all() for step in ran.steps)


def test_while_the_value_network_warms_up_nothing_else_does(run: Run, make_policy: MakeNetwork) -> None:
    """On Monte-Carlo returns of what the first policy writes; the policy's schedule and β begin afterwards."""
    rates: list[float] = []
    taken = {"policy": 0, "value": 0}

    def watch(state: State) -> None:
        def counted(optimizer: Any, *args: Any, name: str) -> None:
            taken[name] += 1
            rates.extend([optimizer.param_groups[0]["lr"]] if name == "policy" else [])

        for name, optimizer in state.optimizers.items():
            optimizer.register_step_pre_hook(partial(counted, name=name))

    settings = {"steps": 6, "warmup": 0.5, "epochs": 1, "minibatches": 2, "learning_rate": 2e-3, "target_kl": 1.0}
    steps, _, rollouts = run(critic={"warmup_steps": 2}, prepare=watch, **settings)
    assert taken == {"policy": 8, "value": 12}
    assert rates == pytest.approx([2e-3 * share for share in (0.5, 0.5, 1, 1, 1, 1, 0.5, 0.5)])
    assert [step.metrics["lr"] for step in steps] == pytest.approx([0, 0, 1e-3, 2e-3, 2e-3, 1e-3])
    start = make_policy()
    for rollout in rollouts[:3]:  # the third one is the first that the policy learns from
        again = heads.response_logprobs(start.model, rollout.tokens).detach()
        torch.testing.assert_close(rollout.logprobs, again, rtol=0, atol=1e-4)
    betas = [step.metrics["objective/kl_coef"] for step in steps]
    assert betas[:3] == [0.1] * 3
    assert betas[3] != 0.1
    for step in steps[:2]:
        assert "loss/value_avg" in step.metrics
        assert not {"loss/policy_avg", "policy/entropy_avg", "policy/grad_norm", "val/ratio"} & set(step.metrics)
    assert "loss/policy_avg" in steps[2].metrics


def test_returns_and_advantages_by_their_own_lambda(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[ppo.RolloutBatch] = []
    update = ppo._update

    def watched(
        config: PolicyConfig, policy: Any, critic: Any, state: Any, batch: ppo.RolloutBatch, *rest: Any
    ) -> dict[str, float]:
        seen.append(batch)
        return update(config, policy, critic, state, batch, *rest)

    monkeypatch.setattr(ppo, "_update", watched)
    settings = {"steps": 2, "epochs": 1, "minibatches": 1, "kl_coef": 0.0, "whiten_advantages": False}
    rollouts = run(critic={"warmup_steps": 1, "gae_lambda": 0.8, "adaptive_lambda": 0.5}, **settings).rollouts
    warm, learned = seen
    assert warm.advantages is None
    for batch, rollout in zip(seen, rollouts, strict=True):
        for row, completion in enumerate(rollout.completions):
            mask = batch.tokens.response_mask[row]
            n = int(mask.sum())
            paid = 0.1 * len(completion.response) - (not completion.finished)
            values = [*batch.old_values[row][mask].tolist(), 0.0]
            errors = [values[t + 1] - values[t] + (paid if t == n - 1 else 0.0) for t in range(n)]

            def ahead(lam: float, t: int, errors: list[float] = errors, n: int = n) -> float:
                return sum(lam ** (k - t) * errors[k] for k in range(t, n))

            lam = 1.0 if batch is warm else 0.8
            returns = [values[t] + ahead(lam, t) for t in range(n)]
            assert batch.returns[row][mask].tolist() == pytest.approx(returns, abs=1e-5)
            if batch is warm:
                assert returns == pytest.approx([paid] * n)
            elif batch.advantages is not None:
                own = max(0.0, 1 - 1 / (0.5 * n))
                expected = [ahead(own, t) for t in range(n)]
                assert batch.advantages[row][mask].tolist() == pytest.approx(expected, abs=1e-5)
    assert learned.advantages is not None


def test_demonstrations_add_their_gradient_in_every_update(
    run: Run, monkeypatch: pytest.MonkeyPatch, demonstrations: list[Completion]
) -> None:
    batches: list[Tokens] = []
    accumulate = ptx.accumulate_ptx

    def watched(policy: Network, batch: Tokens, weight: float, budget: int, *rest: Any) -> list[Tensor]:
        batches.append(batch)
        return accumulate(policy, batch, weight, budget, *rest)

    monkeypatch.setattr(ptx, "accumulate_ptx", watched)
    settings: dict[str, Any] = {"steps": 2, "epochs": 2, "minibatches": 3, "critic": {"warmup_steps": 1}}
    steps = run(**settings).steps
    assert not batches
    assert all("loss/ptx_avg" not in step.metrics for step in steps)
    ran = run(ptx_coef=5.0, **settings)
    assert [len(batch) for batch in batches] == [3, 3, 2] * 2  # none while the value network warms up
    assert "loss/ptx_avg" not in ran.steps[0].metrics
    assert ran.steps[1].metrics["loss/ptx_avg"] > 0
    assert torch.equal(run(ptx_coef=5.0, **settings).weights(), ran.weights())  # the same ones each time


def test_a_large_weight_on_demonstrations_is_sft(run: Run) -> None:
    """Their loss falls as in SFT; without the weight it does not."""
    settings: dict[str, Any] = {"steps": 12, "epochs": 1, "minibatches": 1, "learning_rate": 1e-2}
    losses = [step.metrics["loss/ptx_avg"] for step in run(ptx_coef=100.0, **settings).steps]
    assert losses[-1] < losses[0] - 0.5


def test_with_its_own_rollouts_importance_weights_are_1(run: Run) -> None:
    for step in run(importance_sampling_cap=2.0, learning_rate=1e-2, steps=3).steps:
        assert step.metrics["importance/weight"] == pytest.approx(1, abs=1e-4)
        assert step.metrics["importance/log_ratio"] < 1e-4
        assert step.metrics["importance/truncated"] == 0
        assert step.metrics["val/ratio_first"] < 1e-6  # the same code computes both
    assert not any(name.startswith("importance") for name in run().steps[0].metrics)
