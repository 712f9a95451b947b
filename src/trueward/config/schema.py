"""The whole recipe: every setting there is, its default, its range and its meaning."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, model_validator

from trueward.config.judge import Judge
from trueward.config.lora import Lora
from trueward.config.policy import Policy
from trueward.config.reward import Comparisons, Reward
from trueward.config.runtime import Runtime
from trueward.config.section import Positive, Rate, Section, Share
from trueward.config.supervised import Sft


class Model(Section):
    """[model]: what the ladder starts from."""

    base: str = Field("trueward:base", min_length=1)
    """A causal language model: a directory, a hub name, or one that ships: `trueward:base`, `:tiny`, `:nano`, `:smollm2`."""


class Data(Section):
    """[data]: the text."""

    demonstrations: str = "trueward:reviews"
    """Prompts with answers: a JSONL file, a Hugging Face data set, `trueward:reviews`, `trueward:toy` or `studio:NAME`."""
    prompts: str = ""
    """Prompts to answer, likewise, or `trueward:nano`; empty: the demonstrations'; `comparisons`: those of comparisons.path."""
    instruction: str = Field("", pattern=r"\{prompt\}|^$")
    """With {prompt} in it: every plain prompt becomes a conversation, which begins with this."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the prompts, picked by their text, that nothing is trained on."""
    max_prompt_tokens: Positive = 64
    """A longer prompt is left out, and counted."""
    max_response_tokens: Positive = 64
    """A longer demonstration or response in a comparison is left out, and counted."""
    task: dict[str, Any] = Field({})
    """With prompts = "reasoning-gym:TASK": how many (`size`), and the options of the task's generator."""


class Sampler(Section):
    """[sampler]: how answers are drawn."""

    temperature: Rate = 1.0
    max_new_tokens: Positive = 48
    """An answer that has not ended by then is cut."""
    rows: Positive = 128
    """How many answers are written at once."""
    refresh: Positive = 1
    """Steps between two times that it takes over the policy's weights while that is trained; 1: always the newest."""
    quantize: Literal["none", "int8", "bfloat16"] = "none"
    """Whether rollouts are written with coarser numbers; then another policy writes than learns: policy.importance_cap."""


class Evaluation(Section):
    """[evaluation]: the measurements; none of this is ever optimised."""

    truths: tuple[Annotated[str, Field(min_length=1)], ...] = ("b",)
    """Scorers that are never optimised, the first one is the truth: a simulated utility, `model:DIRECTORY`,
    `verifier:NAME` or `module:function`; and `people:NAME`, those who compare in a studio's project."""
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
    least_fall: Share = 0.25
    """Share of the truth's gain at its peak that has to be lost for a fall to count; 0: every significant one does."""
    people: Positive = 200
    """With a truth `people:NAME`: at most so many pairs, SFT's answer and the policy's, that people compare at the end."""
    people_looks: Annotated[int, Field(ge=0)] = 0
    """The same at each look while the policy is trained; 0: none."""
    control: Literal["unmoved", "never"] = "unmoved"
    """Whether a run whose truth did not move is made again with a random reward, to tell whether the anchor pins it."""

    @model_validator(mode="after")
    def _people_can_be_asked(self) -> Evaluation:
        people = [name for name in self.truths if name.startswith("people:")]
        if wrong := next((name for name in people if not PROJECT.match(name.removeprefix("people:"))), ""):
            raise ValueError(f"truths: expected people:NAME with the name of a studio's project, got {wrong!r}")
        if len(people) > 1:
            raise ValueError(f"truths: people can be asked in one project, got {people[0]!r} and {people[1]!r}")
        if self.people_looks and not people:
            raise ValueError("people_looks: nobody is asked without a truth people:NAME")
        return self

    @property
    def project(self) -> str:
        """The studio's project in which people say the truth; empty if they aren't asked."""
        return next((name.removeprefix("people:") for name in self.truths if name.startswith("people:")), "")


PROJECT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
CANNOT_BE_ASKED = {"demonstrations": "demonstrations can't", "judge": "a judge can't"}


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
    lora: Lora = Lora()
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
        if self.sampler.quantize != "none":
            if self.policy.kind not in ("ppo", "grpo", "rloo"):
                raise ValueError(
                    f"sampler.quantize: {self.policy.kind} has no rollouts that weights make up for; "
                    "it is for ppo, grpo and rloo"
                )
            if self.policy.importance_cap is None:
                raise ValueError(
                    f"sampler.quantize = {self.sampler.quantize!r}: rollouts then come from a policy that is not "
                    "quite the one that learns, so set policy.importance_cap, to 2 or so"
                )
        if self.lora.rank and self.policy.train_layers:
            raise ValueError(
                "policy.train_layers: with lora.rank above 0 the adapters learn, in every layer; use one of them"
            )
        if self.policy.ptx_coef and self.policy.kind in ("ppo", "grpo", "rloo") and not self.data.demonstrations:
            raise ValueError("policy.ptx_coef: there is nothing to imitate, data.demonstrations is empty")
        if self.policy.relabel.every and self.reward.model:
            raise ValueError(
                "policy.relabel.every: the reward model is fitted to all comparisons again, with reward.model there are none"
            )
        if self.policy.relabel.every and (cannot := CANNOT_BE_ASKED.get(self.comparisons.source)):
            raise ValueError(
                f"policy.relabel.every: someone has to compare the policy's new answers, and {cannot}; "
                'it needs comparisons.source = "simulated", "studio:NAME" or "file"'
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
        if self.runtime.wait_for_people and not self.evaluation.project:
            raise ValueError(
                "runtime.wait_for_people: nobody is asked without a truth people:NAME in evaluation.truths"
            )
        if unknown := [name for name in self.evaluation.options if name not in self.evaluation.truths]:
            raise ValueError(f"evaluation.options: {unknown[0]!r} is none of evaluation.truths")
        return self

    def table(self) -> dict[str, Any]:
        """The resolved recipe as a plain dict, as it is saved with every run."""
        return self.model_dump(mode="json", exclude_none=True)

    def toml(self) -> str:
        return str(tomli_w.dumps(self.table()))
