"""[policy] and its own sections: the optimiser and its KL anchor."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from trueward.config import presets
from trueward.config.section import NonNegative, Positive, Rate, Section, Share

KINDS = ("ppo", "grpo", "rloo", "dpo", "best_of_n", "sft_on_best")
OWN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"  # a user's own code: module:name


class GroupConfig(Section):
    """[policy.group]: settings of grpo and rloo."""

    preset: Literal["", "grpo", "dr_grpo", "dapo", "gspo", "cispo"] = ""
    """With grpo: a published algorithm, whose settings count where the recipe sets none (docs/algorithms/grpo.md)."""
    size: Annotated[int, Field(ge=2)] = 8
    """Samples of each prompt; policy.batch_size must be a multiple of it."""
    std: Literal["none", "population", "sample"] = "none"
    """The group's SD by which advantages are divided: none (Dr. GRPO), the population's or the sample's (GRPO)."""
    kl: Literal["reward", "k2", "k3", "k3-weighted"] = "reward"
    """Where the KL penalty is: k1 in the reward, or an estimator in the loss (docs/algorithms/grpo.md compares them)."""
    reducer: Literal["token", "sequence", "constant"] = "token"
    """How the loss is averaged: over the step's tokens (DAPO), by answer first (GRPO), by the maximum length (Dr. GRPO)."""
    ratio: Literal["token", "sequence", "weight"] = "token"
    """The importance ratio: by token (PPO), by answer (GSPO), or as a clipped weight (CISPO)."""
    clip_high: Rate | None = None
    """If set, the clip range above 1, in place of policy.clip (DAPO)."""
    drop_equal_groups: bool = False
    """Leave out groups whose answers all have the same reward (DAPO); exact only without an anchor."""
    refill: Annotated[int, Field(ge=0)] = 0
    """At most N more rounds of sampling other prompts to replace dropped groups (DAPO)."""
    overlong_tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens before the length limit over which a penalty grows to 1 SD (DAPO); 0: none."""


class CriticConfig(Section):
    """[policy.critic]: ppo's value network."""

    trunk: Literal["own", "shared"] = "own"
    """own: a network of its own; shared: a value head on the policy's network, which starts from zero."""
    coef: Rate = 0.1
    """With trunk = "shared": weight of the value loss, whose gradient reaches the policy's network too."""
    start: Literal["reward_model", "zero"] = "reward_model"
    """Start of the value network: the reward model's weights, or the SFT policy's with a value head of zeros."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """First N of policy.steps, in which only the value network learns, from Monte-Carlo returns (VC-PPO)."""
    gae_lambda: Share | None = None
    """If set, λ of the value targets, in place of policy.gae_lambda (VC-PPO)."""
    adaptive_lambda: Rate | None = None
    """If set to α, the advantages' λ is 1 − 1/(α·length) for each answer, in place of policy.gae_lambda (VAPO)."""


class DpoConfig(Section):
    """[policy.dpo]: settings of dpo; β is policy.kl_coef."""

    learning_rate: Rate = 1e-4
    """Peak learning rate, in place of policy.learning_rate."""
    loss: Literal["sigmoid", "ipo", "robust", "simpo"] = "sigmoid"
    """DPO's logistic loss, IPO, robust DPO, or SimPO (without a reference policy)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """With sigmoid: ε of conservative DPO; with robust: the assumed share of flipped labels."""
    simpo_beta: Rate = 2.0
    """With simpo: β, the scale of the difference of mean log-probs."""
    simpo_margin: NonNegative = 1.0
    """With simpo: γ, the margin that the difference has to reach."""
    online: bool = False
    """Learn from pairs of the current policy's answers, labelled by the proxy, not from the comparisons (Guo et al. 2024)."""
    labels: Literal["soft", "hard"] = "soft"
    """With online: soft labels (σ of the score difference, in SDs) or hard ones (1 for the higher score; no optimum exists)."""


class BestOfNConfig(Section):
    """[policy.best_of_n]: settings of best_of_n and sft_on_best."""

    n: Annotated[int, Field(ge=2)] = 8
    """Samples of the SFT policy for each prompt, of which the one with the highest score is kept."""
    prompts: Positive = 2000
    """With sft_on_best: prompts whose best answers are trained on for one epoch, with the settings of [sft]."""


class RelabelConfig(Section):
    """[policy.relabel]: new comparisons of the policy's own answers while it is trained."""

    every: Annotated[int, Field(ge=0)] = 0
    """Refit the reward model, from the SFT policy, to all comparisons every N steps; 0: never."""
    comparisons: Positive = 200
    """Pairs of the policy's answers that are compared before each refit."""


class PolicyConfig(Section):
    """[policy]: the optimiser and its KL anchor."""

    kind: str = Field("ppo", json_schema_extra={"enum": list(KINDS)})
    """The algorithm; or `module:NAME`, your own (docs/own-algorithms.md)."""
    options: dict[str, Any] = Field({})
    """Settings of your own algorithm, which it reads as config.options."""
    loss: str = Field("", pattern=OWN + "|^$")
    """With ppo, grpo or rloo: `module:function`, your own policy loss (docs/own-algorithms.md); empty: the algorithm's."""
    steps: Positive = 50
    """Training steps (ppo, grpo, rloo: one rollout each)."""
    batch_size: Positive = 128
    """Completions a step (ppo: one a prompt; grpo, rloo: group.size a prompt); dpo: comparisons a step, of two answers each."""
    kl_coef: NonNegative = 0.1
    """Weight β of the KL penalty to the reference policy, with the proxy in units of its SD under that policy."""
    target_kl: Rate | None = None
    """If set, β is adapted to reach this sequence-level KL, in nats (Ziegler et al. 2019)."""
    learning_rate: Rate = 3e-4
    """Peak learning rate of the policy."""
    value_learning_rate: Rate = 1e-3
    """With ppo: peak learning rate of the value network."""
    warmup: Share = 0.1
    """Share of the steps over which the rates rise linearly from zero."""
    decay: bool = True
    """Whether the rates fall linearly to zero after the warm-up."""
    epochs: Positive = 2
    """Passes over each rollout."""
    minibatches: Positive = 4
    """Minibatches of each pass, with an optimiser step each."""
    clip: Rate = 0.2
    """Clip range ε of the ratio: [1 − ε, 1 + ε]."""
    dual_clip: Annotated[float, Field(gt=1, allow_inf_nan=False)] | None = None
    """If set to c, tokens of negative advantage with a ratio above c get no gradient (Ye et al. 2020)."""
    importance_sampling_cap: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    """If set to C, PPO's ratio is to the policy at the step's start, and tokens weigh min(π/π_sampler, C) (docs/losses.md);
    2 by itself where products are in bfloat16 (docs/precision.md)."""
    value_clip: Rate = 0.2
    """With ppo: clip range of the values around those at the rollout, in SDs of the proxy."""
    discount: Annotated[float, Field(gt=0, le=1)] = 1.0
    """With ppo: γ, the discount of rewards by token."""
    gae_lambda: Share = 0.95
    """With ppo: λ of generalized advantage estimation."""
    whiten_advantages: bool = True
    """With ppo: scale advantages to mean 0 and SD 1 over each rollout."""
    missing_eos_penalty: NonNegative = 1.0
    """Subtracted from the score of a truncated answer, in SDs of the proxy."""
    max_grad_norm: Rate = 1.0
    """Gradients are clipped to this norm."""
    ptx_coef: NonNegative = 0.0
    """Weight of the SFT loss on demonstrations that is added to the policy's loss in every minibatch (PPO-ptx, InstructGPT)."""
    trainable_layers: Annotated[int, Field(ge=0)] = 0
    """Train only the top N layers and the last norm; the layers below are computed once a rollout. 0: train all layers."""
    critic: CriticConfig = CriticConfig()
    group: GroupConfig = GroupConfig()
    dpo: DpoConfig = DpoConfig()
    best_of_n: BestOfNConfig = BestOfNConfig()
    relabel: RelabelConfig = RelabelConfig()

    @model_validator(mode="before")
    @classmethod
    def _follow_preset(cls, table: Any) -> Any:
        return presets.fill(table)

    @property
    def is_own(self) -> bool:
        """Whether the algorithm is a user's."""
        return self.kind not in KINDS

    @model_validator(mode="after")
    def _there_is_such_an_algorithm(self) -> PolicyConfig:
        if self.is_own and not re.fullmatch(OWN, self.kind):
            raise ValueError(f"kind: expected {', '.join(KINDS)} or module:NAME, got {self.kind!r}")
        if self.options and not self.is_own:
            raise ValueError(f"options are those of an algorithm of your own, and {self.kind} is none")
        if self.loss and self.kind not in ("ppo", "grpo", "rloo"):
            raise ValueError(f"loss: {self.kind} has no policy loss by token; it is for ppo, grpo and rloo")
        return self

    @model_validator(mode="after")
    def _relabelling_has_a_loop(self) -> PolicyConfig:
        if self.relabel.every and (
            self.kind in ("best_of_n", "sft_on_best") or (self.kind == "dpo" and not self.dpo.online)
        ):
            raise ValueError(
                f"relabel.every: {self.kind} takes no steps against a reward model that could change; it is for ppo, grpo, "
                "rloo and dpo with dpo.online"
            )
        return self

    @model_validator(mode="after")
    def _group_fits(self) -> PolicyConfig:
        if self.group.preset and self.kind != "grpo":
            raise ValueError(
                f'group.preset = "{self.group.preset}" is an algorithm of kind = "grpo", not of {self.kind}; '
                "set policy.kind=grpo with it"
            )
        if self.kind in ("grpo", "rloo") and self.batch_size % self.group.size:
            raise ValueError(f"batch_size ({self.batch_size}) must be a multiple of group.size ({self.group.size})")
        if self.group.refill and not self.group.drop_equal_groups:
            raise ValueError("group.refill takes the place of dropped groups, so it needs group.drop_equal_groups")
        if self.kind in ("grpo", "rloo") and self.dual_clip is not None and self.group.ratio == "weight":
            raise ValueError('dual_clip clips a ratio, and group.ratio = "weight" has none that carries a gradient')
        if self.kind != "ppo" and self.target_kl is not None:
            raise ValueError(f"target_kl belongs to ppo; {self.kind} has a fixed kl_coef")
        if self.kind == "dpo" and self.dpo.loss != "simpo" and self.kl_coef == 0:
            raise ValueError("kl_coef: dpo needs an anchor, so a value above 0")
        return self

    @model_validator(mode="after")
    def _some_steps_are_left(self) -> PolicyConfig:
        if self.kind == "ppo" and self.critic.warmup_steps >= self.steps:
            raise ValueError(
                f"critic.warmup_steps ({self.critic.warmup_steps}) has to be less than steps ({self.steps}): "
                "the policy learns in those that are left"
            )
        return self

    @model_validator(mode="after")
    def _minibatches_fit(self) -> PolicyConfig:
        if self.kind in ("ppo", "grpo", "rloo") and self.minibatches > self.batch_size:
            raise ValueError(f"minibatches ({self.minibatches}) can't be more than batch_size ({self.batch_size})")
        if self.target_kl is not None and self.kl_coef == 0:
            raise ValueError("target_kl adapts kl_coef by factors, so kl_coef can't start from 0")
        return self
