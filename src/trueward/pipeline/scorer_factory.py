"""Makes the scorers that settings name: the proxy of any kind, the truths, the judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trueward.config import EvaluationJudgeConfig, JudgeConfig, Recipe, RewardConfig
from trueward.config.evaluation_judge import PREFIX
from trueward.evaluation.grouped_truth import GroupedTruth
from trueward.evaluation.judged_truth import JudgedTruth
from trueward.evaluation.truth import AnyTruth, Truth
from trueward.models.network import Network
from trueward.pipeline import named_judge
from trueward.pipeline.judge_labels import build_judge, uses_judge
from trueward.pipeline.judge_truths import SCALE_PROMPTS, make_judge
from trueward.records import Completion, Prompt
from trueward.sampling.sampler import Sample
from trueward.scorers import custom, reward_model, simulated
from trueward.scorers.custom import CustomScorer, FunctionScorer, with_neutral
from trueward.scorers.judge.call_limit import CallLimit
from trueward.scorers.judge.judge_options import read_judge
from trueward.scorers.judge.rating import FAILED, JudgeScorer
from trueward.scorers.judge.relative import Refer, RelativeJudge
from trueward.scorers.judge.rubric import RubricScorer
from trueward.scorers.mix import Ingredient, Mix, length
from trueward.scorers.normalized import Normalized
from trueward.scorers.scorer import Scale, Scorer, fit_scale, judged_pairs
from trueward.scorers.scorer_spec import ScorerSpec
from trueward.scorers.shaping import references
from trueward.scorers.simulated import Annotator
from trueward.scorers.user_function import Columns
from trueward.scorers.verifiers import catalogue, selftest
from trueward.scorers.verifiers.verifier import Verifier
from trueward.training.env import Env


@dataclass(frozen=True)
class ScorerFactory:
    """Makes the scorers of a run. What has no effect on it is None or empty."""

    env: Env
    seed: int = 0
    reward: RewardConfig | None = None
    judge: JudgeConfig | None = None
    options: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """Options of truths that are verifiers, by the truth's name."""
    given: Mapping[str, Scorer] = field(default_factory=dict)
    """The caller's scorers, by their names in settings."""
    columns: Columns = field(default_factory=dict)
    """Columns of the prompts' rows, by the prompt's id, for the user's scorers."""
    judges: Sequence[EvaluationJudgeConfig] = ()
    """The judges of [[evaluation.judge]]."""

    @classmethod
    def of(cls, recipe: Recipe, env: Env, columns: Columns | None = None) -> ScorerFactory:
        """The factory of a recipe."""
        judge = recipe.judge if recipe.judge.model else None
        evaluation = recipe.evaluation
        return cls(env, recipe.seed, recipe.reward, judge, evaluation.options, {}, columns or {}, evaluation.judge)

    def judge_scorer(self, neutral: float | None = None) -> Scorer:
        """The judge's rating as a scorer. neutral: the score of an answer without a rating."""
        assert self.judge is not None
        return JudgeScorer(build_judge(self.judge, self.seed, self.env), neutral)

    def named(self, name: str, options: dict[str, Any], where: str) -> Scorer:
        """The scorer of that name, on its own scale. where: what errors call its options."""
        if name in self.given:
            return self.given[name]
        if name == "judge":
            if options or self.judge is None:
                raise ValueError(f"{where}: a judge has a section of its own, [judge], and takes no options here")
            return self.judge_scorer()
        if named_judge.is_named(name):
            return self._judge_of(name, options, where)
        if name == "length":
            return length
        if name.startswith("model:"):
            if options:
                raise ValueError(f"{where}: {name} is a reward model, and takes no options")
            return reward_model.load(Path(name.removeprefix("model:")), self.env.device, dtype=self.env.dtype)
        if custom.is_custom(name):
            if options:
                raise ValueError(f"{where}: {name} is a function of your own, and takes no options")
            return CustomScorer(name, self.columns)
        return catalogue.make(name.removeprefix("verifier:"), options, where)

    def _judge_of(self, name: str, options: dict[str, Any], where: str) -> Scorer:
        """The ratings of a judge of [[evaluation.judge]]. where: what errors call it."""
        judge, calls = named_judge.find(name, self.judges, self.env.calls, where)
        if options:
            raise ValueError(f"{where}: {judge.name} is set up in [[evaluation.judge]], and takes no options")
        named_judge.refuse_comparing(judge, where)
        limit = None if judge.cap is None else CallLimit(judge.cap)
        made = make_judge(judge, self.seed, replace(self.env, calls=calls), limit)
        return RubricScorer(made, judge.rubric, self.columns) if judge.rubric else JudgeScorer(made)

    def specified(self, spec: ScorerSpec, where: str) -> Scorer:
        """The scorer of a command line, with its options, on its own scale. where: what errors call it."""
        if spec.name in self.given or spec.name != "judge":
            return self.named(spec.name, spec.options, where)
        judge, calls = read_judge(spec.options, self.judge, self.env.calls, where)
        return replace(self, judge=judge, env=replace(self.env, calls=calls)).judge_scorer()

    def truth(self, name: str) -> Scorer:
        """A truth that is a program; without own options it takes the proxy's, if that is the same verifier."""
        options = self.options.get(name)
        if options is None:
            reward = self.reward
            verifier = reward.verifier if reward is not None and reward.kind == "verifier" else ""
            same = bool(verifier) and name in (verifier, f"verifier:{verifier}")
            options = reward.options if same and reward is not None else {}
        return self.named(name, options, f"evaluation.options.{name}")

    def truths(
        self,
        names: Sequence[str],
        annotators: Mapping[str, Annotator],
        answers: Sequence[Completion],
        limits: Mapping[str, CallLimit] | None = None,
    ) -> list[AnyTruth]:
        """The truths of these names, people aside, each on its scale under the SFT policy's answers (two to each prompt).

        limits: of the judges' calls, by their names.
        """
        truths: list[AnyTruth] = []
        for name in (name for name in names if not name.startswith("people:")):
            where = f"evaluation.truths: {name}"
            if name == "judge" or name.startswith(PREFIX):
                truths.append(self._judge_truth(name, answers, where, limits or {}))
                continue
            scorer = self._truth(name, annotators)
            scale = fit_scale(judged_pairs(scorer, answers, where), where)
            truths.append(Truth(name, with_neutral(scorer, scale.mean), scale))
        return truths

    def _judge_truth(
        self, name: str, answers: Sequence[Completion], where: str, limits: Mapping[str, CallLimit]
    ) -> AnyTruth:
        """A judge as a truth, which never ends a run: what it doesn't judge is missing, and so is all without a scale."""
        if name == "judge":
            assert self.judge is not None
            judge = build_judge(self.judge, self.seed, self.env, CallLimit())
        else:
            config = next(judge for judge in self.judges if judge.truth == name)
            judge = make_judge(config, self.seed, self.env, limits.get(config.name) or CallLimit())
            if config.mode == "pairwise":
                return JudgedTruth(name, judge)
            if config.mode == "grouped":
                return GroupedTruth(name, judge)
            answers = answers[: 2 * SCALE_PROMPTS]
        rubric = "" if name == "judge" else config.rubric
        scorer: Scorer = RubricScorer(judge, rubric, self.columns) if rubric else JudgeScorer(judge)
        scored = scorer(answers)
        pairs = np.array([np.nan if v.parts[FAILED] else v.score for v in scored]).reshape(-1, 2)
        rated = pairs[np.isfinite(pairs).all(axis=1)]
        if not len(rated):
            self.env.progress.tell(f"{where}: not measured: it rated none of SFT's answers: {judge.failure}")
        return Truth(name, scorer, fit_scale(rated, where) if len(rated) else Scale(np.nan, 1.0))

    def _truth(self, name: str, annotators: Mapping[str, Annotator]) -> Scorer:
        """A truth by its name: `model:PATH` (a reward model that is never optimised), a program, or a simulated utility."""
        if name in self.given:
            return self.given[name]
        if name.startswith("model:"):
            return reward_model.load(Path(name.removeprefix("model:")), self.env.device, dtype=self.env.dtype)
        if ":" in name:
            return self.truth(name)
        try:
            return simulated.pick(annotators, name)
        except ValueError as error:
            raise ValueError(
                f"evaluation.truths: {error}; or give model:DIRECTORY, verifier:NAME, or [] to measure no truth"
            ) from None

    def program(self, neutral: float | None = None, refer: Refer | None = None) -> Scorer:
        """The verifier, mixture or judge that is the proxy, on its own scale. neutral: as in `judge_scorer`.

        refer: the SFT policy's answers, beside which a judge with a `reward.judge_mode` sets others.
        """
        config = self.reward
        assert config is not None
        if config.kind == "judge" and config.judge_mode != "pointwise":
            assert self.judge is not None
            assert refer is not None
            return RelativeJudge(build_judge(self.judge, self.seed, self.env), config.judge_mode, refer, neutral)
        if config.kind == "judge":
            return self.judge_scorer(neutral)
        if config.kind == "verifier":
            own = custom.is_custom(config.verifier) or config.verifier in self.given
            name = config.verifier if own else f"verifier:{config.verifier}"
            return with_neutral(self.named(name, config.options, "reward.options"), neutral)
        ingredients = [
            Ingredient(
                p.name or p.scorer.removeprefix("verifier:"),
                self.named(p.scorer, p.options, f"reward.parts.{i}.options"),
                p.weight,
                p.gate,
            )
            for i, p in enumerate(config.parts)
        ]
        return Mix(ingredients, config.floor, neutral)

    def normalized_program(self, scale: Scale, sft: Callable[[], Network], sample: Sample) -> Normalized:
        """The same in SDs under the SFT policy. sft: gets that policy, where answers are set beside its own. sample: with the
        recipe's parameters."""
        config = self.reward
        assert config is not None
        if config.kind != "judge" or config.judge_mode == "pointwise":
            return Normalized(self.program(scale.mean), scale)
        count = config.references if config.judge_mode == "grouped" else 1
        return Normalized(self.program(scale.mean, references(sample, sft(), count, self.seed)), scale)


def check_scorers(recipe: Recipe, prompts: Sequence[Prompt], env: Env, columns: Columns | None = None) -> int:
    """Make every program that the recipe names and test it on the recipe's prompts; returns the number of cases.

    It is called before training, so that a verifier which rewards the empty answer is found before a policy exploits it.
    """
    factory = ScorerFactory.of(recipe, env, columns)
    programs: dict[str, Scorer] = {}
    if uses_judge(recipe):
        build_judge(recipe.judge, recipe.seed, env)  # fails before training if there is no such model, or no key
    for judge in recipe.evaluation.judge:
        made = make_judge(judge, recipe.seed, env, CallLimit())
        if judge.rubric:
            RubricScorer(made, judge.rubric, columns or {}).check(prompts, f"evaluation.judge {judge.name}: rubric")
    if recipe.reward.kind not in ("reward_model", "judge"):
        proxy = factory.program()
        parts = {f"reward.parts {i.name}": i.scorer for i in proxy.ingredients} if isinstance(proxy, Mix) else {}
        programs |= parts or {f"reward.verifier = {recipe.reward.verifier!r}": proxy}
    programs |= {f"evaluation.truths: {name}": factory.truth(name) for name in program_truths(recipe)}
    verifiers = {where: v for where, v in programs.items() if isinstance(v, Verifier)}
    if verifiers:
        refuse_two_keys(prompts)
    unique = list({p.id: p for p in prompts}.values())
    for where, program in programs.items():
        if isinstance(program, FunctionScorer):
            program.check(unique, where)
            program.try_out(unique)
    return sum(selftest.require(v, unique, where) for where, v in verifiers.items())


def program_truths(recipe: Recipe) -> list[str]:
    """The truths that are neither a simulated utility nor a reward model."""
    others = ("model:", "people:", PREFIX)
    return [name for name in recipe.evaluation.truths if ":" in name and not name.startswith(others)]


def refuse_two_keys(prompts: Sequence[Prompt]) -> None:
    """`ValueError` if a prompt occurs with two answer keys."""
    keys: dict[str, str] = {}
    for prompt in prompts:
        if keys.setdefault(prompt.id, prompt.answer) != prompt.answer:
            raise ValueError(
                f"data.prompts: the prompt {str(prompt)[:60]!r} has two answer keys, "
                f"{keys[prompt.id][:40]!r} and {prompt.answer[:40]!r}; expected one"
            )
