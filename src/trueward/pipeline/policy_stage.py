"""The rung that optimises, one function for each `policy.kind`: all from the same SFT policy, comparisons and prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from trueward.algorithms import best_of_n, dpo, grpo, online_dpo, ppo
from trueward.algorithms import sft as imitate
from trueward.artifacts import Artifact
from trueward.batches import Step
from trueward.data import jsonl
from trueward.evaluation.evaluator import feature_shifts
from trueward.evaluation.outliers import fit_outliers
from trueward.models import loading
from trueward.pipeline import human_eval, scorer_factory
from trueward.pipeline.env import REFERENCE, Env, read_completions, read_prompts
from trueward.pipeline.eval_setup import build_evaluator, reward_scorer, step_prompts
from trueward.pipeline.relabel import relabelling
from trueward.pipeline.reward_eval import split_comparisons
from trueward.pipeline.run_verdict import RunMonitor
from trueward.records import Comparison, Completion, line
from trueward.scorers.ensemble import Proxy
from trueward.scorers.normalized import Normalized, PartsLogger
from trueward.scorers.random_reward import RandomReward, coin_flips
from trueward.scorers.scorer import Scorer
from trueward.scorers.shaping import SwappableScorer
from trueward.seeds import generator
from trueward.training import driver
from trueward.training.state import State


class OptimizerInputs:
    """What every optimiser starts from: the policy, its anchor, the frozen proxy, the prompts."""

    def __init__(self, env: Env, prepared: Artifact, sft: Artifact, reward: Artifact, is_control: bool = False) -> None:
        self.context, self.prepared, self.sft, self.reward = env, prepared, sft, reward
        self.policy, self.reference = env.trainable(env.policy(sft.model), "policy"), env.policy(sft.model)
        self.reference.model.requires_grad_(False)
        self.proxy = scorer_factory.load(env, reward)
        self.prompts = read_prompts(prepared.path / "prompts.jsonl")
        self.at: Callable[[], int] = lambda: 0  # the step that the loop is at
        self.is_control = is_control
        flips = RandomReward(env.recipe.seed, lambda: self.at())
        self.current_scorer = SwappableScorer(
            flips if is_control else reward_scorer(env, sft, self.proxy, self.reference)
        )
        self.watched = None if reward.stage == "reward_model" else PartsLogger(self.current_scorer)
        self.scorer: Scorer = self.watched or self.current_scorer

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
        env, recipe = self.context, self.context.recipe
        instrument = build_evaluator(env, self.prepared, self.sft, self.proxy, self.reference)
        prompts = step_prompts(env, self.prepared)
        judge = RunMonitor(env, self.prepared, instrument, self.policy, work, self.reward.summary)
        self.at = lambda: state.step
        every, changing = 0 if self.is_control else recipe.policy.relabel.every, None

        def use(proxy: Proxy) -> None:
            nonlocal instrument
            self.proxy, self.current_scorer.scorer = proxy, reward_scorer(env, self.sft, proxy, self.reference)
            home = read_completions(self.sft.path / REFERENCE)
            instrument = replace(instrument, proxy=proxy, outliers=fit_outliers(proxy, home))

        if every:
            assert comparisons is not None
            assert not isinstance(self.proxy, Normalized)
            changing = relabelling(env, self.prepared, self.sft, comparisons, self.policy, self.proxy, use, work)
            loop = partial(changing.between, loop, state, every, total)

        def look(step: int) -> driver.Evaluation:
            found = instrument.measure(self.policy, prompts, "step", step, by_token=True)
            if step and recipe.evaluation.step_pairs:
                human_eval.post_pairs_at_step(work, recipe.evaluation, step, prompts, found.samples)
            row = {
                **found.row,
                "feature_shift": feature_shifts(found.samples),
                "kl_coef": state.numbers.get("kl_coef", recipe.policy.kl_coef),
            }
            return driver.Evaluation(row, found.samples, found.row["truth"])

        looking = driver.EvalSchedule(recipe.evaluation.every, look, partial(loading.save, self.policy), judge)

        with env.tracker(work) as tracker:
            outcome = driver.drive(
                partial(self.watched.with_parts, loop) if self.watched else loop,
                state=state,
                directory=work,
                total=total,
                what=f"{recipe.policy.kind}, β = {recipe.policy.kl_coef:g}{', random reward' * self.is_control}",
                progress=env.progress,
                checkpoint_seconds=recipe.runtime.checkpoint_seconds,
                schedule=None if self.is_control else looking,
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


def optimise_ppo(given: OptimizerInputs, comparisons: Artifact | None, work: Path) -> dict[str, Any]:
    """PPO, the value network starting from the reward model; or from the SFT policy: where there's none that reads the policy's
    tokens, and on demand."""
    env, config = given.context, given.context.recipe.policy
    critic = scorer_factory.critic(env, given.sft, given.reward, given.policy)
    state = ppo.start(config, given.policy, critic, env.recipe.sampler.engine.sync_every)
    loop = partial(
        ppo.train,
        config,
        policy=given.policy,
        reference=given.reference,
        critic=critic,
        sample=env.sample_rollout,
        scorer=given.scorer,
        prompts=given.prompts,
        temperature=env.recipe.sampler.temperature,
        state=state,
        seed=env.recipe.seed,
        micro_batch_tokens=env.recipe.runtime.micro_batch_tokens,
        demonstrations=given.demonstrations(),
        sync_every=env.recipe.sampler.engine.sync_every,
    )
    return given.drive(work, state, loop, config.steps, comparisons)


def optimise_by_group(given: OptimizerInputs, comparisons: Artifact | None, work: Path) -> dict[str, Any]:
    """GRPO or RLOO: no value network."""
    env, config = given.context, given.context.recipe.policy
    state = grpo.start(config, given.policy, env.recipe.sampler.engine.sync_every)
    loop = partial(
        grpo.train,
        config,
        policy=given.policy,
        reference=given.reference,
        sample=env.sample_rollout,
        scorer=given.scorer,
        prompts=given.prompts,
        temperature=env.recipe.sampler.temperature,
        longest=env.recipe.sampler.max_new_tokens,
        state=state,
        seed=env.recipe.seed,
        micro_batch_tokens=env.recipe.runtime.micro_batch_tokens,
        demonstrations=given.demonstrations(),
        sync_every=env.recipe.sampler.engine.sync_every,
    )
    return given.drive(work, state, loop, config.steps, comparisons)


def optimise_dpo(given: OptimizerInputs, comparisons: Artifact | None, work: Path) -> dict[str, Any]:
    """DPO on the comparisons that the reward model is fitted to; the reward model only watches."""
    if given.context.recipe.policy.dpo.online:
        return optimise_online_dpo(given, comparisons, work)
    assert comparisons is not None
    env, config, budget = (
        given.context,
        given.context.recipe.policy,
        given.context.recipe.runtime.micro_batch_tokens,
    )
    train, held_out = read_comparisons(env, comparisons)
    if given.is_control:
        train = coin_flips(train, env.recipe.seed)
    data, unseen = dpo.pairs(given.reference, train, budget), dpo.pairs(given.reference, held_out, budget)
    state = dpo.start(config, given.policy)
    loop = partial(
        dpo.train,
        config,
        policy=given.policy,
        data=data,
        state=state,
        seed=env.recipe.seed,
        micro_batch_tokens=budget,
    )
    summary = given.drive(work, state, loop, config.steps)
    if given.is_control:
        return summary
    return {**summary, "held_out_accuracy": round(dpo.pair_accuracy(given.policy, unseen, budget), 4)}


def optimise_online_dpo(given: OptimizerInputs, comparisons: Artifact | None, work: Path) -> dict[str, Any]:
    """DPO on the policy's own answers, labelled by the reward model; comparisons, if there are any, only examine it."""
    env, config = given.context, given.context.recipe.policy
    budget, temperature = env.recipe.runtime.micro_batch_tokens, env.recipe.sampler.temperature
    state = online_dpo.start(config, given.policy)
    loop = partial(
        online_dpo.train,
        config,
        policy=given.policy,
        reference=given.reference,
        sample=env.sample,
        scorer=given.scorer,
        prompts=given.prompts,
        temperature=temperature,
        state=state,
        seed=env.recipe.seed,
        micro_batch_tokens=budget,
    )
    summary = given.drive(work, state, loop, config.steps, comparisons)
    if comparisons is None:
        return summary
    unseen = dpo.pairs(given.reference, read_comparisons(env, comparisons)[1], budget, temperature)
    accuracy = dpo.pair_accuracy(given.policy, unseen, budget, temperature)
    return {**summary, "held_out_accuracy": round(accuracy, 4)}


def read_comparisons(env: Env, comparisons: Artifact) -> tuple[list[Comparison], list[Comparison]]:
    """Those to learn from and those kept back, by prompt: the reward model's own split."""
    rows = [Comparison.model_validate(r) for _, r in jsonl.read(comparisons.path / "comparisons.jsonl")]
    return split_comparisons(rows, env.recipe.reward.held_out)


def choose_best_of_n(given: OptimizerInputs, comparisons: Artifact | None, work: Path) -> dict[str, Any]:
    """The SFT policy as it is; the evaluation lets it answer n times and keeps the proxy's favourite."""
    loading.save(given.policy, work / "model")
    n = given.context.recipe.policy.best_of_n.n
    return {"steps": 0, "best_step": None, "n": n, "kl_bound": round(best_of_n.kl(n), 4)}


def distil_best_of_n(given: OptimizerInputs, comparisons: Artifact | None, work: Path) -> dict[str, Any]:
    """SFT on the best of n of the SFT policy's own answers."""
    env, recipe = given.context, given.context.recipe
    config, seed = recipe.policy, recipe.seed
    chosen = [given.prompts[i % len(given.prompts)] for i in range(config.best_of_n.prompts)]
    best = best_of_n.sampler(config.best_of_n.n, given.scorer, env.sample, config.missing_eos_penalty)
    found: list[Completion] = []
    env.progress.start("best of n", len(chosen))
    for start in range(0, len(chosen), 200):
        part = chosen[start : start + 200]
        found += best(given.reference, part, generator(seed, "best of n", start)).completions
        env.progress.at(len(found))
    env.progress.end(f"{len(found):,} answers chosen from {len(found) * config.best_of_n.n:,}")
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
    env: Env, prepared: Artifact, sft: Artifact, reward: Artifact, comparisons: Artifact | None, work: Path
) -> dict[str, Any]:
    """The stage: the optimiser that the recipe names."""
    return POLICIES[env.recipe.policy.kind](OptimizerInputs(env, prepared, sft, reward), comparisons, work)


def optimise_nothing(
    env: Env, prepared: Artifact, sft: Artifact, reward: Artifact, comparisons: Artifact | None, work: Path
) -> dict[str, Any]:
    """The control: the same optimiser, steps, rates and β with a reward that says nothing. How far does it go?"""
    return POLICIES[env.recipe.policy.kind](OptimizerInputs(env, prepared, sft, reward, True), comparisons, work)
