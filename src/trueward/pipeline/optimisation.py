"""One policy's training with any optimiser: its start, its reward, and its evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from trueward.algorithms import best_of_n, dpo
from trueward.algorithms import sft as sft_algorithm
from trueward.algorithms.relabel import Relabelling
from trueward.batches import Step
from trueward.config import (
    EvaluationConfig,
    LoraConfig,
    PolicyConfig,
    SamplerConfig,
    SftConfig,
)
from trueward.data import jsonl
from trueward.evaluation.evaluator import Evaluator
from trueward.evaluation.measurement import feature_shifts
from trueward.evaluation.outliers import fit_outliers
from trueward.evaluation.verdict_monitor import VerdictMonitor
from trueward.models.derived import trainable
from trueward.models.network import Network
from trueward.pipeline import human_eval, judge_truths
from trueward.pipeline.answers import exact_sampler
from trueward.pipeline.compared import Compared
from trueward.pipeline.eval_setup import AnyProxy, EvalSetup
from trueward.pipeline.guards.guards import Guards
from trueward.pipeline.held_out import divide
from trueward.pipeline.own_code import online_algorithm
from trueward.pipeline.program_reward import ProgramReward
from trueward.pipeline.relabel import RelabelSetup, write_rows
from trueward.pipeline.reward_eval import split_comparisons
from trueward.pipeline.reward_model import FittedReward
from trueward.pipeline.rollouts import adapter_seed, copied_from, shared_reward, shared_rollouts
from trueward.pipeline.run_verdict import RunMonitor
from trueward.pipeline.stage import Row, never
from trueward.pipeline.trained_policy import TrainedPolicy
from trueward.pipeline.value_network import value_network
from trueward.records import Comparison, Completion, line
from trueward.sampling.draws import Draws
from trueward.scorers.ensemble import Proxy
from trueward.scorers.normalized import Normalized, PartsLogger
from trueward.scorers.random_reward import RandomReward, coin_flips
from trueward.scorers.scorer import Scorer
from trueward.scorers.shaping import SwappableScorer
from trueward.training import driver
from trueward.training.driver import EvalSchedule, Evaluation, Outcome
from trueward.training.env import Env
from trueward.training.journal import BEST, Journal
from trueward.training.setup import Algorithm, Offline, Online, Setup, Supervised
from trueward.training.state import State

CHOSEN = "chosen.jsonl"
AT_ONCE = 200  # prompts in a batch of best-of-n


_UNREAD = TrainedPolicy(never, None, never, [], [], {})
"""The result on other ranks than 0, which read what rank 0 has written."""


@dataclass(kw_only=True)
class Optimisation:
    """One policy's training: what it starts from, what it is rewarded with, how it is evaluated in training."""

    setup: EvalSetup
    reward: FittedReward | ProgramReward
    comparisons: Compared | None
    config: PolicyConfig
    sampler: SamplerConfig
    evaluation: EvaluationConfig
    relabelling: RelabelSetup | None
    sft: SftConfig | None
    lora: LoraConfig | None
    seed: int
    env: Env
    journal: Journal
    is_control: bool = False
    scorer: Scorer | None = None
    """Optimised in place of the proxy, in SDs as the proxy is; evaluations still use the proxy."""
    state: State | None = field(default=None, init=False)
    evaluator: Evaluator = field(init=False)
    """On rank 0 alone: what measures may ask people or a service, and is asked once."""

    def __post_init__(self) -> None:
        self.reference: Network = self.setup.sft.policy
        top = self.sft.trainable_layers if self.sft else 0  # of what imitates chosen answers
        self.policy = trainable(self.reference, self.lora, adapter_seed(self.seed), top)
        self.proxy: AnyProxy = self.setup.proxy(self.reward)
        shared = shared_reward(self.env, self._own_reward, is_own=self.is_control or self.scorer is not None)
        self.parts = None if isinstance(self.reward, FittedReward) else PartsLogger(shared)
        self.optimised: Scorer = self.parts or shared
        if self.env.fabric.leads:
            self.evaluator = self.setup.evaluator(self.proxy, self.setup.second(self.reward, self.config))
        self.held_out = divide(self.setup.prepared.held_out_in_order(self.seed), self.evaluation.step_prompts)
        self.step_prompts = self.held_out.steps
        self.total = 0
        self.guards = Guards(
            self.evaluation,
            self.setup.sampler,
            self.seed,
            self.reference,
            self.step_prompts,
            self.journal.directory,
            self.env,
        )

    def _own_reward(self) -> Scorer:
        """What this process rewards by."""
        flips = RandomReward(self.seed, lambda: self.state.step if self.state else 0)
        optimised = flips if self.is_control else self.scorer or self.setup.reward(self.proxy)
        self.current_scorer = SwappableScorer(optimised)
        return self.current_scorer

    @property
    def common(self) -> dict[str, Any]:
        """Arguments that all setups of algorithms take."""
        return {"seed": self.seed, "micro_batch_tokens": self.env.micro_batch_tokens, "fabric": self.env.fabric}

    def online(self) -> TrainedPolicy:
        """Train by PPO, GRPO, RLOO, online DPO or an algorithm of the user's."""
        config = self.config
        critic = None
        if config.kind == "ppo":
            proxy = None if isinstance(self.proxy, Normalized) else self.proxy
            critic = value_network(config.critic, self.policy, self.reference, proxy, self.lora, self.seed)
        copies = copied_from(self.journal.directory, self.setup.sft.place, self.lora, self.seed)
        sampler = shared_rollouts(self.sampler, self.setup.prepared.prompts, self.policy, self.env, copies)
        setup = Online(
            **self.common,
            policy=self.policy,
            reference=self.reference,
            sampler=sampler,
            scorer=self.optimised,
            prompts=self.setup.prepared.prompts,
            demonstrations=self.setup.prepared.demonstrations if config.ptx_coef else (),
            critic=critic,
            scorer_samples_reference=self.setup.samples_reference,
        )
        more: Row = {}
        try:
            trained = self.drive(online_algorithm(config), config, setup)
        finally:
            sampler.close()
        if not self.env.fabric.leads:
            return _UNREAD
        if config.kind == "dpo" and self.comparisons is not None and not self.is_control:
            temperature = self.sampler.temperature
            held_out = self._pairs(self._split()[1], temperature)
            accuracy = dpo.pair_accuracy(self.policy, held_out, self.env.micro_batch_tokens, temperature)
            more = {"held_out_accuracy": round(accuracy, 4)}
        return self.result(trained, more)

    def offline(self) -> TrainedPolicy:
        """Train by DPO on the comparisons that the reward model is fitted to; the reward model is only used in evaluations."""
        train, held_out = self._split()
        if self.is_control:
            train = coin_flips(train, self.seed)
        pairs, unseen = self._pairs(train), self._pairs(held_out)
        outcome = self.drive(dpo, self.config, Offline(**self.common, policy=self.policy, pairs=pairs))
        if not self.env.fabric.leads:
            return _UNREAD
        if self.is_control:
            return self.result(outcome, {})
        accuracy = dpo.pair_accuracy(self.policy, unseen, self.env.micro_batch_tokens)
        return self.result(outcome, {"held_out_accuracy": round(accuracy, 4)})

    def choose_best_of_n(self) -> TrainedPolicy:
        """Train nothing: the policy is SFT's, and the evaluation keeps the best of n answers by the proxy."""
        n = self.config.best_of_n.n
        summary = {"steps": 0, "best_step": None, "n": n, "kl_bound": round(best_of_n.kl(n), 4)}
        return TrainedPolicy.of(self.policy, self.journal, None, summary)

    def distil_best_of_n(self) -> TrainedPolicy:
        """Train by SFT on the best of n of the SFT policy's own answers."""
        config, prompts = self.config, self.setup.prepared.prompts
        assert self.sft is not None
        wanted = [prompts[i % len(prompts)] for i in range(config.best_of_n.prompts)]
        sample = exact_sampler(self.sampler, self.env)
        scorer = self.optimised
        best = best_of_n.sampler(config.best_of_n.n, scorer, sample, config.missing_eos_penalty)
        chosen: list[Completion] = []
        self.env.progress.start("best of n", len(wanted))
        for start in range(0, len(wanted), AT_ONCE):
            draws = Draws.purpose(self.seed, "best of n", start)
            chosen += best(self.reference, wanted[start : start + AT_ONCE], draws).completions
            self.env.progress.at(len(chosen))
        self.env.progress.end(f"{len(chosen):,} answers chosen from {len(chosen) * config.best_of_n.n:,}")
        if self.journal.directory is not None and self.env.fabric.leads:
            jsonl.write(self.journal.directory / CHOSEN, [line(c) for c in chosen])
        once = self.sft.model_copy(update={"epochs": 1.0, "turns": "last"})  # earlier turns are the prompts'
        setup = Supervised(**self.common, policy=self.policy, demonstrations=chosen)
        outcome = self.drive(sft_algorithm, once, setup)
        return self.result(outcome, {}) if self.env.fabric.leads else _UNREAD

    def _split(self) -> tuple[list[Comparison], list[Comparison]]:
        """Comparisons to train on and to hold out, by prompt: the reward model's own split."""
        assert self.comparisons is not None
        reward = self.setup.factory.reward
        assert reward is not None
        return split_comparisons(self.comparisons.rows, reward.held_out)

    def _pairs(self, comparisons: list[Comparison], temperature: float = 1.0) -> Any:
        return dpo.reference_pairs(self.reference, comparisons, self.env.micro_batch_tokens, temperature)

    def drive(self, algorithm: Algorithm, config: Any, setup: Setup) -> Outcome:
        """Run the loop to its end, with its evaluations, and with refits of the reward model where the recipe relabels."""
        every = 0 if self.is_control or self.relabelling is None else self.config.relabel.every
        changing: Relabelling | None = None
        if every:
            assert self.relabelling is not None
            assert not isinstance(self.proxy, Normalized)
            assert self.scorer is None, "another scorer than the reward model is not fitted again"
            changing = self.relabelling.start(self.policy, self.proxy, self.use)
        self.changing = changing
        self.total = total = algorithm.steps(config, setup)

        def around(state: State, steps: Iterator[Step]) -> Iterator[Step]:
            self.state = state
            make: Callable[[], Iterator[Step]] = lambda: steps  # noqa: E731
            if changing:
                make = partial(changing.between, make, state, every, total)
            return self.parts.with_parts(make) if self.parts else make()

        name = f"{self.config.kind}, β = {self.config.kl_coef:g}{', random reward' * self.is_control}"
        schedule = None if self.is_control or not self.env.fabric.leads else self.schedule()
        where = self.journal, self.env, schedule
        with self.env.ranks.holding("policy", self.policy):
            return driver.drive(algorithm, config, setup, *where, what=name, around=around, reads_every=every)

    def use(self, proxy: Proxy) -> None:
        """Replace the reward model from here on, in training and evaluations."""
        self.proxy, self.current_scorer.scorer = proxy, self.setup.reward(proxy)
        if self.env.fabric.leads:
            home = fit_outliers(proxy, self.setup.sft.answers)
            self.evaluator = replace(self.evaluator, proxy=proxy, outliers=home)

    def schedule(self) -> EvalSchedule:
        """When and how the policy is evaluated in training."""

        def best() -> Network:
            kept = self.journal.kept(BEST)
            assert kept is not None
            return kept

        examined = self.reward.summary
        most, least = len(self.step_prompts), self.evaluation.least_fall
        reserved, missing = self.held_out.reserved, self.held_out.missing
        monitor = VerdictMonitor(self.evaluator, self.policy, best, reserved, most, missing, examined, least)
        judge = RunMonitor(monitor, self.evaluation, self.journal, self.env.progress.tell)
        return EvalSchedule(self.evaluation.every, self.evaluate, self.policy, judge)

    def evaluate(self, step: int) -> Evaluation:
        """Evaluate the policy after `step` steps; sends pairs to people if the recipe says so."""
        measured = self.evaluator.measure(
            self.policy, self.step_prompts, "step", step, by_token=True, is_reference=not step
        )
        for told in judge_truths.missing_lines(measured.row, f"step {step}"):
            self.env.progress.tell(told)
        if step and self.evaluation.step_pairs:
            if self.journal.directory is None:
                raise ValueError("evaluation.step_pairs: people are asked by a run on disk, which can wait for them")
            human_eval.post_pairs_at_step(
                self.journal.directory, self.evaluation, step, self.step_prompts, measured.samples
            )
        kl_coef = self.config.kl_coef
        row = {
            **measured.row,
            "feature_shift": feature_shifts(measured.samples),
            "kl_coef": self.state.numbers.get("kl_coef", kl_coef) if self.state else kl_coef,
        }
        if self.guards.is_due(step, self.total) and (guarded := self.guards.measure(self.policy, step)):
            row["guards"] = guarded
        return Evaluation(row, measured.samples, measured.row["truth"])

    def result(self, outcome: Outcome, more: Row) -> TrainedPolicy:
        """The trained policy with its summary. more: further fields of it."""
        state = outcome.state
        if self.is_control:
            row = self.evaluator.measure(self.policy, self.step_prompts, "control").row
            summary = {"steps": state.step, **{key: row[key] for key in ("kl", "kl_se", "proxy", "truth")}}
            return TrainedPolicy.of(self.policy, self.journal, None, summary)
        if self.changing and self.journal.directory is not None:
            write_rows(self.journal.directory)
        summary = {
            "steps": state.step,
            "stopped": outcome.stopped or None,
            "best_step": outcome.best_step,
            "kl_coef_last": state.numbers.get("kl_coef"),
            **more,
        }
        refits = self.changing.rows if self.changing else []
        refitted = self.changing.proxy if self.changing and refits else None
        return TrainedPolicy.of(self.policy, self.journal, refitted, summary, refits)
