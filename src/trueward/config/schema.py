"""The whole recipe: every setting there is, its default, its range and its meaning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, model_validator

from trueward.config.judge import Judge
from trueward.config.lora import Lora
from trueward.config.policy import Policy
from trueward.config.reward import Comparisons, Reward
from trueward.config.runtime import Runtime
from trueward.config.section import Positive, Rate, Section
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
