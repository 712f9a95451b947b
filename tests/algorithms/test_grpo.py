"""The loop of GRPO and RLOO on a table: step zero, groups without a signal, micro-batches, what its settings do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import setups
import torch
from setups import Rule, scoring, table, words
from torch import Tensor

from trueward.algorithms import grpo
from trueward.batches import Step
from trueward.config import PolicyConfig
from trueward.losses.policy import token_weights
from trueward.models.network import Network
from trueward.records import Completion, Prompt
from trueward.sampling.engine import LocalEngine
from trueward.sampling.sampler import SamplingParams

PROMPTS = [Prompt(text=text) for text in ("a", "b b", "c a b", "b")]
LONGEST = 5


def run(
    score: Rule = words,
    budget: int = 10_000,
    policy: Network | None = None,
    group: Any = None,
    shown: Sequence[Completion] = (),
    prompts: Sequence[Prompt] = PROMPTS,
    **changes: Any,
) -> tuple[Tensor, list[Step]]:
    """Plain descent from the reference, or from `policy`: by how much the weights moved, and the steps."""
    moved = policy or table()
    before = moved.model.table.detach().clone()
    settings = {"kind": "grpo", "steps": 1, "batch_size": 16, "minibatches": 1, "epochs": 1, "kl_coef": 0.2}
    more = {"learning_rate": 1.0, "warmup": 0, "max_grad_norm": 1e9, "missing_eos_penalty": 0}
    config = PolicyConfig(**{**settings, **more, "group": {"size": 4, **(group or {})}, **changes})

    setup = setups.online(
        moved,
        table(),
        LocalEngine(SamplingParams(max_new_tokens=LONGEST)),
        scoring(score),
        prompts,
        budget,
        seed=3,
        demonstrations=shown,
    )
    steps = setups.run(grpo, config, setup, setups.descent).steps
    return moved.model.table.detach() - before, steps


@pytest.mark.parametrize("kl", ["reward", "k2", "k3", "k3-weighted"])
def test_step_zero(kl: str) -> None:
    _, (step,) = run(group={"kl": kl})
    assert step.metrics["objective/kl"] == pytest.approx(0, abs=1e-5)
    assert step.metrics["loss/kl_avg"] == pytest.approx(0, abs=1e-6) if "loss/kl_avg" in step.metrics else True
    assert step.metrics["val/ratio"] == pytest.approx(1, abs=1e-6)
    assert step.metrics["val/ratio_first"] < 1e-5
    assert step.metrics["policy/clipfrac_avg"] == 0
    assert step.metrics["objective/equal_groups"] == 0


@pytest.mark.parametrize("kl", ["reward", "k2", "k3", "k3-weighted"])
@pytest.mark.parametrize("reducer", ["token", "sequence", "constant"])
@pytest.mark.parametrize("ratio", ["token", "sequence", "weight"])
def test_micro_batches_change_nothing(reducer: str, ratio: str, kl: str) -> None:
    group = {"reducer": reducer, "ratio": ratio, "kl": kl, "std": "population"}
    # away from the reference, several minibatches, so that the ratio and the anchor count
    results = [run(budget=b, policy=table(5), group=group, minibatches=2, epochs=2) for b in (10_000, 1, 20)]
    moved, (step,) = results[0]
    assert moved.abs().max() > 1e-3
    for other, (same,) in results[1:]:
        torch.testing.assert_close(other, moved, rtol=0, atol=1e-12)
        for name in ("loss/policy_avg", "loss/kl_avg", "val/ratio", "policy/grad_norm", "policy/clipfrac_avg"):
            assert same.metrics[name] == pytest.approx(step.metrics[name], abs=1e-12), name


@pytest.mark.parametrize("std", ["none", "population", "sample"])
@pytest.mark.parametrize("kind", ["grpo", "rloo"])
def test_groups_of_equal_reward_give_no_reward_gradient_and_no_nan(kind: str, std: str) -> None:
    moved, (step,) = run(lambda c: 0.7, kind=kind, group={"std": std}, kl_coef=0.0)
    assert (moved == 0).all()
    assert step.metrics["objective/equal_groups"] == 1
    assert step.metrics["loss/policy_avg"] == 0


def test_groups_of_equal_reward_keep_the_gradient_of_their_kl() -> None:
    moved, _ = run(lambda c: 0.7, policy=table(5), group={"kl": "k2"})
    assert moved.isfinite().all()
    assert moved.abs().max() > 1e-4


def test_dropped_groups_teach_nothing_and_the_others_share_the_step() -> None:
    def by_prompt(completion: Completion) -> float:
        return words(completion) if completion.prompt.text == "a" else 1.0

    kept, _ = run(by_prompt, kl_coef=0.0, group={"reducer": "sequence"})
    dropped, (step,) = run(by_prompt, kl_coef=0.0, group={"reducer": "sequence", "drop_equal_groups": True})
    assert step.metrics["objective/equal_groups"] == 0.75
    torch.testing.assert_close(dropped, 4 * kept, rtol=1e-6, atol=1e-9)
    nothing, (step,) = run(lambda c: 1.0, kl_coef=0.0, group={"drop_equal_groups": True})
    assert (nothing == 0).all()
    assert "loss/policy_avg" not in step.metrics


def test_to_drop_groups_is_exact_at_beta_0_alone() -> None:
    """A group of equal scores teaches its KL too, so without it the step is another one."""

    def by_prompt(completion: Completion) -> float:
        return words(completion) if completion.prompt.text == "a" else 1.0

    def step(beta: float, drop: bool) -> Tensor:
        group = {"reducer": "constant", "kl": "k2", "drop_equal_groups": drop}
        moved, (found,) = run(by_prompt, policy=table(5), kl_coef=beta, group=group)
        assert found.metrics["objective/equal_groups"] == 0.75
        return moved

    torch.testing.assert_close(step(0.0, True), 4 * step(0.0, False), rtol=1e-9, atol=1e-12)
    assert (step(0.5, True) - 4 * step(0.5, False)).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["grpo", "rloo"])
@pytest.mark.parametrize(("kl", "kl_coef"), [("reward", 0.0), ("reward", 0.4), ("k2", 0.4)])
def test_what_is_paid_out_is_score_minus_kl_minus_the_penalties(kind: str, kl: str, kl_coef: float) -> None:
    """EXACT, row 11: for each answer, score − β·(log π − log π_ref), wherever the KL goes."""
    group = {"kl": kl, "overlong_tokens": 3}
    _, (step,) = run(policy=table(5), kind=kind, kl_coef=kl_coef, missing_eos_penalty=0.7, group=group)
    cut = [not c.finished for c in step.completions]
    scores = [words(c) for c in step.completions]
    assert [d["score"] for d in step.details] == pytest.approx(scores, abs=1e-5)
    assert 0 < sum(cut) < len(cut)
    kls = [d["kl"] for d in step.details]
    assert max(map(abs, kls)) > 0.1
    late = [float(x) for x in grpo.overlong(torch.tensor([d["length"] for d in step.details]), LONGEST, 3)]
    paid = [s - 0.7 * c - o - kl_coef * k for s, c, o, k in zip(scores, cut, late, kls, strict=True)]
    assert step.metrics["objective/rlhf_reward"] == pytest.approx(sum(paid) / len(paid), abs=1e-4)


def test_rloo_without_clipping_is_grpo_times_g_over_g_minus_1() -> None:
    mean, others = (run(kind=kind)[0] for kind in ("grpo", "rloo"))
    torch.testing.assert_close(others, mean * 4 / 3, rtol=1e-5, atol=1e-8)


def test_what_an_answer_near_the_limit_pays() -> None:
    lengths = torch.tensor([1, 4, 6, 7, 8, 9])
    assert grpo.overlong(lengths, 8, 4).tolist() == [0, 0, 0.5, 0.75, 1, 1]
    assert grpo.overlong(lengths, 8, 0).tolist() == [0] * 6
    moved, _ = run(lambda c: 0.0, kl_coef=0.0, group={"overlong_tokens": 3})
    assert moved[:, 2].sum() > 0  # it learns to end


@pytest.mark.parametrize(("reducer", "total"), [("token", 1), ("sequence", 1), ("constant", 9 / 15)])
def test_what_the_tokens_of_a_step_count_together(reducer: str, total: float) -> None:
    mask = torch.tensor([[0, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0], [0, 1, 0, 0, 0, 0]]).bool()
    assert token_weights(mask, reducer, 9.0, 3, 5).sum().item() == pytest.approx(total, abs=1e-6)


@pytest.mark.parametrize("minibatches", [1, 3, 16])
def test_every_answer_is_in_one_minibatch_of_each_epoch(monkeypatch: pytest.MonkeyPatch, minibatches: int) -> None:
    seen: list[list[int]] = []
    update = grpo._update

    def watched(config: Any, policy: Any, state: Any, *rest: Any) -> dict[str, float]:
        seen.append(rest[1].tolist())
        return update(config, policy, state, *rest)

    monkeypatch.setattr(grpo, "_update", watched)
    run(minibatches=minibatches, epochs=2)
    assert len(seen) == 2 * minibatches
    for epoch in (seen[:minibatches], seen[minibatches:]):
        assert sorted(i for chosen in epoch for i in chosen) == list(range(16))


def test_demonstrations_add_the_gradient_of_their_loss() -> None:
    """By hand: plain descent moves a row of the table by weight·(onehot − π) for each token, over their number."""
    shown = [Completion(prompt=Prompt(text="b"), response="a")]  # "a" and the end: two tokens
    settings: dict[str, Any] = {"group": {"size": 4, "reducer": "constant"}, "policy": table(5)}
    without, (plain,) = run(**settings)
    beside, (step,) = run(**{**settings, "policy": table(5)}, shown=shown * 16, ptx_coef=0.6)
    assert "loss/ptx_avg" not in plain.metrics
    policy, expected, nll = table(5), torch.zeros_like(without), 0.0
    states = policy.model.state(torch.tensor([[1, 4, 3]]))[0]  # begin, b, a
    for state, token in ((states[1], 3), (states[2], 2)):
        chances = policy.model.table[state].detach().softmax(-1)
        expected[state] -= 0.6 * chances / 2
        expected[state, token] += 0.6 / 2
        nll -= chances[token].log().item() / 2
    torch.testing.assert_close(beside - without, expected, rtol=0, atol=1e-12)
    assert step.metrics["loss/ptx_avg"] == pytest.approx(nll, abs=1e-12)


@pytest.mark.parametrize("ratio", ["token", "sequence", "weight"])
@pytest.mark.parametrize("kl", ["reward", "k2", "k3-weighted"])
def test_with_its_own_rollouts_importance_weights_change_nothing(ratio: str, kl: str) -> None:
    settings: dict[str, Any] = {"group": {"ratio": ratio, "kl": kl}, "minibatches": 2, "epochs": 2}
    plain, (without,) = run(policy=table(5), **settings)
    weighted, (step,) = run(policy=table(5), importance_sampling_cap=1.0 + 1e-4, **settings)
    torch.testing.assert_close(weighted, plain, rtol=0, atol=1e-5)
    assert step.metrics["importance/weight"] == pytest.approx(1, abs=1e-4)
    assert step.metrics["importance/log_ratio"] < 1e-4
    assert step.metrics["importance/kl"] < 1e-6
    assert step.metrics["importance/truncated"] == 0
    assert not any(name.startswith("importance") for name in without.metrics)


MANY = [Prompt(text=f"{one} {other}") for one in "abc" for other in ("a", "b", "c", "c a")] + [Prompt(text="b")]


def only_c(completion: Completion) -> float:
    """Groups of prompts without a c have no signal."""
    return words(completion) if "c" in completion.prompt.text else 1.0


def refilled(refill: int, **changes: Any) -> tuple[Tensor, list[Step]]:
    group = {"size": 4, "drop_equal_groups": True, "refill": refill}
    return run(**{"score": only_c, "prompts": MANY, "kl_coef": 0.0, "steps": 3, "group": group, **changes})


def test_dropped_groups_are_replaced_by_other_prompts_until_the_batch_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[int] = []
    update = grpo._update

    def watched(config: Any, policy: Any, state: Any, batch: Any, chosen: Tensor, *rest: Any) -> dict[str, float]:
        learned.append(len(chosen))
        return update(config, policy, state, batch, chosen, *rest)

    monkeypatch.setattr(grpo, "_update", watched)
    _, steps = refilled(20)
    for number, step in enumerate(steps):
        assert step.metrics["refill/rounds"] >= 1
        asked = [c.prompt.text for c in step.completions]
        groups = asked[::4]
        assert asked == [text for text in groups for _ in range(4)]
        assert len(set(groups)) == len(groups), "no prompt is asked twice in a step"
        paid = [d["score"] for d in step.details]
        with_signal = [text for i, text in enumerate(groups) if len(set(paid[4 * i : 4 * i + 4])) > 1]
        assert len(with_signal) == 4
        assert all("c" in text for text in with_signal)
        assert step.metrics["refill/dropped"] == len(groups) - 4
        assert step.metrics["objective/equal_groups"] == pytest.approx(1 - 4 / len(groups))
        assert learned[number] == 16
        assert len(step.details) == len(step.completions)
    _, again = refilled(20)
    assert [s.completions for s in again] == [s.completions for s in steps]


def test_the_first_round_is_the_step_without_refill() -> None:
    for none, step in zip(refilled(0)[1][:1], refilled(20)[1][:1], strict=True):
        assert step.completions[:16] == none.completions
        assert "refill/rounds" not in none.metrics


@pytest.mark.parametrize("refill", [1, 2])
def test_no_more_rounds_than_were_asked_for(refill: int) -> None:
    _, (step,) = refilled(refill, score=lambda c: 1.0, steps=1)
    assert step.metrics["refill/rounds"] == refill
    assert len(step.completions) == min(13, 4 * (1 + refill)) * 4
    assert step.metrics["refill/dropped"] == len(step.completions) / 4


def test_when_the_prompts_run_out_it_goes_on_with_what_there_is() -> None:
    moved, (step,) = refilled(50, score=lambda c: 1.0, steps=1)
    assert (moved == 0).all()
    assert len(step.completions) == 13 * 4
    assert step.metrics["refill/rounds"] == 3  # 4, 4, 4 and 1 prompts


def test_a_full_batch_is_not_refilled() -> None:
    full = run(group={"size": 4, "drop_equal_groups": True, "refill": 5})[1][0]  # the anchor keeps them apart
    assert full.metrics["refill/rounds"] == 0
    assert full.metrics["refill/dropped"] == 0


def test_refilled_groups_weigh_like_the_others() -> None:
    """Micro-batches of any size, and wider or narrower rounds: the same update."""
    settings: dict[str, Any] = {"steps": 1, "importance_sampling_cap": 2.0, "minibatches": 2, "epochs": 2}
    whole, small = (refilled(20, budget=budget, **settings)[0] for budget in (10_000, 9))
    assert whole.abs().max() > 1e-3
    torch.testing.assert_close(small, whole, rtol=0, atol=1e-12)
