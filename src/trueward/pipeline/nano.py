"""The nano lab in memory: the recipe `nano` without files, so that hundreds of runs can be compared.

    from trueward import nano

    found = nano.lab(seed=0)
    for row in nano.climb(found, kl_coef=0.0, steps=150):
        print(row["step"], row["truth"], row["proxy"], row["kl"])

The same loops, losses and draws as `trueward run nano`, so that a seed's rows are those of its evaluations.jsonl.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from trueward import config, seeds
from trueward.algorithms import best_of_n, dpo, grpo, online_dpo, ppo
from trueward.algorithms import reward_model as fit
from trueward.algorithms import sft as imitate
from trueward.algorithms.relabel import Relabelling
from trueward.batches import Rollout, Step
from trueward.config import PolicyConfig, Recipe
from trueward.data import nano as text
from trueward.data import reviews
from trueward.evaluation.evaluator import Evaluator, Truth
from trueward.evaluation.outliers import fit_outliers
from trueward.evaluation.statistics import wilson
from trueward.evaluation.verdict_monitor import VerdictMonitor
from trueward.models import loading
from trueward.models.network import Network
from trueward.models.tabular import BagOfWords
from trueward.records import Comparison, Completion, Prompt
from trueward.sampling.sampler import SamplingParams, sample
from trueward.scorers import simulated
from trueward.scorers.ensemble import Proxy, build_proxy
from trueward.scorers.nano_utility import DistinctWords
from trueward.scorers.scorer import Scale, Scorer, fit_scale, scores
from trueward.scorers.shaping import SwappableScorer, shaped
from trueward.scorers.simulated import AnnotatorModel
from trueward.seeds import generator, seed_for
from trueward.training.state import State

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
    proxy: Proxy
    truth: Truth
    choosing: AnnotatorModel  # how they choose

    @property
    def seed(self) -> int:
        return self.recipe.seed


def lab(
    seed: int = 0, comparisons: int | None = None, overrides: Sequence[str] = (), **reward: str | float | None
) -> Lab:
    """The lower rungs of the recipe `nano`: reference, comparisons, proxy.

    `overrides` are those of `--set`; `reward` are fields of [reward], e.g. `members=5, combine="worst", resample=True`.
    """
    more = [f"seed={seed}", *([] if comparisons is None else [f"comparisons.count={comparisons}"])]
    more += [f"reward.{name}={str(value).lower()}" for name, value in reward.items() if value is not None]
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
    own = scores(annotator, answers).reshape(-1, 2)
    temperature = simulated.temperature_for(recipe.comparisons.agreement, own[:, 0] - own[:, 1])
    choosing = AnnotatorModel(annotator, temperature, recipe.comparisons.tie_width)
    found, flips = _compare(recipe, reference, choosing, prompts)
    unseen = [seeds.fraction("examined:" + c.prompt.id) < recipe.reward.held_out for c in found]
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
        choosing=choosing,
    )


def split_prompts(recipe: Recipe) -> tuple[list[Prompt], list[Prompt]]:
    """Prompts to train on, and held-out ones in the seed's order."""
    every = [Prompt(text=t) for t in text.prompts()]
    out = [reviews.held_out(p.text, recipe.data.held_out) for p in every]
    held_out = [p for p, o in zip(every, out, strict=True) if o]
    order = torch.randperm(len(held_out), generator=generator(recipe.seed, "held-out prompts")).tolist()
    return [p for p, o in zip(every, out, strict=True) if not o], [held_out[i] for i in order]


def fit_proxy(
    recipe: Recipe,
    reference: Network,
    comparisons: Sequence[Comparison],
    answers: Sequence[Completion],
    seed: int | None = None,
) -> Proxy:
    """A bag of words, or as many as the recipe says, fitted to the comparisons, on the scale of the reference's answers."""
    table = reference.model.config
    budget = recipe.runtime.micro_batch_tokens
    networks = []
    for member in range(recipe.reward.members):
        lesson = fit.member_plan(recipe.reward, comparisons, recipe.seed if seed is None else seed, member)
        network = Network(BagOfWords(table.vocab_size, table.max_position_embeddings), reference.tokenizer)
        loop = fit.train(
            lesson.config,
            network=network,
            comparisons=lesson.comparisons,
            state=fit.start(lesson.config, network),
            seed=lesson.seed,
            micro_batch_tokens=budget,
        )
        for _ in loop:
            pass
        networks.append(network)
    proxy = build_proxy(recipe.reward, networks, answers, budget)
    proxy.freeze()
    return proxy


def climb(
    lab: Lab,
    *,
    every: int | None = None,
    prompts: int | None = None,
    scorer: Scorer | None = None,
    relabel_every: int = 0,
    relabel: int = 200,
    judged: bool = False,
    **changes: Any,
) -> list[dict[str, Any]]:
    """One run of an optimiser: a look's figures every so many steps, with the keys of evaluations.jsonl but the seconds and
    what moved; the verdict so far and what it needs only if it is `judged`.

    `changes` are fields of [policy], e.g. `kind="dpo"`, `kl_coef=0.0`, `steps=200`; what they leave is the recipe's.
    `scorer` is optimised in place of the proxy, in SDs as it is; the proxy is still what is measured, and PPO's value
    network still starts from it. With `kind="best_of_n"` there is one row, and its KL is the bound log n − (n−1)/n.
    `relabel_every`: after every so many steps the annotators compare `relabel` pairs of the policy's answers, and the reward
    model is fitted again; the next look's row has what became of it under `relabel`.
    """
    if relabel_every:
        changes["relabel"] = {"every": relabel_every, "comparisons": relabel}
    policy_config = PolicyConfig.model_validate({**lab.recipe.policy.model_dump(), **changes})
    recipe = lab.recipe.model_copy(update={"policy": policy_config})
    every_refit = policy_config.relabel.every
    assert not (scorer and every_refit), "another scorer than the reward model is not fitted again"
    instrument = gauge(lab)
    looked_at = lab.held_out[: prompts or recipe.evaluation.step_prompts]
    paid = SwappableScorer(scorer or pay(lab, recipe, lab.proxy))
    draw = partial(_draw, recipe)
    if policy_config.kind == "best_of_n":
        n = policy_config.best_of_n.n
        choose = best_of_n.sampler(n, paid, draw, policy_config.missing_eos_penalty)
        asked = lab.held_out[::-1][: prompts or recipe.evaluation.final_prompts]  # as the ladder's evaluation
        row = replace(instrument, choose=choose).measure(lab.reference, asked, "evaluation", "policy").row
        return [{"step": 0, **row, "kl": round(best_of_n.kl(n), 5), "kl_se": None, "kl_k1": None, "kl_k1_se": None}]
    policy = _copy(lab.reference)
    state, total, loop = _loop(lab, recipe, policy, paid)
    numbers, changing = state.numbers, None
    if every_refit:

        def use(proxy: Proxy) -> None:
            nonlocal instrument
            instrument = replace(instrument, proxy=proxy, outliers=fit_outliers(proxy, lab.answers))
            paid.scorer = pay(lab, recipe, proxy)

        changing = _relabelling(lab, recipe, policy, use)
        loop = changing.between(lambda loop=loop: loop, state, every_refit, total)  # type: ignore[misc]
    told = 0

    def look(step: int) -> dict[str, Any]:
        nonlocal told
        row = instrument.measure(policy, looked_at, "step", step).row
        row |= {"kl_coef": numbers.get("kl_coef", policy_config.kl_coef)}
        if changing:
            row["relabel"], told = changing.rows[told:], len(changing.rows)
        return {"step": step, **row}

    best, peak, first_ratio = policy, -np.inf, None
    rows: list[dict[str, Any]] = []
    examined, least_fall = examination(lab) if judged else None, recipe.evaluation.least_fall
    judge = VerdictMonitor(instrument, policy, lambda: best, lab.held_out, len(looked_at), examined, least_fall)

    def add(row: dict[str, Any]) -> None:
        nonlocal best, peak
        rows.append({**row, **judge([*rows, row], first_ratio)[0]} if judged else row)
        if judged and row["step"] and row["truth"] > peak:
            best, peak = _copy(policy), row["truth"]

    add(look(0))
    for step in loop:
        first_ratio = step.metrics.get("val/ratio_first") if step.number == 1 else first_ratio
        if step.number % (every or recipe.evaluation.every) == 0 or step.number == total:
            add(look(step.number))
    return rows


def examination(lab: Lab) -> dict[str, Any]:
    """What the reward model's stage says of it: its accuracy on the comparisons that it was not fitted to."""
    decided = sum(c.probability != 0.5 for c in lab.examined)
    accuracy = fit.accuracy_on(lab.proxy, lab.examined)
    low, high = (0.0, 1.0) if accuracy is None else wilson(accuracy * decided, decided)
    return {"accuracy": accuracy, "accuracy_low": low, "accuracy_high": high}


def pay(lab: Lab, recipe: Recipe, proxy: Proxy) -> Scorer:
    """What the policy is paid: the proxy's score, shaped if the recipe says so."""
    return shaped(recipe.reward, proxy, lab.answers, lab.reference, partial(_draw, recipe), recipe.seed)


def _relabelling(lab: Lab, recipe: Recipe, policy: Network, use: Callable[[Proxy], None]) -> Relabelling:
    count, seed = recipe.policy.relabel.comparisons, recipe.seed
    unseen = {id(c) for c in lab.examined}
    draw = partial(_draw, recipe)
    return Relabelling(
        proxy=lab.proxy,
        known=[c for c in lab.comparisons if id(c) not in unseen],
        held_out=recipe.reward.held_out,
        ask=lambda step: simulated.sample_comparisons(
            draw, policy, lab.prompts, count, lab.choosing, seed, "relabel", step
        ),
        fit=lambda step, known: fit_proxy(recipe, lab.reference, known, lab.answers, seed_for(seed, "relabel", step)),
        examine=fit.accuracy_on,
        use=use,
    )


def gauge(lab: Lab) -> Evaluator:
    """The instrument that `climb` looks with."""
    return Evaluator(
        reference=lab.reference,
        proxy=lab.proxy,
        truths=[lab.truth],
        sample=partial(_draw, lab.recipe),
        temperature=lab.recipe.sampler.temperature,
        seed=lab.seed,
        micro_batch_tokens=lab.recipe.runtime.micro_batch_tokens,
        outliers=fit_outliers(lab.proxy, lab.answers),
    )


def _loop(lab: Lab, recipe: Recipe, policy: Network, scorer: Scorer) -> tuple[State, int, Iterator[Step]]:
    """The state, how many steps there are, and the training loop of the recipe's kind."""
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
        critic = ppo.Critic(_copy(lab.proxy.first.network), lab.proxy.first.scale)
        if settings.critic.start == "zero":
            table = lab.reference.model.config
            blank = BagOfWords(table.vocab_size, table.max_position_embeddings)
            critic = ppo.Critic(Network(blank, lab.reference.tokenizer), Scale(0.0, lab.proxy.first.scale.sd))
        state = ppo.start(settings, policy, critic)
        return state, settings.steps, ppo.train(settings, critic=critic, state=state, **online)
    if settings.kind in ("grpo", "rloo"):
        state = grpo.start(settings, policy)
        longest = recipe.sampler.max_new_tokens
        return state, settings.steps, grpo.train(settings, longest=longest, state=state, **online)
    if settings.kind == "dpo" and settings.dpo.online:
        state = online_dpo.start(settings, policy)
        return state, settings.steps, online_dpo.train(settings, state=state, **online)
    if settings.kind == "dpo":
        unseen = {id(c) for c in lab.examined}
        data = dpo.pairs(lab.reference, [c for c in lab.comparisons if id(c) not in unseen], budget)
        state = dpo.start(settings, policy)
        return state, settings.steps, dpo.train(settings, data=data, state=state, **shared)
    best = best_of_n.sampler(settings.best_of_n.n, scorer, draw, settings.missing_eos_penalty)
    chosen = [lab.prompts[i % len(lab.prompts)] for i in range(settings.best_of_n.prompts)]
    found: list[Completion] = []
    for start in range(0, len(chosen), 200):
        found += best(lab.reference, chosen[start : start + 200], generator(seed, "best of n", start)).completions
    once = recipe.sft.model_copy(update={"epochs": 1.0})
    state = imitate.start(once, policy)
    loop = imitate.train(once, demonstrations=found, state=state, **shared)
    return state, imitate.steps(once, len(found)), loop


def _compare(
    recipe: Recipe, reference: Network, choosing: AnnotatorModel, prompts: list[Prompt]
) -> tuple[list[Comparison], float]:
    seed, settings, annotator = recipe.seed, recipe.comparisons, choosing.utility
    order = torch.randperm(len(prompts), generator=generator(seed, "compared prompts")).tolist()
    chosen = [prompts[order[i % len(order)]] for i in range(settings.count)]
    drawn = _draw(recipe, reference, [p for p in chosen for _ in range(2)], generator(seed, "comparisons")).completions
    utilities = scores(annotator, drawn).reshape(-1, 2)
    pairs = list(zip(drawn[::2], drawn[1::2], strict=True))
    votes = np.random.default_rng(seed_for(seed, "votes"))
    found, _ = simulated.compare(pairs, utilities, choosing.temperature, settings.tie_width, votes)
    worth = scores(annotator, [side for c in found for side in c.completions()]).reshape(-1, 2)
    gap, chose_first = worth[:, 0] - worth[:, 1], np.array([c.probability for c in found])
    wrong = np.where(gap == 0, 0.5, np.where(gap > 0, 1 - chose_first, chose_first))
    return found, float(wrong.mean())


def _draw(recipe: Recipe, network: Network, prompts: Sequence[Prompt], draws: torch.Generator) -> Rollout:
    how = recipe.sampler
    return sample(network, prompts, SamplingParams(how.temperature, how.max_new_tokens, how.engine.max_num_seqs), draws)


def _copy(network: Network) -> Network:
    """The same weights, to be trained."""
    model = deepcopy(network.model)
    model.requires_grad_(True)
    return Network(model, network.tokenizer)
