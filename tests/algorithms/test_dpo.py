"""DPO's loop on a table: step zero and micro-batches."""

from __future__ import annotations

import math
from typing import Any

import pytest
import setups
import torch
from setups import table
from torch import Tensor

from trueward.algorithms import dpo
from trueward.batches import Step
from trueward.config import PolicyConfig
from trueward.losses import preference
from trueward.records import Comparison, Prompt, Response

TEXTS = ["a", "b a c", "", "c c"]
ROWS = [
    Comparison(
        prompt=Prompt(text=prompt),
        first=Response(id=str(i), text=TEXTS[i], finished=i != 1),
        second=Response(id=str(j), text=TEXTS[j], finished=j != 1),
        probability=[1.0, 0.0, 0.5, 0.8][(i + 2 * j) % 4],
        source="test",
    )
    for prompt in ("a", "b c a")
    for i in range(4)
    for j in range(i)
]


def run(budget: int = 10_000, seed: int = 0, **changes: Any) -> tuple[Tensor, list[Step]]:
    policy = table(seed)
    before = policy.model.table.detach().clone()
    settings = {"steps": 1, "batch_size": len(ROWS), "kl_coef": 0.3, "warmup": 0}
    config = PolicyConfig(
        **{
            "kind": "dpo",
            **settings,
            "max_grad_norm": 1e9,
            **changes,
            "dpo": {"learning_rate": 1.0, **changes.get("dpo", {})},
        }
    )
    pairs = dpo.reference_pairs(table(), ROWS, budget)
    steps = setups.run(dpo, config, setups.offline(policy, pairs, budget, seed=2), setups.descent).steps
    return policy.model.table.detach() - before, steps


def test_step_zero_and_its_gradient() -> None:
    moved, (step,) = run()
    assert step.metrics["loss"] == pytest.approx(math.log(2), abs=1e-12)
    assert step.metrics["rewards/margins"] == pytest.approx(0, abs=1e-12)
    # −β·(p − ½)·(∇log π(first) − ∇log π(second)), averaged
    reference = table()
    data = dpo.reference_pairs(reference, ROWS, 10_000)
    logp = dpo.heads.response_logprobs(reference.model, data.tokens).sum(1).view(-1, 2)
    aim = (0.3 * (data.probability - 0.5) * (logp[:, 0] - logp[:, 1])).mean()
    (expected,) = torch.autograd.grad(aim, reference.model.table)
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-12)
    assert dpo.pair_accuracy(table(), data, 100) == 0.5


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "robust", "simpo"])
def test_micro_batches_change_nothing(loss: str) -> None:
    results = [run(budget, seed=5, dpo={"loss": loss, "label_smoothing": 0.1}) for budget in (10_000, 1, 30)]
    moved, (step,) = results[0]
    assert moved.abs().max() > 1e-3
    for other, (same,) in results[1:]:
        torch.testing.assert_close(other, moved, rtol=0, atol=1e-12)
        assert same.metrics == pytest.approx(step.metrics, abs=1e-12)


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "robust", "simpo"])
def test_the_order_of_comparisons_and_of_their_sides_changes_nothing(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved, (step,) = run(seed=5, dpo={"loss": loss, "label_smoothing": 0.1})
    turned = [
        row.model_copy(update={"first": row.second, "second": row.first, "probability": 1 - row.probability})
        for row in ROWS[::-1]
    ]
    for rows in (ROWS[::-1], turned):
        monkeypatch.setattr(f"{__name__}.ROWS", rows)
        other, (same,) = run(seed=5, dpo={"loss": loss, "label_smoothing": 0.1})
        torch.testing.assert_close(other, moved, rtol=0, atol=1e-12)
        assert same.metrics["loss"] == pytest.approx(step.metrics["loss"], abs=1e-12)
        assert same.metrics["rewards/accuracies"] == pytest.approx(step.metrics["rewards/accuracies"], abs=1e-12)


def test_every_comparison_of_an_epoch_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dpo.reference_pairs(table(), ROWS, 10_000)
    taken = data.take(torch.tensor([3, 0]))
    assert taken.probability.tolist() == data.probability[[3, 0]].tolist()
    assert torch.equal(taken.reference, data.reference[[6, 7, 0, 1]])

    seen: list[float] = []
    loss = preference.direct

    def watched(logprobs: Tensor, reference: Tensor, *rest: Any, **settings: Any) -> tuple[Tensor, dict[str, Tensor]]:
        seen.extend(reference.tolist())
        return loss(logprobs, reference, *rest, **settings)

    monkeypatch.setattr(preference, "direct", watched)
    assert len(run(budget=40, steps=3, batch_size=4)[1]) == 3
    assert sorted(seen) == pytest.approx(sorted(data.reference.tolist()), abs=1e-12)
