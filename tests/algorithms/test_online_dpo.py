"""Online DPO's loop on a table: step zero, its labels, micro-batches, temperature, what it logs, and resuming."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import setups
import torch
from setups import Recorder, Rule, scoring, table, words
from torch import Tensor

from trueward.algorithms import online_dpo
from trueward.batches import Rollout
from trueward.config import PolicyConfig
from trueward.models import heads
from trueward.models.network import Network
from trueward.records import Completion, Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine
from trueward.sampling.sampler import SamplingParams
from trueward.training import driver
from trueward.training.env import Env
from trueward.training.journal import METRICS, ROLLOUTS, DirectoryJournal

PROMPTS = [Prompt(text=text) for text in ("a", "b b", "c a b", "b", "c", "a c")]
BETA, PENALTY = 0.3, 0.5
LOSSES = ["sigmoid", "ipo", "robust", "simpo"]


class Backwards(Recorder):
    """The same answers in another order: pairs backwards, and sides swapped."""

    def sample(self, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        rollout = super().sample(prompts, draws)
        rows = torch.arange(len(prompts) - 1, -1, -1)
        back = [rollout.completions[i] for i in rows.tolist()]
        self.rollouts[-1] = Rollout(rollout.tokens.take(rows), rollout.logprobs[rows], back)
        return self.rollouts[-1]


class Run:
    """A loop with plain descent at rate 1, so that a step is the gradient; from the reference, or from `policy`."""

    def __init__(
        self,
        score: Rule = words,
        budget: int = 10_000,
        policy: Network | None = None,
        temperature: float = 1.0,
        engine: type[Recorder] = Recorder,
        seed: int = 3,
        dpo: Any = None,
        **changes: Any,
    ) -> None:
        self.policy = policy or table()
        self.before = self.policy.model.table.detach().clone()
        settings = {"kind": "dpo", "steps": 1, "batch_size": 6, "kl_coef": BETA, "missing_eos_penalty": PENALTY}
        more = {"warmup": 0, "max_grad_norm": 1e9, "dpo": {"online": True, "learning_rate": 1.0, **(dpo or {})}}
        config = PolicyConfig(**{**settings, **more, **changes})
        sampler = engine(SamplingParams(temperature, max_new_tokens=4))
        setup = setups.online(self.policy, table(), sampler, scoring(score), PROMPTS, budget, seed)
        self.steps, _, self.rollouts = setups.run(online_dpo, config, setup, setups.descent)
        self.draws = sampler.draws

    @property
    def moved(self) -> Tensor:
        return self.policy.model.table.detach() - self.before


def test_two_answers_to_each_prompt() -> None:
    run = Run(steps=2, batch_size=3)
    for rollout in run.rollouts:
        prompts = [c.prompt.text for c in rollout.completions]
        assert len(prompts) == 6
        assert prompts[::2] == prompts[1::2]
        assert len(set(prompts)) == 3
    assert run.draws == [Draws.purpose(3, "rollout", step) for step in (0, 1)], "fresh answers every time"
    seen = {c.prompt.text for rollout in run.rollouts for c in rollout.completions}
    assert seen == {p.text for p in PROMPTS}, "every prompt of an epoch is taken once"


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("labels", ["soft", "hard"])
def test_step_zero_and_its_gradient_by_hand(labels: str, temperature: float) -> None:
    """−β·(p − ½)·(∇log π(first) − ∇log π(second)), averaged over the comparisons; log-probs at the sampler's temperature."""
    run = Run(dpo={"labels": labels}, temperature=temperature)
    (step,), (rollout,) = run.steps, run.rollouts
    assert step.metrics["loss"] == pytest.approx(math.log(2), abs=1e-12)
    assert step.metrics["rewards/margins"] == pytest.approx(0, abs=1e-12)
    assert step.metrics["objective/kl"] == pytest.approx(0, abs=1e-5)  # the sampler's log-probs are in float32
    model = table().model
    expected = torch.zeros((), dtype=torch.float64)
    for i in range(0, 12, 2):
        terms, paid = [], []
        for row in (i, i + 1):
            ids, start = rollout.tokens.ids[row], int(rollout.tokens.prompt_lengths[row])
            places = range(start, start + int(rollout.tokens.response_lengths[row]))
            logits = model(input_ids=ids[None]).logits[0] / temperature
            terms.append(sum(logits[t - 1].log_softmax(-1)[ids[t]] for t in places))
            completion = rollout.completions[row]
            paid.append(words(completion) - PENALTY * (not completion.finished))
        gap = paid[0] - paid[1]
        p = 1 / (1 + math.exp(-gap)) if labels == "soft" else (gap > 0) + 0.5 * (gap == 0)
        expected = expected + BETA * (p - 0.5) * (terms[0] - terms[1]) / 6
    (gradient,) = torch.autograd.grad(expected, model.table)
    assert gradient.abs().max() > 1e-3
    torch.testing.assert_close(run.moved, gradient, rtol=0, atol=1e-12)


def test_at_the_tilt_soft_labels_leave_no_gradient_whatever_was_drawn() -> None:
    """Answers of one token, so that the tilt by the score is a table: reference + score/β."""
    tilted = table()
    one = {"a": 0.7, "b": -0.4, "c": 0.2, "": 0.1}
    with torch.no_grad():
        tilted.model.table[:, 2:] += torch.tensor([one[w] for w in ("", "a", "b", "c")]).double() / BETA
    for labels, still in (("soft", True), ("hard", False)):
        config = PolicyConfig(
            kind="dpo",
            steps=1,
            batch_size=6,
            kl_coef=BETA,
            missing_eos_penalty=0,
            warmup=0,
            dpo={"online": True, "labels": labels},
        )
        engine, scorer = LocalEngine(SamplingParams(max_new_tokens=1)), scoring(lambda c: one[c.response.strip()])
        setup = setups.online(tilted, table(), engine, scorer, PROMPTS)
        (step,) = setups.run(online_dpo, config, setup, setups.descent).steps
        assert step.metrics["objective/equal_pairs"] < 1
        assert (step.metrics["policy/grad_norm"] < 1e-7) == still


@pytest.mark.parametrize("labels", ["soft", "hard"])
@pytest.mark.parametrize("loss", LOSSES)
def test_neither_micro_batches_nor_order_change_anything(loss: str, labels: str) -> None:
    dpo = {"loss": loss, "labels": labels, "label_smoothing": 0.1}
    whole = Run(policy=table(5), dpo=dpo)
    assert whole.moved.isfinite().all()
    assert whole.moved.abs().max() > 1e-3
    for other in (
        Run(budget=1, policy=table(5), dpo=dpo),
        Run(budget=30, policy=table(5), dpo=dpo),
        Run(budget=30, policy=table(5), dpo=dpo, engine=Backwards),
    ):
        torch.testing.assert_close(other.moved, whole.moved, rtol=0, atol=1e-12)
        if other.rollouts[0].completions == whole.rollouts[0].completions:
            assert other.steps[0].metrics == pytest.approx(whole.steps[0].metrics, abs=1e-12)
        else:
            for name in ("loss", "objective/scores", "objective/kl", "policy/grad_norm", "rewards/accuracies"):
                assert other.steps[0].metrics[name] == pytest.approx(whole.steps[0].metrics[name], abs=1e-6)


@pytest.mark.parametrize("labels", ["soft", "hard"])
def test_equal_scores_are_ties(labels: str) -> None:
    run = Run(lambda c: 0.7, dpo={"labels": labels}, missing_eos_penalty=0)
    assert (run.moved == 0).all()  # σ(0) = ½ at the reference: nothing to learn
    assert run.steps[0].metrics["objective/scores_margin"] == 0
    assert run.steps[0].metrics["rewards/accuracies"] == 0.5


def test_two_answers_that_are_the_same_teach_nothing() -> None:
    """Whatever a scorer says of them, itself contradicting."""
    calls = iter(range(10**6))
    sure = table()
    with torch.no_grad():
        sure.model.table[:] = -1e4
        sure.model.table[:, 3] = 0
    run = Run(lambda c: float(next(calls)), policy=sure)
    assert run.steps[0].metrics["objective/equal_pairs"] == 1
    assert run.moved.abs().max() < 1e-9


def test_what_it_logs() -> None:
    run = Run(policy=table(5), steps=1)
    (step,), (rollout,) = run.steps, run.rollouts
    cut = torch.tensor([not c.finished for c in rollout.completions])
    assert 0 < cut.sum() < 12
    paid = torch.tensor([words(c) for c in rollout.completions]).double() - PENALTY * cut
    anchor = heads.response_logprobs(table().model, rollout.tokens).detach()
    k1 = (rollout.logprobs - anchor)[rollout.tokens.response_mask].sum() / 12
    pairs = [(a.response, a.finished) for a in rollout.completions]
    expected = {
        "objective/scores": paid.mean().item(),
        "objective/kl": k1.item(),
        "objective/rlhf_reward": (paid.mean() - BETA * k1).item(),
        "objective/kl_coef": BETA,
        "objective/scores_margin": (paid[::2] - paid[1::2]).abs().mean().item(),
        "objective/equal_pairs": sum(a == b for a, b in zip(pairs[::2], pairs[1::2], strict=True)) / 6,
        "val/num_eos_tokens": float((~cut).sum()),
        "length": rollout.tokens.response_lengths.double().mean().item(),
        "lr": 1.0,
    }
    assert {k: step.metrics[k] for k in expected} == pytest.approx(expected, abs=1e-6)
    assert step.completions == rollout.completions
    assert [d["score"] for d in step.details] == pytest.approx([words(c) for c in rollout.completions], abs=1e-5)
    assert sum(d["kl"] for d in step.details) / 12 == pytest.approx(k1.item(), abs=1e-4)
    assert [d["length"] for d in step.details] == rollout.tokens.response_lengths.tolist()


def test_every_setting_changes_the_weights() -> None:
    shared = {"steps": 3, "decay": False}

    def weights(**changes: Any) -> Tensor:
        return Run(policy=table(5), **{**shared, **changes}).policy.model.table.detach()

    plain = weights()
    assert torch.equal(plain, weights())
    settings: dict[str, Any] = {
        "batch_size": 5,
        "kl_coef": 0.5,
        "warmup": 1.0,
        "decay": True,
        "missing_eos_penalty": 3.0,
        "max_grad_norm": 1e-3,
        "temperature": 0.5,
    }
    for name, value in settings.items():
        assert not torch.equal(plain, weights(**{name: value})), name
    for name, value in {"learning_rate": 0.5, "loss": "ipo", "label_smoothing": 0.2, "labels": "hard"}.items():
        assert not torch.equal(plain, weights(dpo={name: value})), name


def drive(directory: Path, until: int | None = None) -> Tensor:
    """Six steps of Adam through the driver, a checkpoint at each; killed in the step after `until`, if that is given."""
    directory.mkdir(exist_ok=True)
    policy = table(5)
    config = PolicyConfig(kind="dpo", steps=6, batch_size=6, kl_coef=BETA, dpo={"online": True, "learning_rate": 0.1})
    scored = 0

    def score(completion: Completion) -> float:
        nonlocal scored
        if until is not None and scored == 12 * until:
            raise KeyboardInterrupt
        scored += 1
        return words(completion)

    engine = LocalEngine(SamplingParams(0.8, max_new_tokens=4))
    setup = setups.online(policy, table(), engine, scoring(score), PROMPTS, budget=40, seed=3)
    journal, env = DirectoryJournal(directory, lambda path: policy), Env(checkpoint_seconds=0)
    driver.drive(online_dpo, config, setup, journal, env, what="online dpo")
    return policy.model.table.detach()


@pytest.mark.parametrize("killed", [1, 4])
def test_resumed_it_ends_as_if_nothing_had_happened(tmp_path: Path, killed: int) -> None:
    whole = drive(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        drive(tmp_path / "killed", killed)
    assert torch.equal(drive(tmp_path / "killed"), whole)
    for log in (METRICS, ROLLOUTS):
        one, two = (tmp_path / name / log for name in ("whole", "killed"))
        assert one.read_bytes() == two.read_bytes()


def test_one_seed_is_one_result() -> None:
    assert torch.equal(Run(steps=2).moved, Run(steps=2).moved)
    assert not torch.equal(Run(steps=2).moved, Run(steps=2, seed=4).moved)
