"""What an audit of checkpoints measures with: prompts, sampler, reference, proxy and truths; a run's own where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, cast

from trueward import artifacts
from trueward.config import SamplerConfig
from trueward.data import loading as texts
from trueward.data.options import ReadOptions
from trueward.evaluation.evaluator import Evaluator
from trueward.evaluation.outliers import fit_outliers
from trueward.evaluation.truth import AnyTruth, Truth
from trueward.evaluation.verdict import LEAST_FALL
from trueward.models.network import Network
from trueward.models.run_paths import model_path
from trueward.pipeline import audit_scorers, named_judge
from trueward.pipeline.answers import exact_sampler
from trueward.pipeline.held_out import HeldOut, divide, in_order
from trueward.pipeline.judge_truths import plan_audit_calls
from trueward.pipeline.program_reward import read_scale
from trueward.pipeline.records import ANSWERS, read_completions, read_prompts
from trueward.pipeline.relabel import refitted_proxy
from trueward.pipeline.run_home import RunHome
from trueward.pipeline.scorer_factory import ScorerFactory
from trueward.records import Completion
from trueward.sampling.draws import Draws
from trueward.scorers import ensemble
from trueward.scorers.custom import FunctionScorer, with_neutral
from trueward.scorers.judge.call_limit import CallLimit
from trueward.scorers.normalized import Normalized
from trueward.scorers.scorer import Scale, Scorer, fit_scale, judged_pairs, scores
from trueward.scorers.simulated import SavedAnnotators
from trueward.scorers.verifiers.verifier import Verifier
from trueward.training.env import Env

STEP_PROMPTS = 256  # of a look at most; half of all prompts where there are fewer than twice as many


@dataclass
class AuditSetup:
    """As asked for on the command line; what isn't given is the run's that the reference belongs to, if it belongs to one."""

    reference: str
    truths: Sequence[str]
    proxy: str | None
    prompts: str
    count: int
    sampler: dict[str, Any]
    seed: int | None
    env: Env
    given: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def home(self) -> RunHome | None:
        """The run that the reference belongs to."""
        return RunHome.of(self.reference)

    @property
    def base_seed(self) -> int:
        """The seed of all draws: the run's own, if no other is given."""
        if self.seed is not None:
            return self.seed
        return self.home.recipe.seed if self.home else 0

    @cached_property
    def settings(self) -> SamplerConfig:
        """How answers are sampled."""
        own = self.home.recipe.sampler if self.home else SamplerConfig()
        return own.model_copy(update={key: value for key, value in self.sampler.items() if value is not None})

    @property
    def least_fall(self) -> float:
        """The share of the gain at the peak that a fall has to undo to count."""
        return self.home.recipe.evaluation.least_fall if self.home else LEAST_FALL

    @property
    def final_prompts(self) -> int:
        """Prompts of the last measurement, at most."""
        return self.home.recipe.evaluation.final_prompts if self.home and not self.prompts else self.count

    @cached_property
    def held_out(self) -> HeldOut:
        """Prompts of the looks, and those reserved. `ValueError` if there are none."""
        if self.prompts:
            rows = texts.prompts(self.prompts, options=ReadOptions(in_recipe=True, keep=True)).rows[: self.count]
            return divide(in_order(rows, self.base_seed), STEP_PROMPTS)
        if self.home is None:
            raise ValueError("audit: the reference belongs to no run, so say what to answer: --prompts FILE")
        path = self.home.run / "prepare" / "prompts_held_out.jsonl"
        if not path.is_file():
            raise ValueError(f"{self.home.run}: has no held-out prompts yet; give --prompts FILE")
        recipe = self.home.recipe
        return divide(in_order(read_prompts(path), recipe.seed), recipe.evaluation.step_prompts)

    @property
    def truth_names(self) -> tuple[str, ...]:
        """The truths: the run's own, if none is given. `ValueError` if there is none."""
        own = self.home.recipe.evaluation.truths if self.home else ()
        names = tuple(self.truths) or tuple(name for name in own if not name.startswith("people:"))
        if not names:
            raise ValueError(f"audit: say what the truth is: --truth {audit_scorers.PROGRAMS}")
        return names

    def call_lines(self, looks: int) -> list[str]:
        """What judges among the truths will be asked at most, a line each. `ValueError` for a judge that there isn't."""
        recipe = self.home.recipe if self.home else None
        judges, calls = (recipe.evaluation.judge, recipe.runtime.judge) if recipe else ((), self.env.calls)
        named = [n for n in self.truth_names if named_judge.is_named(n) and n not in self.given]
        found = [named_judge.find(name, judges, calls, f"--truth {name}")[0] for name in named]
        steps, final = len(self.held_out.steps), len(self.held_out.final(self.final_prompts))
        return [plan_audit_calls(judge, looks, steps, final).line(steps) for judge in found]

    @property
    def proxy_name(self) -> str | None:
        """The proxy: the run's own, if none is given; None without one."""
        own = any(artifacts.load(self.home.run / stage) for stage in ("reward_model", "reward")) if self.home else False
        return self.proxy or ("proxy" if own else None)

    @cached_property
    def network(self) -> Network:
        """The reference."""
        return self.env.load(model_path(self.reference), self.base_seed)

    @cached_property
    def answers(self) -> list[Completion]:
        """Two answers of the reference to each prompt, which say what one SD is."""
        own = self.home.run / "sft" / ANSWERS if self.home else None
        if own and own.is_file():
            return read_completions(own)
        prompts = [prompt for prompt in self.held_out.steps for _ in range(2)]
        sample = exact_sampler(self.settings, self.env)
        return sample(self.network, prompts, Draws.purpose(self.base_seed, "look", "audit units")).completions

    @cached_property
    def evaluator(self) -> Evaluator:
        """The evaluator, with the reference loaded and every scorer made."""
        factory = (
            ScorerFactory.of(self.home.recipe, self.env, self.home.columns) if self.home else ScorerFactory(self.env)
        )
        truths = [self._truth(name, factory) for name in self.truth_names]
        proxy = self._proxy(factory)
        learned = proxy is not None and not isinstance(proxy, Normalized)
        return Evaluator(
            reference=self.network,
            proxy=proxy,
            truths=truths,
            sample=exact_sampler(self.settings, self.env),
            temperature=self.settings.temperature,
            seed=self.base_seed,
            micro_batch_tokens=self.env.micro_batch_tokens,
            outliers=fit_outliers(proxy, self.answers) if learned else None,
        )

    def _truth(self, name: str, factory: ScorerFactory) -> AnyTruth:
        if self.home and name in self.home.recipe.evaluation.truths:
            annotators = SavedAnnotators(self.home.run / "prepare" / "annotators")
            return factory.truths([name], annotators, self.answers)[0]
        if named_judge.is_named(name):
            judge, calls = named_judge.find(name, factory.judges, factory.env.calls, f"--truth {name}")
            own = replace(factory, judges=(judge,), env=replace(factory.env, calls=calls))
            (made,) = own.truths([judge.truth], {}, self.answers, {judge.name: CallLimit(judge.cap)})
            return cast(AnyTruth, replace(cast(Any, made), name=name))  # a dataclass, whichever of the truths it is
        scorer = self._program("--truth", name, factory)
        scale = self._scale(scorer, f"--truth {name}")
        return Truth(name, with_neutral(scorer, scale.mean), scale)

    def _proxy(self, factory: ScorerFactory) -> Any:
        if self.proxy_name is None:
            self.notes.append("no proxy was given: the truth stands alone (--proxy)")
            return None
        if self.proxy_name == "proxy" and self.home:
            if self.home.recipe.reward.kind != "reward_model":
                sample = exact_sampler(self.settings, self.env)
                return factory.normalized_program(read_scale(self.home.run / "reward"), lambda: self.network, sample)
            refitted = refitted_proxy(self.home.run / "policy", self.env)
            return refitted or ensemble.load(self.home.run / "reward_model", self.env.device, dtype=self.env.dtype)
        scorer = self._program("--proxy", self.proxy_name, factory)
        scale = self._scale(scorer, f"--proxy {self.proxy_name}")
        return Normalized(with_neutral(scorer, scale.mean), scale)

    def _program(self, option: str, name: str, factory: ScorerFactory) -> Scorer:
        of_run = partial(audit_scorers.program, option, factory=factory) if named_judge.is_named(name) else None
        made = audit_scorers.named(option, name, (), of_run, self.given.get(name)).scorer
        assert made is not None
        prompts = [*self.held_out.steps, *self.held_out.reserved]
        if isinstance(made, FunctionScorer):
            made.check(prompts, f"{option} {name}")
        if isinstance(made, Verifier):
            made.check_keys(prompts, f"{option} {name}")
        return made

    def _scale(self, scorer: Scorer, where: str) -> Scale:
        """The scale under the reference; where all its answers score alike, the score itself, which is said."""
        try:
            return fit_scale(judged_pairs(scorer, self.answers, where), where)
        except ValueError:
            values = scores(scorer, self.answers)
            if not len(values) or values.std() > 1e-9:
                raise
            self.notes.append(
                f"{where} gives the same score to all of the reference's answers: its unit is the score itself"
            )
            return Scale(float(values.mean()), 1.0)
