"""[policy] and its own sections: the optimiser and its anchor."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trueward.config.section import NonNegative, Positive, Rate, Section, Share


class Group(Section):
    """[policy.group]: what grpo and rloo add."""

    size: Annotated[int, Field(ge=2)] = 8
    """Answers to each prompt; policy.batch_size is a multiple of it."""
    std: Literal["none", "population", "sample"] = "none"
    """Whether advantages are divided by their group's SD, and by which (GRPO: yes; Dr. GRPO: no)."""
    kl: Literal["reward", "k2", "k3", "k3-weighted"] = "reward"
    """Where the anchor stands: k1 in the reward, or an estimator in the loss (docs/algorithms/grpo.md: what each optimises)."""
    reducer: Literal["token", "sequence", "constant"] = "token"
    """How tokens are averaged: over all of the step (DAPO), by answer first (GRPO), over the longest answer (Dr. GRPO)."""
    ratio: Literal["token", "sequence", "weight"] = "token"
    """PPO's ratio by token, GSPO's by answer, or CISPO's clipped weight."""
    clip_high: Rate | None = None
    """Another clip range above 1 than below (DAPO)."""
    drop_equal_groups: bool = False
    """Leave out groups whose answers all have the same reward (DAPO); exact only without an anchor."""
    refill: Annotated[int, Field(ge=0)] = 0
    """At most so many further rounds of other prompts in the place of dropped groups, until the batch is full (DAPO)."""
    overlong_tokens: Annotated[int, Field(ge=0)] = 0
    """Length of the zone before the limit in which an answer pays up to 1 SD for its length (DAPO); 0: none."""


class Critic(Section):
    """[policy.critic]: what ppo's value network can do otherwise."""

    trunk: Literal["own", "shared"] = "own"
    """shared: the values are a head on the policy's own network, so one pass reads both; it starts from zero."""
    coef: Rate = 0.1
    """trunk = "shared": weight of the value loss, whose gradient reaches the policy's network too."""
    start: Literal["reward_model", "zero"] = "reward_model"
    """For demonstrations. zero: the SFT policy's network with a head of zeros, which has seen no reward."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """So many of policy.steps come first and teach only the value network, on Monte-Carlo returns (VC-PPO)."""
    gae_lambda: Share | None = None
    """Another λ for the returns that the value network learns than for the policy's advantages (VC-PPO)."""
    adaptive_lambda: Rate | None = None
    """α. If set, the policy's λ is 1 − 1/(α·length) of each answer, in place of policy.gae_lambda (VAPO)."""


class Dpo(Section):
    """[policy.dpo]: what dpo adds; β is policy.kl_coef."""

    learning_rate: Rate = 1e-4
    """Peak rate, in place of policy.learning_rate: log-probs of whole answers move far on little."""
    loss: Literal["sigmoid", "ipo", "robust", "simpo"] = "sigmoid"
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """sigmoid: conservative DPO's ε; robust: the share of labels that is taken to be flipped."""
    simpo_beta: Rate = 2.0
    simpo_margin: NonNegative = 1.0
    online: bool = False
    """Pairs of answers of the policy as it is, labelled by the proxy, in place of the comparisons (Guo et al. 2024)."""
    labels: Literal["soft", "hard"] = "soft"
    """online: σ of the difference of the scores, in SDs, whose optimum is the tilt; or the higher one wins, and has none."""


class BestOfN(Section):
    """[policy.best_of_n]: what best_of_n and sft_on_best add."""

    n: Annotated[int, Field(ge=2)] = 8
    """Answers of the SFT policy to each prompt, of which the scorer's favourite is kept."""
    prompts: Positive = 2000
    """sft_on_best: prompts whose best answers are trained on, once over, with the settings of [sft]."""


class Relabel(Section):
    """[policy.relabel]: new comparisons of the policy's own answers while it is trained."""

    every: Annotated[int, Field(ge=0)] = 0
    """Steps between two times that the reward model is fitted again, from the SFT policy, to all comparisons; 0: never."""
    comparisons: Positive = 200
    """Pairs of the policy's answers that the annotators compare each time."""


class Policy(Section):
    """[policy]: the optimiser and its anchor."""

    kind: Literal["ppo", "grpo", "rloo", "dpo", "best_of_n", "sft_on_best"] = "ppo"
    steps: Positive = 50
    batch_size: Positive = 128
    """Completions a step (ppo: one a prompt; grpo, rloo: group.size a prompt); dpo: comparisons a step, of two answers each."""
    kl_coef: NonNegative = 0.1
    """Weight β of the KL anchor, with the proxy in units of its SD under the reference policy."""
    target_kl: Rate | None = None
    """Nats. If set, β is adapted so that the sequence-level KL comes to this value (Ziegler et al. 2019)."""
    learning_rate: Rate = 3e-4
    value_learning_rate: Rate = 1e-3
    warmup: Share = 0.1
    decay: bool = True
    """Whether the rates fall to zero, linearly, after the warm-up."""
    epochs: Positive = 2
    minibatches: Positive = 4
    clip: Rate = 0.2
    dual_clip: Annotated[float, Field(gt=1, allow_inf_nan=False)] | None = None
    """c. If set, a token of negative advantage gets no gradient where its ratio is above c (Ye et al. 2020)."""
    importance_cap: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    """C. If set, PPO's ratio is to the policy at the step's start, and tokens weigh min(π/π_sampler, C) (docs/losses.md)."""
    value_clip: Rate = 0.2
    discount: Annotated[float, Field(gt=0, le=1)] = 1.0
    gae_lambda: Share = 0.95
    whiten_advantages: bool = True
    missing_eos_penalty: NonNegative = 1.0
    """Taken from the score of an answer that was cut, in SDs of the proxy."""
    max_grad_norm: Rate = 1.0
    ptx_coef: NonNegative = 0.0
    """Weight of the SFT loss on demonstrations, beside the policy's loss in every minibatch (PPO-ptx, InstructGPT)."""
    train_layers: Annotated[int, Field(ge=0)] = 0
    """Only so many top layers and the last norm learn; what's below is computed once a rollout. 0: everything learns."""
    critic: Critic = Critic()
    group: Group = Group()
    dpo: Dpo = Dpo()
    best_of_n: BestOfN = BestOfN()
    relabel: Relabel = Relabel()

    @model_validator(mode="after")
    def _something_is_paid(self) -> Policy:
        if self.relabel.every and (
            self.kind in ("best_of_n", "sft_on_best") or (self.kind == "dpo" and not self.dpo.online)
        ):
            raise ValueError(
                f"relabel.every: {self.kind} takes no steps against a reward model that could change; it is for ppo, grpo, "
                "rloo and dpo with dpo.online"
            )
        return self

    @model_validator(mode="after")
    def _group_fits(self) -> Policy:
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
    def _some_steps_are_left(self) -> Policy:
        if self.kind == "ppo" and self.critic.warmup_steps >= self.steps:
            raise ValueError(
                f"critic.warmup_steps ({self.critic.warmup_steps}) has to be less than steps ({self.steps}): "
                "the policy learns in those that are left"
            )
        return self

    @model_validator(mode="after")
    def _minibatches_fit(self) -> Policy:
        if self.kind in ("ppo", "grpo", "rloo") and self.minibatches > self.batch_size:
            raise ValueError(f"minibatches ({self.minibatches}) can't be more than batch_size ({self.batch_size})")
        if self.target_kl is not None and self.kl_coef == 0:
            raise ValueError("target_kl adapts kl_coef by factors, so kl_coef can't start from 0")
        return self
