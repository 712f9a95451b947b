"""Online DPO's loop on a table: step zero, its labels, micro-batches, temperature, what it logs, and resuming."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trueward.algorithms import online_dpo
from trueward.batches import Rollout, Step
from trueward.config import PolicyConfig
from trueward.models import heads
from trueward.models.network import Network
from trueward.models.tabular import TabularPolicy, tokenizer
from trueward.progress import Progress
from trueward.records import Completion, Prompt, Score
from trueward.sampling.sampler import SamplingParams, sample
from trueward.seeds import seed_for
from trueward.training import driver
from trueward.training.state import State

PROMPTS = [Prompt(text=text) for text in ("a", "b b", "c a b", "b", "c", "a c")]
BETA, PENALTY = 0.3, 0.5
Rule = Callable[[Completion], float]
LOSSES = ["sigmoid", "ipo", "robust", "simpo"]


def network(seed: int = 0) -> Network:
    model = TabularPolicy(6, 2, 12).double()
    torch.nn.init.normal_(model.table, generator=torch.Generator().manual_seed(seed))
    model.table.data[:, :2] = -1e4
    return Network(model, tokenizer(["a", "b", "c"], 12))


def words(completion: Completion) -> float:
    return float(completion.response.count("a")) - 0.3 * completion.response.count("b")


def write(temperature: float, network: Network, prompts: Sequence[Prompt], draw: torch.Generator) -> Rollout:
    return sample(network, prompts, SamplingParams(temperature, max_new_tokens=4), draw)


class Run:
    """A loop with plain descent at rate 1, so that a step is the gradient; from the reference, or from `policy`."""

    def __init__(
        self,
        score: Rule = words,
        budget: int = 10_000,
        policy: Network | None = None,
        temperature: float = 1.0,
        reverse: bool = False,
        seed: int = 3,
        dpo: Any = None,
        **changes: Any,
    ) -> None:
        self.policy = policy or network()
        self.before = self.policy.model.table.detach().clone()
        settings = {"kind": "dpo", "steps": 1, "batch_size": 6, "kl_coef": BETA, "missing_eos_penalty": PENALTY}
        more = {"warmup": 0, "max_grad_norm": 1e9, "dpo": {"online": True, "learning_rate": 1.0, **(dpo or {})}}
        self.config = PolicyConfig(**{**settings, **more, **changes})
        self.state = State(
            {"policy": self.policy.model}, {"policy": torch.optim.SGD(self.policy.model.parameters(), lr=1.0)}
        )
        self.rollouts: list[Rollout] = []
        self.draws: list[int] = []

        def drawn(network: Network, prompts: Sequence[Prompt], draw: torch.Generator) -> Rollout:
            self.draws.append(draw.initial_seed())
            rollout = write(temperature, network, prompts, draw)
            if reverse:  # the same answers in another order: pairs backwards, and sides swapped
                rows = torch.arange(len(prompts) - 1, -1, -1)
                back = [rollout.completions[i] for i in rows.tolist()]
                rollout = Rollout(rollout.tokens.take(rows), rollout.logprobs[rows], back)
            self.rollouts.append(rollout)
            return rollout

        loop = online_dpo.train(
            self.config,
            policy=self.policy,
            reference=network(),
            sample=drawn,
            scorer=lambda completions: [Score(score=score(c)) for c in completions],
            prompts=PROMPTS,
            temperature=temperature,
            state=self.state,
            seed=seed,
            micro_batch_tokens=budget,
        )
        self.steps: list[Step] = list(loop)

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
    assert run.draws == [seed_for(3, "rollout", turn) for turn in (0, 1)], "fresh answers every time"
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
    model = network().model
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
    tilted = network()
    one = {"a": 0.7, "b": -0.4, "c": 0.2, "": 0.1}
    with torch.no_grad():
        tilted.model.table[:, 2:] += torch.tensor([one[w] for w in ("", "a", "b", "c")]).double() / BETA

    def short(network: Network, prompts: Sequence[Prompt], draw: torch.Generator) -> Rollout:
        return sample(network, prompts, SamplingParams(max_new_tokens=1), draw)

    for labels, still in (("soft", True), ("hard", False)):
        state = State({"policy": tilted.model}, {"policy": torch.optim.SGD(tilted.model.parameters(), lr=1.0)})
        config = PolicyConfig(
            kind="dpo",
            steps=1,
            batch_size=6,
            kl_coef=BETA,
            missing_eos_penalty=0,
            warmup=0,
            dpo={"online": True, "labels": labels},
        )
        (step,) = online_dpo.train(
            config,
            policy=tilted,
            reference=network(),
            sample=short,
            scorer=lambda completions: [Score(score=one[c.response.strip()]) for c in completions],
            prompts=PROMPTS,
            temperature=1.0,
            state=state,
            seed=1,
            micro_batch_tokens=10_000,
        )
        assert step.metrics["objective/equal_pairs"] < 1
        assert (step.metrics["policy/grad_norm"] < 1e-7) == still


@pytest.mark.parametrize("labels", ["soft", "hard"])
@pytest.mark.parametrize("loss", LOSSES)
def test_neither_micro_batches_nor_order_change_anything(loss: str, labels: str) -> None:
    dpo = {"loss": loss, "labels": labels, "label_smoothing": 0.1}
    whole = Run(policy=network(5), dpo=dpo)
    assert whole.moved.isfinite().all()
    assert whole.moved.abs().max() > 1e-3
    for other in (
        Run(budget=1, policy=network(5), dpo=dpo),
        Run(budget=30, policy=network(5), dpo=dpo),
        Run(budget=30, policy=network(5), dpo=dpo, reverse=True),
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
    sure = network()
    with torch.no_grad():
        sure.model.table[:] = -1e4
        sure.model.table[:, 3] = 0
    run = Run(lambda c: float(next(calls)), policy=sure)
    assert run.steps[0].metrics["objective/equal_pairs"] == 1
    assert run.moved.abs().max() < 1e-9


def test_what_it_logs() -> None:
    run = Run(policy=network(5), steps=1)
    (step,), (rollout,) = run.steps, run.rollouts
    cut = torch.tensor([not c.finished for c in rollout.completions])
    assert 0 < cut.sum() < 12
    paid = torch.tensor([words(c) for c in rollout.completions]).double() - PENALTY * cut
    anchor = heads.response_logprobs(network().model, rollout.tokens).detach()
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
        return Run(policy=network(5), **{**shared, **changes}).policy.model.table.detach()

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
    """Six steps of Adam through the driver, a checkpoint at each; killed after `until` steps if that is given."""
    policy = network(5)
    config = PolicyConfig(kind="dpo", steps=6, batch_size=6, kl_coef=BETA, dpo={"online": True, "learning_rate": 0.1})
    state = online_dpo.start(config, policy)

    def judge(completions: Sequence[Completion]) -> list[Score]:
        if until is not None and state.step >= until:
            raise KeyboardInterrupt
        return [Score(score=words(c)) for c in completions]

    driver.drive(
        lambda: online_dpo.train(
            config,
            policy=policy,
            reference=network(),
            sample=lambda *rest: write(0.8, *rest),
            scorer=judge,
            prompts=PROMPTS,
            temperature=0.8,
            state=state,
            seed=3,
            micro_batch_tokens=40,
        ),
        state=state,
        directory=directory,
        total=6,
        what="online dpo",
        progress=Progress(),
        checkpoint_seconds=0,
    )
    return policy.model.table.detach()


@pytest.mark.parametrize("killed", [1, 4])
def test_resumed_it_ends_as_if_nothing_had_happened(tmp_path: Path, killed: int) -> None:
    (tmp_path / "whole").mkdir()
    whole = drive(tmp_path / "whole")
    (tmp_path / "killed").mkdir()
    with pytest.raises(KeyboardInterrupt):
        drive(tmp_path / "killed", killed)
    assert torch.equal(drive(tmp_path / "killed"), whole)
    for log in ("metrics.jsonl", "rollouts.jsonl.gz"):
        one, two = (tmp_path / name / log for name in ("whole", "killed"))
        assert one.read_bytes() == two.read_bytes()


def test_one_seed_is_one_result() -> None:
    assert torch.equal(Run(steps=2).moved, Run(steps=2).moved)
    assert not torch.equal(Run(steps=2).moved, Run(steps=2, seed=4).moved)
