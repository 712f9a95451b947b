"""The whole recipe: every setting there is, its default, its range and its meaning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, model_validator

from trueward.config.judge import Judge
from trueward.config.runtime import Runtime
from trueward.config.section import NonNegative, Positive, Rate, Section, Share


class Model(Section):
    """[model]: what the ladder starts from."""

    base: str = Field("trueward:base", min_length=1)
    """A causal language model: a directory, a hub name, or one that ships: `trueward:base`, `:tiny`, `:nano`."""


class Data(Section):
    """[data]: the text."""

    demonstrations: str = "trueward:reviews"
    """Prompts with answers: a JSONL file, a Hugging Face data set, `trueward:reviews`, `trueward:toy` or `studio:NAME`."""
    prompts: str = ""
    """Prompts to answer, likewise, or `trueward:nano`; empty: the demonstrations'; `comparisons`: those of comparisons.path."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the prompts, picked by their text, that nothing is trained on."""
    max_prompt_tokens: Positive = 64
    """A longer prompt is left out, and counted."""
    max_response_tokens: Positive = 64
    """A longer demonstration or response in a comparison is left out, and counted."""
    task: dict[str, Any] = Field({})
    """With prompts = "reasoning-gym:TASK": how many (`size`), and the options of the task's generator."""


class Supervised(Section):
    """What [sft] and [reward] share."""

    model: str = ""
    """A ready model to take instead of training one."""
    epochs: Rate = 1.0
    batch_size: Positive = 32
    learning_rate: Rate = 1e-3
    warmup: Share = 0.05
    """Share of the steps in which the rate climbs; after them it falls to zero, linearly."""
    weight_decay: NonNegative = 0.01
    max_grad_norm: Rate = 1.0


class Sft(Supervised):
    """[sft]: next-token cross-entropy on the demonstrations' responses."""

    epochs: Rate = 2.0


SOURCES = ("simulated", "file", "demonstrations", "judge")


class Comparisons(Section):
    """[comparisons]: who says which answer is better."""

    source: str = "simulated"
    """Who compares: `simulated`, `file`, `demonstrations`, `judge`, or `studio:NAME`, the closed rounds of a studio's project
    (`studio:NAME@2`: up to the second)."""
    path: str = ""
    """With source = "file": people's comparisons (docs/comparisons.md); with "judge": those the judge is held against."""
    count: Positive = 4000
    """Pairs, but for "file": of two answers of the SFT policy to a prompt; of a demonstration and one of those."""
    annotator: str = Field("a", min_length=1)
    """With source = "simulated": whose utility the annotators go by; a judge is held against it."""
    agreement: Annotated[float, Field(gt=0.5, lt=1)] = 0.73
    """With source = "simulated": how often two of them agree; sets their temperature."""
    tie_width: NonNegative = 0.0
    """With source = "simulated": utilities closer than this many temperatures are called a tie."""
    length_bias: NonNegative = 0.0
    """With source = "simulated": what the annotators add to an answer's utility for every ten words of it."""

    @model_validator(mode="after")
    def _source_is_there(self) -> Comparisons:
        if self.source not in SOURCES and not self.source.startswith("studio:"):
            raise ValueError(f"source: expected {', '.join(SOURCES)} or studio:NAME, got {self.source!r}")
        if self.source == "file" and not self.path:
            raise ValueError('source = "file" needs `path`, a JSONL file of comparisons')
        return self


class Part(Section):
    """[[reward.parts]]: one of the scorers that a mixture is made of."""

    scorer: str = Field(min_length=1)
    """`verifier:NAME`, `module:function`, `model:DIRECTORY` or `length`."""
    name: str = Field("", pattern=r"^[A-Za-z0-9_.-]*$")
    """What it is called in the logs; empty: after its scorer."""
    weight: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    gate: bool = False
    """Whether it adds nothing, but has to score 1, or the whole mixture scores reward.floor."""
    options: dict[str, Any] = Field({})


class Reward(Supervised):
    """[reward]: the proxy."""

    kind: Literal["reward_model", "verifier", "mix", "judge"] = "reward_model"
    learning_rate: Rate = 5e-4
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the compared prompts on which the reward model is examined."""
    normalize: bool = True
    """For demonstrations. false: scores as the network gives them, and β in units that no one knows."""
    template: Literal["auto", "chat", "plain", "pair"] = "auto"
    """How a ready `model` from elsewhere reads a completion: as a conversation, one text, or two; auto: by its tokenizer."""
    learning_curve: bool = False
    """Whether it is fitted to an eighth, a quarter and half of the comparisons too, to say if more of them would help."""
    members: Positive = 1
    """Reward models fitted to the same comparisons, each with a seed of its own."""
    resample: bool = False
    """Whether each member is fitted to a bootstrap sample of the compared prompts."""
    combine: Literal["mean", "worst", "uncertainty", "weights"] = "mean"
    """How several are made one: mean, worst case, mean − uncertainty·variance of their scores, or the mean of their weights."""
    uncertainty: NonNegative = 0.5
    """combine = "uncertainty": what a variance of 1 SD² between the members costs, in SDs."""
    clip: Rate | None = None
    """c. If set, what the policy is paid is held to ±c SDs."""
    shaping: Literal["none", "sigmoid"] = "none"
    """sigmoid: paid is the mean of σ(score − score of a reference answer) over reference answers (PAR), in SDs again."""
    references: Positive = 4
    """shaping = "sigmoid": reference answers of the SFT policy, drawn afresh for each prompt of a step."""
    length_penalty: NonNegative = 0.0
    """SDs taken off for each token beyond the mean length of the SFT policy's answers."""

    verifier: str = ""
    """With kind = "verifier": the name of one that ships (`trueward verifiers list`), or `module:function`."""
    options: dict[str, Any] = Field({})
    """With kind = "verifier": its options (docs/rewards.md)."""
    parts: tuple[Part, ...] = ()
    """With kind = "mix": what is summed, and what has to pass."""
    floor: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    """With kind = "mix": the score of an answer that does not pass a gate."""

    @model_validator(mode="after")
    def _kind_has_its_settings(self) -> Reward:
        if self.model and self.members > 1:
            raise ValueError(f"model is one reward model that is ready, so members has to be 1, not {self.members}")
        if self.kind == "verifier" and not self.verifier:
            raise ValueError('kind = "verifier" needs `verifier`, a name that `trueward verifiers list` shows')
        if self.kind == "mix" and not any(not part.gate for part in self.parts):
            raise ValueError('kind = "mix" needs `parts`, and one of them that is no gate')
        names = [part.name or part.scorer for part in self.parts]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise ValueError(f"parts: two are called {twice!r}; give them names")
        return self


SHAPING = ("clip", "shaping", "references", "length_penalty")
"""Fields of [reward] that say what the policy is paid for a score; the reward model does not depend on them."""


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


class Sampler(Section):
    """[sampler]: how answers are drawn."""

    temperature: Rate = 1.0
    max_new_tokens: Positive = 48
    """An answer that has not ended by then is cut."""
    rows: Positive = 128
    """How many answers are written at once."""
    refresh: Positive = 1
    """Steps between two times that it takes over the policy's weights while that is trained; 1: always the newest."""


class Evaluation(Section):
    """[evaluation]: the measurements; none of this is ever optimised."""

    truths: tuple[Annotated[str, Field(min_length=1)], ...] = ("b",)
    """Scorers that are never optimised, the first one is the truth: a simulated utility, `model:DIRECTORY`,
    `verifier:NAME` or `module:function`."""
    options: dict[str, dict[str, Any]] = Field({})
    """The options of truths that are verifiers, by the truth's name; those of the proxy if it is the same verifier."""
    prompts: Positive = 512
    """At most so many held-out prompts at the end."""
    every: Positive = 5
    """Steps between two looks while the policy is trained."""
    look_prompts: Positive = 128
    """At most so many held-out prompts a look."""
    stop_when: Literal["never", "truth falls"] = "never"
    """Whether training ends when the verdict says that the truth has fallen: over-optimised, or hacking."""
    control: Literal["unmoved", "never"] = "unmoved"
    """Whether a run whose truth did not move is made again with a random reward, to tell whether the anchor pins it."""


CANNOT_BE_ASKED = {
    "file": "a file of comparisons can't",
    "demonstrations": "demonstrations can't",
    "judge": "a judge can't",
    "studio": "closed rounds of a studio can't",
}


class Recipe(Section):
    """Everything that a run needs to know."""

    name: str = Field("recipe", pattern=r"^[A-Za-z0-9][A-Za-z0-9._=,+-]*$")
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    model: Model = Model()
    data: Data = Data()
    sft: Sft = Sft()
    comparisons: Comparisons = Comparisons()
    reward: Reward = Reward()
    policy: Policy = Policy()
    sampler: Sampler = Sampler()
    judge: Judge = Judge()
    evaluation: Evaluation = Evaluation()
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def _sections_agree(self) -> Recipe:
        if not self.data.demonstrations and not self.sft.model:
            raise ValueError("data.demonstrations is empty: SFT needs some, or sft.model a model that has had them")
        if not self.data.demonstrations and not self.data.prompts:
            raise ValueError("data.prompts is empty, and there are no demonstrations to take prompts from")
        if self.policy.ptx_coef and self.policy.kind in ("ppo", "grpo", "rloo") and not self.data.demonstrations:
            raise ValueError("policy.ptx_coef: there is nothing to imitate, data.demonstrations is empty")
        if self.policy.relabel.every and self.reward.model:
            raise ValueError(
                "policy.relabel.every: the reward model is fitted to all comparisons again, with reward.model there are none"
            )
        if self.policy.relabel.every and self.comparisons.source != "simulated":
            raise ValueError(
                "policy.relabel.every: someone has to compare the policy's new answers, and "
                f"{CANNOT_BE_ASKED[self.comparisons.source.partition(':')[0]]}; "
                'it needs comparisons.source = "simulated"'
            )
        if self.comparisons.source == "demonstrations" and not self.data.demonstrations:
            raise ValueError('comparisons.source = "demonstrations": there are none, data.demonstrations is empty')
        judging = (
            self.comparisons.source,
            self.reward.kind,
            *self.evaluation.truths,
            *(p.scorer for p in self.reward.parts),
        )
        if "judge" in judging and not self.judge.model:
            raise ValueError("judge.model: a judge is asked for, so say which model it is")
        by_people = self.comparisons.path or self.comparisons.source.startswith("studio:")
        if self.data.prompts == "comparisons" and not by_people:
            raise ValueError('data.prompts = "comparisons" needs comparisons.path')
        if self.reward.kind != "reward_model":
            if self.policy.kind == "dpo" and not self.policy.dpo.online:
                raise ValueError(
                    "policy.kind: dpo learns from comparisons, so its proxy is a reward model fitted to them; "
                    "dpo.online = true learns from this reward"
                )
            if self.policy.relabel.every:
                raise ValueError(f"policy.relabel.every: nothing is fitted with reward.kind = {self.reward.kind!r}")
        if unknown := [name for name in self.evaluation.options if name not in self.evaluation.truths]:
            raise ValueError(f"evaluation.options: {unknown[0]!r} is none of evaluation.truths")
        return self

    def table(self) -> dict[str, Any]:
        """The resolved recipe as a plain dict, as it is saved with every run."""
        return self.model_dump(mode="json", exclude_none=True)

    def toml(self) -> str:
        return str(tomli_w.dumps(self.table()))
