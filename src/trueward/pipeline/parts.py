"""The parts of a recipe by the stage that reads them; a setting that has no effect on a stage has its default there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from trueward.config import (
    SHAPING,
    EngineConfig,
    JudgeConfig,
    LoraConfig,
    PolicyConfig,
    Recipe,
    RewardConfig,
    SamplerConfig,
    Section,
)
from trueward.config.engine import NO_RESULT
from trueward.config.guards import GUARD_FIELDS
from trueward.data import llama_factory, snapshots
from trueward.pipeline.guards import guard_spec
from trueward.pipeline.judge_labels import uses_judge
from trueward.pipeline.model_files import model_files
from trueward.scorers import custom

Settings = dict[str, Any]
S = TypeVar("S", bound=Section)
OWN_SECTIONS = {
    "critic": ("ppo",),
    "group": ("grpo", "rloo"),
    "dpo": ("dpo",),
    "best_of_n": ("best_of_n", "sft_on_best"),
}
"""The sections of [policy], and whose they are."""
OUTSIDE = ("final_pairs", "control", "proxy_is_truth", "guard_minutes")
"""Fields of [evaluation] that no measurement depends on."""


@dataclass(frozen=True)
class Parts:
    """Sections of a recipe for each stage: without the settings that have no effect there, or None."""

    recipe: Recipe

    @property
    def is_model(self) -> bool:
        """Whether the proxy is a reward model."""
        return self.recipe.reward.kind == "reward_model"

    @property
    def compares(self) -> bool:
        """Whether comparisons are made: for a reward model to be fitted, or for DPO."""
        policy = self.recipe.policy
        return (self.is_model and not self.recipe.reward.model) or (policy.kind == "dpo" and not policy.dpo.online)

    @property
    def fits(self) -> bool:
        """Whether a reward model is fitted in this run."""
        return self.is_model and not self.recipe.reward.model

    @property
    def cross_checks(self) -> bool:
        """Whether a second reward model is fitted to comparisons that neither the proxy nor the policy learns from."""
        policy = self.recipe.policy
        return self.fits and self.recipe.reward.cross_check and not (policy.kind == "dpo" and not policy.dpo.online)

    @property
    def learns_from_comparisons(self) -> bool:
        """Whether the policy stage takes the comparisons: for DPO, or to relabel."""
        return self.recipe.policy.kind == "dpo" or self.recipe.policy.relabel.every > 0

    @property
    def sampler(self) -> SamplerConfig:
        """The settings that all samples depend on; the others of the engine affect rollouts alone."""
        rows = self.recipe.sampler.engine.max_num_seqs
        return self.recipe.sampler.model_copy(update={"engine": EngineConfig(max_num_seqs=rows)})

    @property
    def rollouts(self) -> SamplerConfig:
        """The settings that the policy's rollouts depend on."""
        return self.recipe.sampler.model_copy(update={"engine": without(self.recipe.sampler.engine, *NO_RESULT)})

    @property
    def lora(self) -> LoraConfig | None:
        """The adapters' settings; None without adapters."""
        return self.recipe.lora if self.recipe.lora.rank else None

    @property
    def may_need_control(self) -> bool:
        """Whether the control may be run, depending on the verdict."""
        return self.recipe.evaluation.control == "unmoved" and self.recipe.policy.kind != "best_of_n"

    @property
    def rates(self) -> bool:
        """Whether the proxy is the judge's rating, or has it as a part."""
        reward = self.recipe.reward
        return "judge" in (reward.kind, *(p.scorer for p in (reward.parts if reward.kind == "mix" else ())))

    @property
    def guards(self) -> tuple[str, ...]:
        """The guards that are run: none where nothing is trained."""
        return self.recipe.evaluation.guards if self.recipe.policy.kind != "best_of_n" else ()

    @property
    def preparing(self) -> Settings:
        """The settings of the stage `prepare`."""
        return {"model": without(self.recipe.model, "dtype"), "data": self.recipe.data}

    @property
    def imitating(self) -> Settings:
        """The settings of the stage `sft`."""
        r, lora = self.recipe, without(self.lora, "save") if self.lora else None  # SFT's adapter is always merged
        model = (
            r.model if r.model.dtype == "bfloat16" else without(r.model, "dtype")
        )  # all later stages follow from this one
        return {"seed": r.seed, "model": model, "sft": r.sft, "sampler": self.sampler, "lora": lora}

    @property
    def comparing(self) -> Settings:
        """The settings of the stage `comparisons`."""
        r, source = self.recipe, self.recipe.comparisons.source
        by_people = source == "file" or source.startswith(snapshots.PREFIX)
        more = {"data": r.data if by_people else None, "judge": r.judge if source == "judge" else None}
        return {"seed": r.seed, "comparisons": r.comparisons, "sampler": self.sampler, **more}

    @property
    def proxy(self) -> RewardConfig:
        """The proxy's own settings, without those of reward shaping, which belong to the policy."""
        idle = {"cross_check": not self.cross_checks, "judge_mode": self.recipe.reward.kind != "judge"}
        return without(self.recipe.reward, *SHAPING, *(name for name, is_idle in idle.items() if is_idle))

    @property
    def rewarding(self) -> RewardConfig:
        """How the policy is rewarded by the proxy, whatever that was fitted to."""
        return without(
            self.recipe.reward, "cross_check", *(["judge_mode"] if self.recipe.reward.kind != "judge" else [])
        )

    @property
    def fitting(self) -> Settings:
        """The settings of the stage `reward_model`."""
        r, labels = self.recipe, self.recipe.comparisons if self.fits else None
        return {"seed": r.seed, "reward": self.proxy, "labels": labels, "lora": self.lora}

    @property
    def scaling(self) -> Settings:
        """The settings of the stage `reward`."""
        r, rates = self.recipe, self.rates
        more = {"judge": r.judge if rates else None, "annotator": r.comparisons.annotator if rates else None}
        return {"seed": r.seed, "reward": self.proxy, **more}

    @property
    def judge(self) -> JudgeConfig | None:
        """The judge's settings for the policy and its evaluation; None if it is neither the proxy nor a truth."""
        return self.recipe.judge if self.rates or "judge" in self.recipe.evaluation.truths else None

    @property
    def policy(self) -> PolicyConfig:
        """[policy] without the sections of other optimisers."""
        policy = self.recipe.policy
        others = [name for name, kinds in OWN_SECTIONS.items() if policy.kind not in kinds]
        return without(policy, *others, *([] if policy.relabel.every else ["relabel"]))

    @property
    def optimising(self) -> Settings:
        """The settings of the stage `policy`."""
        r, evaluation = self.recipe, without(self.recipe.evaluation, "final_prompts", *OUTSIDE)
        if not self.guards:
            evaluation = without(evaluation, *GUARD_FIELDS)
        return {
            "seed": r.seed,
            "policy": self.policy,
            "sampler": self.rollouts,
            "evaluation": evaluation,
            "rewarding": self.rewarding,
            "labels": r.comparisons if r.policy.relabel.every else None,
            "distilling": r.sft if r.policy.kind == "sft_on_best" else None,
            "judge": self.judge,
            "lora": self.lora,
        }

    @property
    def evaluating(self) -> Settings:
        """The settings of the stage `evaluation`."""
        r, while_training = self.recipe, ["every", "stop_when", "step_pairs", *GUARD_FIELDS]
        if r.policy.kind == "best_of_n":
            while_training.append("step_prompts")  # no evaluation in training uses any
        return {
            "seed": r.seed,
            "model": None if r.sft.model else r.model,
            "config": self.policy,
            "sampler": self.rollouts,
            "evaluation": without(r.evaluation, *while_training, *OUTSIDE),
            "rewarding": self.rewarding,
            "judge": self.judge,
        }

    @property
    def own_scorers(self) -> dict[str, str]:
        """The scorers of the user's own, by the settings that name them."""
        reward, names = self.recipe.reward, {}
        if reward.kind == "verifier":
            names["reward.verifier"] = reward.verifier
        if reward.kind == "mix":
            names |= {f"reward.parts.{i}.scorer": part.scorer for i, part in enumerate(reward.parts)}
        names |= {f"evaluation.truths.{i}": name for i, name in enumerate(self.recipe.evaluation.truths)}
        return {setting: name for setting, name in names.items() if custom.is_custom(name)}

    @property
    def reads_columns(self) -> bool:
        """Whether a scorer may ask for columns of the prompts' rows: one of the user's own, or a judge with rubrics."""
        return bool(self.own_scorers) or any(judge.rubric for judge in self.recipe.evaluation.judge)

    @property
    def base_files(self) -> list[Path]:
        """Files of the base model."""
        return model_files(self.recipe.model.base)

    @property
    def sft_files(self) -> list[Path]:
        """Files that the stage `sft` reads: of the base model, or of a ready SFT model."""
        return self.base_files + model_files(self.recipe.sft.model)

    @property
    def judge_files(self) -> list[Path]:
        """Files of a local judge; empty if no judge is used or it is behind a service."""
        judge = self.recipe.judge
        return model_files(judge.model) if uses_judge(self.recipe) and not judge.endpoint else []

    @property
    def comparison_files(self) -> list[Path]:
        """Files that the stage `comparisons` reads."""
        comparisons = self.recipe.comparisons
        named = snapshots.compared(comparisons.source, comparisons.path)
        files = [file for path in named for file in llama_factory.files(path)]
        return files + (self.judge_files if comparisons.source == "judge" else [])

    @property
    def reward_files(self) -> list[Path]:
        """Files of a ready reward model (`reward.model`)."""
        return model_files(self.recipe.reward.model)

    @property
    def truth_files(self) -> list[Path]:
        """Files of the truths: reward models, the user's own scorers, a local judge."""
        truths = self.recipe.evaluation.truths
        files = [f for t in truths if t.startswith("model:") for f in model_files(t.removeprefix("model:"))]
        local = [j.model for j in self.recipe.evaluation.judge if not j.endpoint]
        files += [file for model in local for file in model_files(model)]
        return files + custom_files(truths) + (self.judge_files if "judge" in truths else [])

    @property
    def policy_files(self) -> list[Path]:
        """Files that the stage `policy` reads: the truths', the guards', the source of the user's own loss and algorithm."""
        policy = self.recipe.policy
        guarding = [file for spec in guard_spec.read_all(self.guards) for file in spec.files]
        return self.truth_files + guarding + custom_files([policy.kind, policy.loss])

    @property
    def scorer_files(self) -> list[Path]:
        """Files that the stage `reward` reads: the user's own scorers, reward models in a mixture, a local judge that rates."""
        reward = self.recipe.reward
        names = [reward.verifier] if reward.kind == "verifier" else [p.scorer for p in reward.parts]
        models = [Path(n.removeprefix("model:")) for n in names if n.startswith("model:")]
        weights = [f for m in models if m.is_dir() for f in sorted(m.glob("*.safetensors"))]
        return custom_files(names) + weights + (self.judge_files if self.rates else [])


def without(section: S, *names: str) -> S:
    """A section with these settings at their defaults."""
    fields = type(section).model_fields
    return section.model_copy(update={name: fields[name].get_default(call_default_factory=True) for name in names})


def custom_files(names: Sequence[str]) -> list[Path]:
    """Source files of the user's own scorers among these names."""
    return [file for name in names if custom.is_custom(name) for file in custom.source(name)]
