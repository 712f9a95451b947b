"""The nano lab in memory: the recipe `nano` without files, so that hundreds of runs can be compared.

    from trueward import nano

    found = nano.lab(seed=0)
    for row in nano.climb(found, kl_coef=0.0, steps=150):
        print(row["step"], row["truth"], row["proxy"], row["kl"])

The same loops, losses and draws as `trueward run nano`, so that a seed's rows are those of its evaluations.jsonl.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from trueward import config
from trueward.algorithms import best_of_n, dpo, grpo, online_dpo, ppo
from trueward.algorithms import reward_model as fit
from trueward.algorithms import sft as imitate
from trueward.batches import Rollout, Step
from trueward.config import Policy, Recipe
from trueward.data import nano as text
from trueward.data import reviews
from trueward.engines.sampler import Sampling, sample
from trueward.instruments.gauge import Gauge, Truth
from trueward.instruments.outliers import at_home
from trueward.models import loading
from trueward.models.loading import Network
from trueward.models.schedule import generator, seed_for
from trueward.models.tabular import BagOfWords
from trueward.records import Comparison, Completion, Prompt
from trueward.scorers import simulated
from trueward.scorers.distinct import DistinctWords
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale, Scorer, fit_scale, scores

CPU = torch.device("cpu")
REFERENCE_PROMPTS = 384  # as in the ladder: on so many prompts the SFT policy answers twice, to say what 0 and 1 are


@dataclass(frozen=True)
class Lab:
    """What every optimiser starts from, and what a reader may want to know of it. Look, don't touch."""

    recipe: Recipe
    reference: Network
    prompts: list[Prompt]
    held_out: list[Prompt]  # in the order in which looks take them
    answers: list[Completion]  # the reference's own, two to each prompt in turn
    comparisons: list[Comparison]
    examined: list[Comparison]  # those of the comparisons that the proxy was not fitted to
    flips: float  # how often the annotators chose the answer of the lower utility; equal utilities count half
    proxy: RewardModel
    truth: Truth

    @property
    def seed(self) -> int:
        return self.recipe.seed


def lab(seed: int = 0, comparisons: int | None = None, overrides: Sequence[str] = ()) -> Lab:
    """The lower rungs of the recipe `nano`: reference, comparisons, proxy. `overrides` are those of `--set`."""
    more = [f"seed={seed}", *([] if comparisons is None else [f"comparisons.count={comparisons}"])]
    recipe = config.read("nano", [*more, *overrides])
    reference = loading.causal(recipe.sft.model, seed, CPU)
    reference.model.requires_grad_(False)
    prompts, held_out = split_prompts(recipe)
    draw = partial(_draw, recipe)

    picked = torch.randperm(len(prompts), generator=generator(seed, "reference prompts"))[:REFERENCE_PROMPTS]
    twice = [prompts[i] for i in picked.tolist() for _ in range(2)]
    answers = draw(reference, twice, generator(seed, "reference")).completions

    annotator: Scorer = DistinctWords(text.liked(recipe.comparisons.annotator))
    if bias := recipe.comparisons.length_bias:
        annotator = simulated.LikesLength(annotator, bias)
    found, flips = _compare(recipe, reference, annotator, answers, prompts)
    unseen = [reviews.fraction("examined:" + c.prompt.id) < recipe.reward.held_out for c in found]
    fitted = [c for c, out in zip(found, unseen, strict=True) if not out]
    proxy = fit_proxy(recipe, reference, fitted, answers)

    name = recipe.evaluation.truths[0]
    judge = DistinctWords(text.liked(name))
    scale = fit_scale(scores(judge, answers).reshape(-1, 2), name)
    return Lab(
        recipe=recipe,
        reference=reference,
        prompts=prompts,
        held_out=held_out,
        answers=answers,
        comparisons=found,
        examined=[c for c, out in zip(found, unseen, strict=True) if out],
        flips=flips,
        proxy=proxy,
        truth=Truth(name, judge, scale),
    )


def split_prompts(recipe: Recipe) -> tuple[list[Prompt], list[Prompt]]:
    """Prompts to train on, and held-out ones in the seed's order."""
    every = [Prompt(text=t) for t in text.prompts()]
    out = [reviews.held_out(p.text, recipe.data.held_out) for p in every]
    held_out = [p for p, o in zip(every, out, strict=True) if o]
    order = torch.randperm(len(held_out), generator=generator(recipe.seed, "held-out prompts")).tolist()
    return [p for p, o in zip(every, out, strict=True) if not o], [held_out[i] for i in order]


def fit_proxy(
    recipe: Recipe, reference: Network, comparisons: Sequence[Comparison], answers: Sequence[Completion]
) -> RewardModel:
    """A bag of words fitted to the comparisons, on the scale of the reference's answers."""
    table = reference.model.config
    network = Network(BagOfWords(table.vocab_size, table.max_position_embeddings), reference.tokenizer)
    budget = recipe.runtime.micro_batch_tokens
    loop = fit.train(
        recipe.reward,
        network=network,
        comparisons=comparisons,
        state=fit.start(recipe.reward, network),
        seed=recipe.seed,
        micro_batch_tokens=budget,
    )
    for _ in loop:
        pass
    network.model.requires_grad_(False)
    raw = RewardModel(network, Scale(0.0, 1.0), budget)
    if not recipe.reward.normalize:
        return raw
    return RewardModel(network, fit_scale(raw.raw(answers).reshape(-1, 2), "the reward model"))


def climb(
    lab: Lab,
    *,
    every: int | None = None,
    prompts: int | None = None,
    scorer: Scorer | None = None,
    **changes: Any,
) -> list[dict[str, Any]]:
    """One run of an optimiser: a look's figures every so many steps, with the keys of evaluations.jsonl but the seconds,
    what moved, and the verdict so far (`instruments.verdict.judge` gives it from the rows).

    `changes` are fields of [policy], e.g. `kind="dpo"`, `kl_coef=0.0`, `steps=200`; what they leave is the recipe's.
    `scorer` is optimised in place of the proxy, in SDs as it is; the proxy is still what is measured, and PPO's value
    network still starts from it. With `kind="best_of_n"` there is one row, and its KL is the bound log n − (n−1)/n.
    """
    policy_config = Policy.model_validate({**lab.recipe.policy.model_dump(), **changes})
    recipe = lab.recipe.model_copy(update={"policy": policy_config})
    instrument = gauge(lab)
    looked_at = lab.held_out[: prompts or recipe.evaluation.look_prompts]
    paid = scorer or lab.proxy
    draw = partial(_draw, recipe)
    if policy_config.kind == "best_of_n":
        n = policy_config.best_of_n.n
        choose = best_of_n.sampler(n, paid, draw, policy_config.missing_eos_penalty)
        asked = lab.held_out[::-1][: prompts or recipe.evaluation.prompts]  # as the ladder's evaluation
        row = replace(instrument, choose=choose).measure(lab.reference, asked, "evaluation", "policy").row
        return [{"step": 0, **row, "kl": round(best_of_n.kl(n), 5), "kl_se": None, "kl_k1": None, "kl_k1_se": None}]
    policy = _copy(lab.reference)
    numbers, total, loop = _loop(lab, recipe, policy, paid)

    def look(step: int) -> dict[str, Any]:
        row = instrument.measure(policy, looked_at, "step", step).row
        return {"step": step, **row, "kl_coef": numbers.get("kl_coef", policy_config.kl_coef)}

    rows = [look(0)]
    for step in loop:
        if step.number % (every or recipe.evaluation.every) == 0 or step.number == total:
            rows.append(look(step.number))
    return rows


def gauge(lab: Lab) -> Gauge:
    """The instrument that `climb` looks with."""
    return Gauge(
        reference=lab.reference,
        proxy=lab.proxy,
        truths=[lab.truth],
        sample=partial(_draw, lab.recipe),
        temperature=lab.recipe.sampler.temperature,
        seed=lab.seed,
        micro_batch_tokens=lab.recipe.runtime.micro_batch_tokens,
        outliers=at_home(lab.proxy, lab.answers),
    )


def _loop(lab: Lab, recipe: Recipe, policy: Network, scorer: Scorer) -> tuple[dict[str, float], int, Iterator[Step]]:
    """The state's numbers, how many steps there are, and the training loop of the recipe's kind."""
    settings, seed, budget = recipe.policy, recipe.seed, recipe.runtime.micro_batch_tokens
    draw = partial(_draw, recipe)
    shared: dict[str, Any] = {"policy": policy, "seed": seed, "micro_batch_tokens": budget}
    online: dict[str, Any] = {
        **shared,
        "reference": lab.reference,
        "sample": draw,
        "scorer": scorer,
        "prompts": lab.prompts,
        "temperature": recipe.sampler.temperature,
    }
    if settings.kind == "ppo":
        critic = ppo.Critic(_copy(lab.proxy.network), lab.proxy.scale)
        if settings.critic.start == "zero":
            table = lab.reference.model.config
            blank = BagOfWords(table.vocab_size, table.max_position_embeddings)
            critic = ppo.Critic(Network(blank, lab.reference.tokenizer), Scale(0.0, lab.proxy.scale.sd))
        state = ppo.start(settings, policy, critic)
        return state.numbers, settings.steps, ppo.train(settings, critic=critic, state=state, **online)
    if settings.kind in ("grpo", "rloo"):
        state = grpo.start(settings, policy)
        longest = recipe.sampler.max_new_tokens
        return state.numbers, settings.steps, grpo.train(settings, longest=longest, state=state, **online)
    if settings.kind == "dpo" and settings.dpo.online:
        state = online_dpo.start(settings, policy)
        return state.numbers, settings.steps, online_dpo.train(settings, state=state, **online)
    if settings.kind == "dpo":
        unseen = {id(c) for c in lab.examined}
        data = dpo.pairs(lab.reference, [c for c in lab.comparisons if id(c) not in unseen], budget)
        state = dpo.start(settings, policy)
        return state.numbers, settings.steps, dpo.train(settings, data=data, state=state, **shared)
    best = best_of_n.sampler(settings.best_of_n.n, scorer, draw, settings.missing_eos_penalty)
    chosen = [lab.prompts[i % len(lab.prompts)] for i in range(settings.best_of_n.prompts)]
    found: list[Completion] = []
    for start in range(0, len(chosen), 200):
        found += best(lab.reference, chosen[start : start + 200], generator(seed, "best of n", start)).completions
    once = recipe.sft.model_copy(update={"epochs": 1.0})
    state = imitate.start(once, policy)
    loop = imitate.train(once, demonstrations=found, state=state, **shared)
    return state.numbers, imitate.steps(once, len(found)), loop


def _compare(
    recipe: Recipe, reference: Network, annotator: Scorer, answers: list[Completion], prompts: list[Prompt]
) -> tuple[list[Comparison], float]:
    seed, settings = recipe.seed, recipe.comparisons
    own = scores(annotator, answers).reshape(-1, 2)
    temperature = simulated.temperature_for(settings.agreement, own[:, 0] - own[:, 1])
    order = torch.randperm(len(prompts), generator=generator(seed, "compared prompts")).tolist()
    chosen = [prompts[order[i % len(order)]] for i in range(settings.count)]
    drawn = _draw(recipe, reference, [p for p in chosen for _ in range(2)], generator(seed, "comparisons")).completions
    utilities = scores(annotator, drawn).reshape(-1, 2)
    pairs = list(zip(drawn[::2], drawn[1::2], strict=True))
    votes = np.random.default_rng(seed_for(seed, "votes"))
    found, _ = simulated.compare(pairs, utilities, temperature, settings.tie_width, votes)
    worth = scores(annotator, [side for c in found for side in c.completions()]).reshape(-1, 2)
    gap, chose_first = worth[:, 0] - worth[:, 1], np.array([c.probability for c in found])
    wrong = np.where(gap == 0, 0.5, np.where(gap > 0, 1 - chose_first, chose_first))
    return found, float(wrong.mean())


def _draw(recipe: Recipe, network: Network, prompts: Sequence[Prompt], draws: torch.Generator) -> Rollout:
    how = recipe.sampler
    return sample(network, prompts, Sampling(how.temperature, how.max_new_tokens, how.rows), draws)


def _copy(network: Network) -> Network:
    """The same weights, to be trained."""
    model = deepcopy(network.model)
    model.requires_grad_(True)
    return Network(model, network.tokenizer)
