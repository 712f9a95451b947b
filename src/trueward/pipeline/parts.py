"""The parts of a recipe by who reads them: what plays no part for a stage has its default there, or is None."""

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
from trueward.data import snapshots
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


@dataclass(frozen=True)
class Parts:
    """The parts of a recipe by who reads them: a section without the settings that play no part there, or None."""

    recipe: Recipe

    @property
    def is_model(self) -> bool:
        """Whether the proxy is a reward model."""
        return self.recipe.reward.kind == "reward_model"

    @property
    def compares(self) -> bool:
        """Whether comparisons are made: a reward model is fitted to them, or DPO learns from them."""
        policy = self.recipe.policy
        return (self.is_model and not self.recipe.reward.model) or (policy.kind == "dpo" and not policy.dpo.online)

    @property
    def fits(self) -> bool:
        return self.is_model and not self.recipe.reward.model

    @property
    def learns_from_comparisons(self) -> bool:
        return self.recipe.policy.kind == "dpo" or self.recipe.policy.relabel.every > 0

    @property
    def sampler(self) -> SamplerConfig:
        """What all samples depend on; the rest of the engine is about rollouts."""
        rows = self.recipe.sampler.engine.max_num_seqs
        return self.recipe.sampler.model_copy(update={"engine": EngineConfig(max_num_seqs=rows)})

    @property
    def lora(self) -> LoraConfig | None:
        return self.recipe.lora if self.recipe.lora.rank else None

    @property
    def may_need_control(self) -> bool:
        return self.recipe.evaluation.control == "unmoved" and self.recipe.policy.kind != "best_of_n"

    @property
    def rates(self) -> bool:
        """Whether the proxy is, or has in it, the judge's rating."""
        reward = self.recipe.reward
        return "judge" in (reward.kind, *(p.scorer for p in (reward.parts if reward.kind == "mix" else ())))

    @property
    def preparing(self) -> Settings:
        return {"model": self.recipe.model, "data": self.recipe.data}

    @property
    def imitating(self) -> Settings:
        r, lora = self.recipe, without(self.lora, "save") if self.lora else None  # SFT's adapter is always merged
        return {"seed": r.seed, "model": r.model, "sft": r.sft, "sampler": self.sampler, "lora": lora}

    @property
    def comparing(self) -> Settings:
        r, source = self.recipe, self.recipe.comparisons.source
        by_people = source == "file" or source.startswith(snapshots.PREFIX)
        more = {"data": r.data if by_people else None, "judge": r.judge if source == "judge" else None}
        return {"seed": r.seed, "comparisons": r.comparisons, "sampler": self.sampler, **more}

    @property
    def proxy(self) -> RewardConfig:
        """The proxy's own settings; how its scores are shaped is the policy's."""
        return without(self.recipe.reward, *SHAPING)

    @property
    def fitting(self) -> Settings:
        r, labels = self.recipe, self.recipe.comparisons if self.fits else None
        return {"seed": r.seed, "reward": self.proxy, "labels": labels, "lora": self.lora}

    @property
    def scaling(self) -> Settings:
        r, rates = self.recipe, self.rates
        more = {"judge": r.judge if rates else None, "annotator": r.comparisons.annotator if rates else None}
        return {"seed": r.seed, "reward": self.proxy, **more}

    @property
    def judge(self) -> JudgeConfig | None:
        """Of the policy and its evaluation: where the judge is the proxy or a truth."""
        return self.recipe.judge if self.rates or "judge" in self.recipe.evaluation.truths else None

    @property
    def policy(self) -> PolicyConfig:
        """[policy] without the sections of other optimisers."""
        policy = self.recipe.policy
        others = [name for name, kinds in OWN_SECTIONS.items() if policy.kind not in kinds]
        return without(policy, *others, *([] if policy.relabel.every else ["relabel"]))

    @property
    def optimising(self) -> Settings:
        r, evaluation = self.recipe, without(self.recipe.evaluation, "final_prompts", "final_pairs", "control")
        return {
            "seed": r.seed,
            "policy": self.policy,
            "sampler": r.sampler,
            "evaluation": evaluation,
            "rewarding": r.reward,
            "labels": r.comparisons if r.policy.relabel.every else None,
            "distilling": r.sft if r.policy.kind == "sft_on_best" else None,
            "judge": self.judge,
            "lora": self.lora,
        }

    @property
    def evaluating(self) -> Settings:
        r, while_training = self.recipe, ("every", "step_prompts", "stop_when", "step_pairs")
        return {
            "seed": r.seed,
            "model": None if r.sft.model else r.model,
            "config": self.policy,
            "sampler": r.sampler,
            "evaluation": without(r.evaluation, *while_training, "final_pairs", "control"),
            "rewarding": r.reward,
            "judge": self.judge,
        }

    @property
    def base_files(self) -> list[Path]:
        return model_files(self.recipe.model.base)

    @property
    def sft_files(self) -> list[Path]:
        return self.base_files + model_files(self.recipe.sft.model)

    @property
    def judge_files(self) -> list[Path]:
        judge = self.recipe.judge
        return model_files(judge.model) if uses_judge(self.recipe) and not judge.endpoint else []

    @property
    def comparison_files(self) -> list[Path]:
        comparisons = self.recipe.comparisons
        files = snapshots.compared(comparisons.source, comparisons.path)
        return files + (self.judge_files if comparisons.source == "judge" else [])

    @property
    def reward_files(self) -> list[Path]:
        """Of a reward model that is ready."""
        return model_files(self.recipe.reward.model)

    @property
    def truth_files(self) -> list[Path]:
        truths = self.recipe.evaluation.truths
        files = [f for t in truths if t.startswith("model:") for f in model_files(t.removeprefix("model:"))]
        return files + custom_files(truths) + (self.judge_files if "judge" in truths else [])

    @property
    def policy_files(self) -> list[Path]:
        """Of the stage `policy`: the truths', and the source of a policy loss and an algorithm that are the user's own."""
        policy = self.recipe.policy
        return self.truth_files + custom_files([policy.kind, policy.loss])

    @property
    def scorer_files(self) -> list[Path]:
        """Of scorers that are the user's own, of reward models in a mixture, of a judge that rates and runs here."""
        reward = self.recipe.reward
        names = [reward.verifier] if reward.kind == "verifier" else [p.scorer for p in reward.parts]
        models = [Path(n.removeprefix("model:")) for n in names if n.startswith("model:")]
        weights = [f for m in models if m.is_dir() for f in sorted(m.glob("*.safetensors"))]
        return custom_files(names) + weights + (self.judge_files if self.rates else [])


def without(section: S, *names: str) -> S:
    """A section in which these settings have their defaults."""
    fields = type(section).model_fields
    return section.model_copy(update={name: fields[name].get_default(call_default_factory=True) for name in names})


def custom_files(names: Sequence[str]) -> list[Path]:
    """The source of scorers that are the user's own."""
    return [file for name in names if custom.is_custom(name) for file in custom.source(name)]
