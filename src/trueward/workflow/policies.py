"""The rung that optimises, one function for each `policy.kind`: all from the same SFT policy, comparisons and prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from trueward import driver
from trueward.algorithms import best_of_n, dpo, grpo, ppo
from trueward.algorithms import sft as imitate
from trueward.artifacts import Artifact
from trueward.batches import Step
from trueward.data import jsonl
from trueward.models import loading
from trueward.models.schedule import generator
from trueward.models.state import State
from trueward.records import Comparison, Completion, line
from trueward.workflow import rewarding
from trueward.workflow.context import Context, read_prompts
from trueward.workflow.examined import split
from trueward.workflow.measuring import gauge, held_out_prompts


class Given:
    """What every optimiser starts from: the policy, its anchor, the frozen proxy, the prompts."""

    def __init__(self, context: Context, prepared: Artifact, sft: Artifact, reward: Artifact) -> None:
        self.context, self.prepared, self.sft, self.reward = context, prepared, sft, reward
        self.policy, self.reference = context.policy(sft.model), context.policy(sft.model)
        self.reference.model.requires_grad_(False)
        self.proxy = rewarding.load(context, reward)
        self.scorer = rewarding.Watched(self.proxy)
        self.prompts = read_prompts(prepared.path / "prompts.jsonl")

    def drive(self, work: Path, state: State, loop: Callable[[], Iterator[Step]], total: int) -> dict[str, Any]:
        """Run the loop to its end with a look at the policy now and then; what the stage says of itself."""
        context, recipe = self.context, self.context.recipe
        instrument = gauge(context, self.prepared, self.sft, self.proxy, self.reference)
        looked_at = held_out_prompts(context, self.prepared, recipe.evaluation.look_prompts)

        def look(step: int) -> driver.Look:
            found = instrument.measure(self.policy, looked_at, "step", step)
            row = {**found.row, "proxy_raw": rewarding.raw(self.proxy, found.row["proxy"])}
            row = {**row, "kl_coef": state.numbers.get("kl_coef", recipe.policy.kl_coef)}
            return driver.Look(row, found.samples, found.row["truth"])

        outcome = driver.drive(
            loop if self.reward.stage == "reward_model" else lambda: self.scorer.tell(loop()),
            state=state,
            directory=work,
            total=total,
            what=f"{recipe.policy.kind}, β = {recipe.policy.kl_coef:g}",
            reporter=context.reporter,
            checkpoint_seconds=recipe.runtime.checkpoint_seconds,
            looking=driver.Looking(recipe.evaluation.every, look, partial(loading.save, self.policy)),
        )
        loading.save(self.policy, work / "model")
        return {"steps": total, "best_step": outcome.best_step, "kl_coef_last": state.numbers.get("kl_coef")}


def optimise_ppo(given: Given, comparisons: Artifact | None, work: Path) -> dict[str, Any]:
    """PPO, the value network starting from the reward model, or from the SFT policy where there's none."""
    context, config = given.context, given.context.recipe.policy
    critic = rewarding.critic(context, given.sft, given.reward)
    state = ppo.start(config, given.policy, critic)
    loop = partial(
        ppo.train,
        config,
        policy=given.policy,
        reference=given.reference,
        critic=critic,
        sample=context.sample,
        scorer=given.scorer,
        prompts=given.prompts,
        temperature=context.recipe.sampler.temperature,
        state=state,
        seed=context.recipe.seed,
        micro_batch_tokens=context.recipe.runtime.micro_batch_tokens,
    )
    return given.drive(work, state, loop, config.steps)


def optimise_by_group(given: Given, comparisons: Artifact | None, work: Path) -> dict[str, Any]:
    """GRPO or RLOO: no value network."""
    context, config = given.context, given.context.recipe.policy
    state = grpo.start(config, given.policy)
    loop = partial(
        grpo.train,
        config,
        policy=given.policy,
        reference=given.reference,
        sample=context.sample,
        scorer=given.scorer,
        prompts=given.prompts,
        temperature=context.recipe.sampler.temperature,
        longest=context.recipe.sampler.max_new_tokens,
        state=state,
        seed=context.recipe.seed,
        micro_batch_tokens=context.recipe.runtime.micro_batch_tokens,
    )
    return given.drive(work, state, loop, config.steps)


def optimise_dpo(given: Given, comparisons: Artifact | None, work: Path) -> dict[str, Any]:
    """DPO on the comparisons that the reward model is fitted to; the reward model only watches."""
    assert comparisons is not None
    context, config, budget = (
        given.context,
        given.context.recipe.policy,
        given.context.recipe.runtime.micro_batch_tokens,
    )
    rows = [Comparison.model_validate(r) for _, r in jsonl.read(comparisons.path / "comparisons.jsonl")]
    train, held_out = split(rows, context.recipe.reward.held_out)
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
    return {**summary, "held_out_accuracy": round(dpo.pair_accuracy(given.policy, unseen, budget), 4)}


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
