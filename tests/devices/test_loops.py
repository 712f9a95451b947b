"""Every loop on a device that isn't there: nothing that a real one would refuse, few waits, the numbers of the CPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import setups
import torch
from networks import FAMILIES, FAST, network
from pretend import Pretended, listed, pretending
from torch import Tensor

from trueward.algorithms import best_of_n, dpo, grpo, online_dpo, ppo, reward_model, sft
from trueward.batches import Rollout
from trueward.config import LoraConfig, PolicyConfig, RewardConfig, SftConfig
from trueward.data import toy
from trueward.data.collate import Collator
from trueward.evaluation.evaluator import Evaluator
from trueward.evaluation.truth import Truth
from trueward.models import lora, precision
from trueward.models.fast import packed
from trueward.models.frozen_layers import ValueHead
from trueward.models.network import Network
from trueward.models.state_cache import StateCache
from trueward.records import Comparison, Completion, Prompt, Response
from trueward.sampling import sampler
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine
from trueward.sampling.sampler import SamplingParams
from trueward.scorers.ensemble import Ensemble, build_proxy
from trueward.scorers.judge.local import Local
from trueward.scorers.judge.question import JudgeQuestion
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale
from trueward.training.critic import Critic

LONGEST = 18  # tokens of an answer: more than are drawn between two looks at which rows have ended
BUDGET = 140  # tokens: several micro-batches a step
COUNTED = ("clipfrac_avg",)  # shares of few tokens: another rounding moves them by a whole token
WAITS = 4  # of the host, an optimiser step
DEMONSTRATIONS = [
    Completion(prompt=Prompt(text=prompt), response=response, finished=i % 3 != 0)
    for i, (prompt, response) in enumerate(toy.reviews(12, seed=5))
]
PROMPTS = list({c.prompt.text: c.prompt for c in DEMONSTRATIONS}.values())[:8]
THREE = ("the film is warm .", "the film", "a slow story .")
COMPARISONS = [
    Comparison(
        prompt=prompt,
        first=Response(id=str(i), text=THREE[i], finished=i != 1),
        second=Response(id=str(j), text=THREE[j], finished=j != 1),
        probability=[1.0, 0.0, 0.5][(i + j + n) % 3],
        source="test",
    )
    for n, prompt in enumerate(PROMPTS)
    for i in range(3)
    for j in range(i)
]
SCORE = setups.scoring(setups.words)


@dataclass
class Case:
    """A loop's networks, and how it is run: what it gives is compared with the CPU's."""

    networks: dict[str, Network]
    run: Callable[[], Any]
    updates: int = 0
    """Optimiser steps."""
    drawn: int = 0
    """Tokens that the sampler draws at most, one after the other."""
    samplings: int = 0


def online(family: str, kind: Any, config: PolicyConfig, scorer: Any = SCORE, sync_every: int = 1, **more: Any) -> Case:
    policy, reference = network(family, 0), network(family, 1)
    networks = {"policy": policy, "reference": reference, **more.pop("networks", {})}
    engine = LocalEngine(SamplingParams(max_new_tokens=LONGEST, max_num_seqs=4), sync_every)
    if kind is ppo:
        more["critic"] = critic(family, networks, config)
    setup = setups.online(policy, reference, engine, scorer, PROMPTS, budget=BUDGET, **more)
    parts = 1 if kind is online_dpo else config.epochs * config.minibatches
    answers = config.batch_size * (2 if kind is online_dpo else 1)
    return Case(
        networks,
        lambda: setups.run(kind, config, setup).steps,
        updates=config.steps * parts,
        drawn=config.steps * LONGEST * math.ceil(answers / 4),
        samplings=config.steps,
    )


def critic(family: str, networks: dict[str, Network], config: PolicyConfig) -> Critic:
    if config.critic.trunk == "shared":
        policy = networks["policy"]
        networks["value"] = Network(ValueHead(policy.model), policy.tokenizer)
        return Critic(networks["value"], Scale(0.0, 1.0), policy.model)
    networks["value"] = network(family, 2, "SequenceClassification")
    return Critic(networks["value"], Scale(0.1, 1.2))


def supervised(family: str) -> Case:
    policy = network(family, 0)
    setup = setups.supervised(policy, DEMONSTRATIONS, budget=BUDGET)
    return Case({"policy": policy}, lambda: setups.run(sft, SftConfig(batch_size=6, epochs=1), setup).steps, updates=2)


def held_out(family: str) -> Case:
    policy = network(family, 0)
    return Case({"policy": policy}, lambda: sft.held_out_nll(policy, DEMONSTRATIONS, BUDGET), updates=1)


def ranking(family: str, budget: int = BUDGET) -> Case:
    made = network(family, 0, "SequenceClassification")
    setup, config = setups.ranking(made, COMPARISONS, budget=budget), RewardConfig(batch_size=4, epochs=1)
    return Case({"reward": made}, lambda: setups.run(reward_model, config, setup).steps, updates=2)


def on_states(family: str) -> Case:
    """The top layer alone learns, in two passes over states that are kept."""
    made = network(family, 0, "SequenceClassification")
    config = RewardConfig(batch_size=4, epochs=2, trainable_layers=1)

    def run() -> Any:
        sides = [side for row in COMPARISONS for side in row.completions()]
        states = StateCache(made.model, 1, Collator(made.tokenizer, made.context).tokens(sides))
        if packed.covers(made.model):
            states.fill(BUDGET)
        setup = setups.ranking(made, COMPARISONS, budget=25)
        kept = replace(setup, states=states if packed.covers(made.model) else None)
        return setups.run(reward_model, config, kept).steps

    return Case({"reward": made}, run, updates=4)


def members(family: str) -> Case:
    """An ensemble, its scale, its scores, and what features say of its states."""
    made = [network(family, seed, "SequenceClassification") for seed in (0, 1, 2)]

    def run() -> Any:
        proxy = build_proxy(RewardConfig(members=3, combine="worst"), made, DEMONSTRATIONS, BUDGET)
        assert isinstance(proxy, Ensemble)
        scored, states = proxy.judge_with_states(DEMONSTRATIONS)
        return [scored.score, scored.parts["member_sd"], states, proxy.raw(DEMONSTRATIONS)]

    return Case({f"member{i}": m for i, m in enumerate(made)}, run, updates=3)


def offline(family: str) -> Case:
    policy, reference = network(family, 0), network(family, 1)
    config = PolicyConfig(kind="dpo", steps=2, batch_size=6, kl_coef=0.1)

    def run() -> Any:
        pairs = dpo.reference_pairs(reference, COMPARISONS, BUDGET)
        steps = setups.run(dpo, config, setups.offline(policy, pairs, budget=BUDGET)).steps
        return [steps, dpo.pair_accuracy(policy, pairs, BUDGET)]

    return Case({"policy": policy, "reference": reference}, run, updates=2)


def chosen(family: str) -> Case:
    policy, reward = network(family, 0), network(family, 3, "SequenceClassification")
    params = SamplingParams(max_new_tokens=LONGEST, max_num_seqs=16)
    scorer = RewardModel(reward, Scale(0.0, 1.0), BUDGET)
    best = best_of_n.sampler(4, scorer, lambda n, p, d: sampler.sample(n, p, params, d), 0.5)

    def run() -> Rollout:
        return best(policy, PROMPTS, Draws.purpose(1, "best"))

    return Case({"policy": policy, "reward": reward}, run, drawn=2 * LONGEST, samplings=1, updates=1)


def evaluated(family: str) -> Case:
    policy, reference, base = network(family, 0), network(family, 1), network(family, 2)
    reward = network(family, 3, "SequenceClassification")
    params = SamplingParams(max_new_tokens=LONGEST)
    evaluator = Evaluator(
        reference=reference,
        proxy=RewardModel(reward, Scale(0.0, 1.0), BUDGET),
        truths=[Truth("truth", SCORE, Scale(0.0, 1.0))],
        sample=lambda n, p, d: sampler.sample(n, p, params, d),
        temperature=1.0,
        seed=1,
        micro_batch_tokens=BUDGET,
        base=base,
    )
    networks = {"policy": policy, "reference": reference, "base": base, "reward": reward}

    def run() -> Any:
        measured = evaluator.measure(policy, PROMPTS, "test", by_token=True)
        return [measured.row, measured.samples]

    return Case(networks, run, drawn=3 * LONGEST, samplings=3, updates=1)


def judged(family: str) -> Case:
    made = network(family, 0)
    questions = [JudgeQuestion(text, ("warm", "slow", "and slow ,")) for text in ("the film is", "a story")]
    return Case({"judge": made}, lambda: [r.logps for r in Local(made, BUDGET).ask(questions)], updates=1)


def adapted(case: Case) -> Case:
    for number, made in enumerate(case.networks.values()):
        lora.adapt(made.model, LoraConfig(rank=2), number)
    return case


def rewarded(family: str) -> Case:
    """PPO against a reward model, importance weights and demonstrations beside it."""
    reward = network(family, 3, "SequenceClassification")
    config = PolicyConfig(
        steps=1, batch_size=6, minibatches=2, importance_sampling_cap=2.0, ptx_coef=0.1, target_kl=0.1
    )
    scorer = RewardModel(reward, Scale(0.0, 1.0), BUDGET)
    return online(family, ppo, config, scorer, 2, networks={"reward": reward}, demonstrations=DEMONSTRATIONS)


def short(kind: str = "ppo", **settings: Any) -> PolicyConfig:
    return PolicyConfig(**{"kind": kind, "steps": 1, "batch_size": 6, "minibatches": 2, **settings})


CASES: dict[str, Callable[[str], Case]] = {
    "sft": supervised,
    "held out": held_out,
    "reward model": ranking,
    "reward model, each part read twice": lambda family: ranking(family, 25),
    "reward model, the top layer on states that are kept": on_states,
    "ensemble": members,
    "ppo": lambda family: online(family, ppo, short()),
    "ppo, shared trunk": lambda family: online(family, ppo, short(critic={"trunk": "shared"})),
    "ppo, off policy": rewarded,
    "ppo, one layer": lambda family: online(family, ppo, short(trainable_layers=1)),
    "grpo": lambda family: online(family, grpo, short("grpo", group={"size": 3, "kl": "k3", "std": "population"})),
    "rloo": lambda family: online(family, grpo, short("rloo", group={"size": 3, "drop_equal_groups": True})),
    "dpo": offline,
    "online dpo": lambda family: online(family, online_dpo, short("dpo", batch_size=3, dpo={"online": True})),
    "best of n": chosen,
    "evaluation": evaluated,
    "judge": judged,
    "sft, lora": lambda family: adapted(supervised(family)),
    "ppo, lora": lambda family: adapted(online(family, ppo, short())),
}
LOW = [
    *(
        ("llama", what)
        for what in ("reward model, each part read twice", "ppo, shared trunk", "ppo, off policy", "ppo, one layer")
    ),
    *(("llama", what) for what in ("grpo", "dpo", "evaluation", "sft, lora", "ppo, lora")),
    *(("gpt2", what) for what in ("sft", "ppo, off policy", "evaluation", "sft, lora")),
]
"""Cases that are run in bfloat16, too."""
ON_MPS = ("sft, lora", "reward model", "ppo, off policy", "evaluation", "judge", "ensemble")
OTHERS = [(family, "ppo, off policy") for family in FAST]
ROUNDED = ("mistral", "qwen3", "gemma3_text", "phi3")
"""What the fast paths cover beside Llama: sampler, learner, reward model, values, importance weights, demonstrations. Some of
them in bfloat16, too."""
NO_BOUND = {"judge", "held out"}  # few, and outside of the loops


@contextmanager
def on(kind: str, case: Case) -> Iterator[Pretended]:
    with pretending(kind) as device:
        for made in case.networks.values():
            made.model.to(torch.device(kind))
        device.reset()
        yield device


def numbers(value: Any) -> Iterator[float]:
    """All numbers of what a loop gave."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        yield from value.double().flatten().tolist()
    elif isinstance(value, np.ndarray):
        yield from value.astype(float).ravel().tolist()
    elif isinstance(value, dict):
        for name, part in value.items():
            if not name.endswith(COUNTED):
                yield from numbers(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, bool | int | float):
        yield float(value)
    elif hasattr(value, "__dataclass_fields__"):
        yield from numbers([getattr(value, name) for name in value.__dataclass_fields__])


def weights(networks: dict[str, Network]) -> list[Tensor]:
    """Of each network, in one row. GPT-2's biases of keys are left out: a softmax doesn't change with them, so the gradient
    is rounding, of which Adam makes steps of full size."""
    rows = []
    for made in networks.values():
        values = {name: p.detach().flatten() for name, p in made.model.named_parameters()}
        thirds = {name: v.chunk(3) for name, v in values.items() if name.endswith("attn.c_attn.bias")}
        kept = [torch.cat([thirds[n][0], thirds[n][2]]) if n in thirds else v for n, v in values.items()]
        rows.append(torch.cat(kept).cpu())
    return rows


def texts(value: Any) -> list[str]:
    found: Sequence[Any] = value.completions if isinstance(value, Rollout) else value if isinstance(value, list) else []
    return [c.response for step in found for c in getattr(step, "completions", [step]) if isinstance(c, Completion)]


@pytest.mark.parametrize(("family", "what"), [*((family, what) for what in CASES for family in FAMILIES), *OTHERS])
def test_on_a_gpu(what: str, family: str) -> None:
    if family == "gpt2" and what == "ppo, one layer":
        pytest.skip("its lowest layers are computed anew")
    there, here = CASES[what](family), CASES[what](family)
    with on("cuda", there) as device:
        given = there.run()
        waits, launches, copied = device.waited, device.launches, device.to_device
        after = weights(there.networks)
    assert not device.faults, listed(device.faults)
    expected = here.run()

    assert texts(given) == texts(expected)
    np.testing.assert_allclose(list(numbers(given)), list(numbers(expected)), rtol=2e-3, atol=2e-4)
    for ours, theirs in zip(after, weights(here.networks), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert launches > 0
    assert copied > 0
    if family != "gpt2" and what not in NO_BOUND:  # the others' own code looks at its masks
        most = WAITS * max(1, there.updates) + there.drawn / sampler.UNREAD + 2 * there.samplings
        assert waits <= most, f"{waits} > {most}\n{listed(device.waits)}"


@pytest.mark.parametrize(("family", "what"), [*LOW, *((family, "ppo, off policy") for family in ROUNDED)])
def test_on_a_gpu_in_bfloat16(family: str, what: str) -> None:
    """No two types meet in an operator, and none of the host's waits is added; weights that learn stay float32."""
    case = CASES[what](family)
    for name, made in case.networks.items():
        body = made.model if hasattr(made.model, "config") else None  # a value head on the policy's states
        precision.settle(body, torch.bfloat16)
        if body is not None and name in ("reference", "base", "judge") and "lora" not in what:
            precision.keep(body.requires_grad_(False))
    with on("cuda", case) as device:
        given = case.run()
        waits = device.waited
    assert not device.faults, listed(device.faults)
    assert all(math.isfinite(number) for number in numbers(given))
    for made in case.networks.values():
        assert all(p.dtype == torch.float32 for p in made.model.parameters() if p.requires_grad)
    if family != "gpt2" and what not in NO_BOUND:
        most = WAITS * max(1, case.updates) + case.drawn / sampler.UNREAD + 2 * case.samplings
        assert waits <= most, f"{waits} > {most}\n{listed(device.waits)}"


@pytest.mark.parametrize(("family", "what"), [*(("llama", what) for what in ON_MPS), ("gemma2", "ppo, off policy")])
def test_on_mps(family: str, what: str) -> None:
    """Apple's GPUs have no float64."""
    case = CASES[what](family)
    with on("mps", case) as device:
        case.run()
    assert not device.faults, listed(device.faults)


def test_a_row_that_has_ended_draws_on_unnoticed_and_nothing_of_that_is_kept() -> None:
    """On the device the host looks every 16 tokens; the answers are those of looking every time, whatever their lengths."""
    made = network("llama", 0)
    params = SamplingParams(max_new_tokens=37, max_num_seqs=3)
    expected = sampler.sample(made, PROMPTS, params, Draws.purpose(1, "rows"))
    lengths = expected.tokens.response_lengths
    assert lengths.min() < sampler.UNREAD < lengths.max()
    with pretending() as device:
        made.model.to("cuda")
        device.reset()
        rollout = sampler.sample(made, PROMPTS, params, Draws.purpose(1, "rows"))
    assert rollout.tokens.ids.equal(expected.tokens.ids)
    torch.testing.assert_close(rollout.logprobs, expected.logprobs, rtol=0, atol=1e-5)
    assert rollout.completions == expected.completions
