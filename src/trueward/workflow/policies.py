"""The rung that optimises, one function for each `policy.kind`: all from the same SFT policy, comparisons and prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from trueward import driver
from trueward.algorithms import best_of_n, dpo, grpo, online_dpo, ppo
from trueward.algorithms import sft as imitate
from trueward.artifacts import Artifact
from trueward.batches import Step
from trueward.data import jsonl
from trueward.instruments.gauge import what_moved
from trueward.instruments.outliers import at_home
from trueward.models import loading
from trueward.models.schedule import generator
from trueward.models.state import State
from trueward.records import Comparison, Completion, line
from trueward.scorers.ensemble import Proxy
from trueward.scorers.random_reward import RandomReward, coin_flips
from trueward.scorers.scaled import Scaled, Watched
from trueward.scorers.scorer import Scorer
from trueward.scorers.shaping import Current
from trueward.workflow import people, rewarding
from trueward.workflow.context import REFERENCE, Context, read_completions, read_prompts
from trueward.workflow.examined import split
from trueward.workflow.judging import Judge
from trueward.workflow.measuring import gauge, looked_at, pay
from trueward.workflow.relabel import relabelling


class Given:
    """What every optimiser starts from: the policy, its anchor, the frozen proxy, the prompts."""

    def __init__(
        self, context: Context, prepared: Artifact, sft: Artifact, reward: Artifact, is_control: bool = False
    ) -> None:
        self.context, self.prepared, self.sft, self.reward = context, prepared, sft, reward
        self.policy, self.reference = context.learner(context.policy(sft.model), "policy"), context.policy(sft.model)
        self.reference.model.requires_grad_(False)
        self.proxy = rewarding.load(context, reward)
        self.prompts = read_prompts(prepared.path / "prompts.jsonl")
        self.at: Callable[[], int] = lambda: 0  # the step that the loop is at
        self.is_control = is_control
        flips = RandomReward(context.recipe.seed, lambda: self.at())
        self.paid = Current(flips if is_control else pay(context, sft, self.proxy, self.reference))
        self.watched = None if reward.stage == "reward_model" else Watched(self.paid)
        self.scorer: Scorer = self.watched or self.paid

    def demonstrations(self) -> list[Completion]:
        """What is imitated beside the reward, if anything is."""
        if not self.context.recipe.policy.ptx_coef:
            return []
        return read_completions(self.prepared.path / "demonstrations.jsonl")

    def drive(
        self,
        work: Path,
        state: State,
        loop: Callable[[], Iterator[Step]],
        total: int,
        comparisons: Artifact | None = None,
    ) -> dict[str, Any]:
        """Run the loop to its end with a look at the policy now and then; what the stage says of itself.

        With `policy.relabel` the reward model changes on the way; `comparisons` are those that the first one was fitted to.
        """
        context, recipe = self.context, self.context.recipe
        instrument = gauge(context, self.prepared, self.sft, self.proxy, self.reference)
        prompts = looked_at(context, self.prepared)
        judge = Judge(context, self.prepared, instrument, self.policy, work, self.reward.summary)
        self.at = lambda: state.step
        every, changing = 0 if self.is_control else recipe.policy.relabel.every, None

        def use(proxy: Proxy) -> None:
            nonlocal instrument
            self.proxy, self.paid.scorer = proxy, pay(context, self.sft, proxy, self.reference)
            home = read_completions(self.sft.path / REFERENCE)
            instrument = replace(instrument, proxy=proxy, outliers=at_home(proxy, home))

        if every:
            assert comparisons is not None
            assert not isinstance(self.proxy, Scaled)
            changing = relabelling(context, self.prepared, self.sft, comparisons, self.policy, self.proxy, use, work)
            loop = partial(changing.between, loop, state, every, total)

        def look(step: int) -> driver.Look:
            found = instrument.measure(self.policy, prompts, "step", step, by_token=True)
            if step and recipe.evaluation.people_looks:
                people.ask_at_look(work, recipe.evaluation, step, prompts, found.samples)
            row = {
                **found.row,
                "moved": what_moved(found.samples),
                "kl_coef": state.numbers.get("kl_coef", recipe.policy.kl_coef),
            }
            return driver.Look(row, found.samples, found.row["truth"])

        looking = driver.Looking(recipe.evaluation.every, look, partial(loading.save, self.policy), judge)

        with context.tracker(work) as tracker:
            outcome = driver.drive(
                partial(self.watched.tell, loop) if self.watched else loop,
                state=state,
                directory=work,
                total=total,
                what=f"{recipe.policy.kind}, β = {recipe.policy.kl_coef:g}{', random reward' * self.is_control}",
                reporter=context.reporter,
                checkpoint_seconds=recipe.runtime.checkpoint_seconds,
                looking=None if self.is_control else looking,
                tracker=tracker,
            )
        if self.is_control:
            found = instrument.measure(self.policy, prompts, "control").row
            return {"steps": state.step, **{key: found[key] for key in ("kl", "kl_se", "proxy", "truth")}}
        loading.save(self.policy, work / "model")
        if changing:
            changing.write_rows()
        return {
            "steps": state.step,
            "stopped": outcome.stopped or None,
            "best_step": outcome.best_step,
            "kl_coef_last": state.numbers.get("kl_coef"),
        }


def optimise_ppo(given: Given, comparisons: Artifact | None, work: Path) -> dict[str, Any]:
    """PPO, the value network starting from the reward model; or from the SFT policy: where there's none that reads the policy's
    tokens, and on demand."""
    context, config = given.context, given.context.recipe.policy
    critic = rewarding.critic(context, given.sft, given.reward, given.policy)
    state = ppo.start(config, given.policy, critic, context.recipe.sampler.refresh)
    loop = partial(
        ppo.train,
        config,
        policy=given.policy,
        reference=given.reference,
        critic=critic,
        sample=context.write,
        scorer=given.scorer,
        prompts=given.prompts,
        temperature=context.recipe.sampler.temperature,
        state=state,
        seed=context.recipe.seed,
        micro_batch_tokens=context.recipe.runtime.micro_batch_tokens,
        demonstrations=given.demonstrations(),
        refresh=context.recipe.sampler.refresh,
    )
    return given.drive(work, state, loop, config.steps, comparisons)


def optimise_by_group(given: Given, comparisons: Artifact | None, work: Path) -> dict[str, Any]:
    """GRPO or RLOO: no value network."""
    context, config = given.context, given.context.recipe.policy
    state = grpo.start(config, given.policy, context.recipe.sampler.refresh)
    loop = partial(
        grpo.train,
        config,
        policy=given.policy,
        reference=given.reference,
        sample=context.write,
        scorer=given.scorer,
        prompts=given.prompts,
        temperature=context.recipe.sampler.temperature,
        longest=context.recipe.sampler.max_new_tokens,
        state=state,
        seed=context.recipe.seed,
        micro_batch_tokens=context.recipe.runtime.micro_batch_tokens,
        demonstrations=given.demonstrations(),
        refresh=context.recipe.sampler.refresh,
    )
    return given.drive(work, state, loop, config.steps, comparisons)


def optimise_dpo(given: Given, comparisons: Artifact | None, work: Path) -> dict[str, Any]:
    """DPO on the comparisons that the reward model is fitted to; the reward model only watches."""
    if given.context.recipe.policy.dpo.online:
        return optimise_online_dpo(given, comparisons, work)
    assert comparisons is not None
    context, config, budget = (
        given.context,
        given.context.recipe.policy,
        given.context.recipe.runtime.micro_batch_tokens,
    )
    train, held_out = read_comparisons(context, comparisons)
    if given.is_control:
        train = coin_flips(train, context.recipe.seed)
    data, unseen = dpo.pairs(given.reference, train, budget), dpo.pairs(given.reference, held_out, budget)
    state = dpo.start(config, given.policy)
    loop = partial(
        dpo.train,
        config,
        policy=given.policy,
        data=data,
        state=state,
        seed=context.recipe.seed,
        micro_batch_tokens=budget,
    )
    summary = given.drive(work, state, loop, config.steps)
    if given.is_control:
        return summary
    return {**summary, "held_out_accuracy": round(dpo.pair_accuracy(given.policy, unseen, budget), 4)}


def optimise_online_dpo(given: Given, comparisons: Artifact | None, work: Path) -> dict[str, Any]:
    """DPO on the policy's own answers, labelled by the reward model; comparisons, if there are any, only examine it."""
    context, config = given.context, given.context.recipe.policy
    budget, temperature = context.recipe.runtime.micro_batch_tokens, context.recipe.sampler.temperature
    state = online_dpo.start(config, given.policy)
    loop = partial(
        online_dpo.train,
        config,
        policy=given.policy,
        reference=given.reference,
        sample=context.sample,
        scorer=given.scorer,
        prompts=given.prompts,
        temperature=temperature,
        state=state,
        seed=context.recipe.seed,
        micro_batch_tokens=budget,
    )
    summary = given.drive(work, state, loop, config.steps, comparisons)
    if comparisons is None:
        return summary
    unseen = dpo.pairs(given.reference, read_comparisons(context, comparisons)[1], budget, temperature)
    accuracy = dpo.pair_accuracy(given.policy, unseen, budget, temperature)
    return {**summary, "held_out_accuracy": round(accuracy, 4)}


def read_comparisons(context: Context, comparisons: Artifact) -> tuple[list[Comparison], list[Comparison]]:
    """Those to learn from and those kept back, by prompt: the reward model's own split."""
    rows = [Comparison.model_validate(r) for _, r in jsonl.read(comparisons.path / "comparisons.jsonl")]
    return split(rows, context.recipe.reward.held_out)


def choose_best_of_n(given: Given, comparisons: Artifact | None, work: Path) -> dict[str, Any]:
    """The SFT policy as it is; the evaluation lets it answer n times and keeps the proxy's favourite."""
    loading.save(given.policy, work / "model")
    n = given.context.recipe.policy.best_of_n.n
    return {"steps": 0, "best_step": None, "n": n, "kl_bound": round(best_of_n.kl(n), 4)}


def distil_best_of_n(given: Given, comparisons: Artifact | None, work: Path) -> dict[str, Any]:
    """SFT on the best of n of the SFT policy's own answers."""
    context, recipe = given.context, given.context.recipe
    config, seed = recipe.policy, recipe.seed
    chosen = [given.prompts[i % len(given.prompts)] for i in range(config.best_of_n.prompts)]
    best = best_of_n.sampler(config.best_of_n.n, given.scorer, context.sample, config.missing_eos_penalty)
    found: list[Completion] = []
    context.reporter.start("best of n", len(chosen))
    for start in range(0, len(chosen), 200):
        part = chosen[start : start + 200]
        found += best(given.reference, part, generator(seed, "best of n", start)).completions
        context.reporter.at(len(found))
    context.reporter.end(f"{len(found):,} answers chosen from {len(found) * config.best_of_n.n:,}")
    jsonl.write(work / "chosen.jsonl", [line(c) for c in found])
    state = imitate.start(recipe.sft, given.policy)
    once = recipe.sft.model_copy(update={"epochs": 1.0})
    loop = partial(
        imitate.train,
        once,
        policy=given.policy,
        demonstrations=found,
        state=state,
        seed=seed,
        micro_batch_tokens=recipe.runtime.micro_batch_tokens,
    )
    return given.drive(work, state, loop, imitate.steps(once, len(found)))


POLICIES = {
    "ppo": optimise_ppo,
    "grpo": optimise_by_group,
    "rloo": optimise_by_group,
    "dpo": optimise_dpo,
    "best_of_n": choose_best_of_n,
    "sft_on_best": distil_best_of_n,
}


def optimise(
    context: Context, prepared: Artifact, sft: Artifact, reward: Artifact, comparisons: Artifact | None, work: Path
) -> dict[str, Any]:
    """The stage: the optimiser that the recipe names."""
    return POLICIES[context.recipe.policy.kind](Given(context, prepared, sft, reward), comparisons, work)


def optimise_nothing(
    context: Context, prepared: Artifact, sft: Artifact, reward: Artifact, comparisons: Artifact | None, work: Path
) -> dict[str, Any]:
    """The control: the same optimiser, steps, rates and β with a reward that says nothing. How far does it go?"""
    return POLICIES[context.recipe.policy.kind](Given(context, prepared, sft, reward, True), comparisons, work)
