"""The whole recipe: every setting, its default, its range and its meaning."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from trueward.config import presets
from trueward.config.engine import EngineConfig, refuse_unweighted
from trueward.config.evaluation_judge import PREFIX, EvaluationJudgeConfig
from trueward.config.guards import GUARD_FIELDS, refuse_unknown_guards
from trueward.config.judge import JudgeConfig, refuse_without_ranking
from trueward.config.lora import LoraConfig
from trueward.config.policy import PolicyConfig
from trueward.config.ray import refuse_contradictions
from trueward.config.reward import ComparisonsConfig, RewardConfig
from trueward.config.runtime import RuntimeConfig
from trueward.config.section import Positive, Rate, Section, Share
from trueward.config.supervised import SftConfig


class ModelConfig(Section):
    """[model]: the base model."""

    base: str = Field("trueward:base", min_length=1)
    """A causal language model: a directory, a hub name, or one that ships: `trueward:base`, `:tiny`, `:nano`, `:smollm2`."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of products: `auto` is bfloat16 on CUDA and float32 elsewhere; weights that learn are float32."""

    @model_serializer(mode="wrap")
    def _without_newer(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The default precision is left out, so that what was made before there was another keeps its fingerprint."""
        table: dict[str, Any] = dump(self)
        return {k: v for k, v in table.items() if k != "dtype" or self.dtype != "auto"}


class DataConfig(Section):
    """[data]: demonstrations and prompts."""

    demonstrations: str = "trueward:reviews"
    """Prompts with answers: a JSONL file, a Hugging Face data set, `trueward:reviews`, `trueward:toy` or `studio:NAME`."""
    prompts: str = ""
    """The policy's prompts: such a source, or `trueward:nano`; empty: the demonstrations'; `comparisons`: the compared."""
    instruction: str = Field("", pattern=r"\{prompt\}|^$")
    """If set, a text with {prompt}: every plain prompt becomes a conversation that starts with it."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the prompts, chosen by a hash of their text, that is never trained on."""
    max_prompt_tokens: Positive | None = None
    """Longer prompts are left out or cut, and counted; unset: the length of 99 % of the data's, up to the model's context."""
    max_response_tokens: Positive | None = None
    """Longer demonstrations and compared responses are left out or cut, and counted; unset: as for prompts."""
    truncation: Literal["drop", "left", "right"] = "drop"
    """What is done with longer texts: left out, or prompts cut on that side, and responses at their end."""
    columns: dict[str, Annotated[str, Field(min_length=1)]] = Field({})
    """Columns of files by the names that trueward has for them: {prompt = "question", chosen = "answer_a"}."""
    roles: dict[str, Annotated[str, Field(min_length=1)]] = Field({})
    """Speakers of messages, and the roles that they are: {human = "user", gpt = "assistant"}."""
    order: Literal["", "best-first"] = ""
    """With comparisons as lists of responses that have neither ranks nor scores: what their order says."""
    contradictions: Literal["stop", "drop"] = "stop"
    """What is done with a row that contradicts itself (chosen is scored lower): an error, or left out and counted."""
    tolerate: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of a file's rows that may be unusable; more of them are an error."""
    task: dict[str, Any] = Field({})
    """With prompts = "reasoning-gym:TASK": the number of prompts (`size`) and the options of the task's generator."""


class SamplerConfig(Section):
    """[sampler]: the parameters of sampling."""

    temperature: Rate = 1.0
    """Sampling temperature."""
    max_new_tokens: Positive = 48
    """Maximum tokens of an answer; a longer one is truncated."""
    engine: EngineConfig = EngineConfig()


class EvaluationConfig(Section):
    """[evaluation]: the measurements, which are never optimised."""

    truths: tuple[Annotated[str, Field(min_length=1)], ...] = ("b",)
    """Scorers that are never optimised; the first is the truth: a simulated utility, `model:DIRECTORY`,
    `verifier:NAME` or `module:function`; and `people:NAME`, the people of a studio's project."""
    options: dict[str, dict[str, Any]] = Field({})
    """Options of truths that are verifiers, by name; default: the proxy's if it is the same verifier."""
    final_prompts: Positive = 512
    """Held-out prompts of the final evaluation, at most."""
    every: Positive = 5
    """Evaluate the policy every N steps of training."""
    step_prompts: Positive = 128
    """Held-out prompts of an evaluation during training, at most."""
    stop_when: Literal["never", "truth falls"] = "never"
    """Whether training stops early when the verdict is over-optimised or hacking."""
    least_fall: Share = 0.25
    """Smallest share of the truth's peak gain whose loss counts as a fall; 0: any significant loss."""
    final_pairs: Positive = 200
    """With a truth `people:NAME`: pairs (SFT's answer, the policy's) of the final evaluation that people compare, at most."""
    step_pairs: Annotated[int, Field(ge=0)] = 0
    """With a truth `people:NAME`: pairs of each evaluation during training that people compare, at most; 0: none."""
    control: Literal["unmoved", "never"] = "unmoved"
    """unmoved: repeat a run whose truth did not change with a random reward, to test whether the anchor pins it."""

    proxy_is_truth: bool = False
    """Whether the truth may be the very scorer that is optimised: the verdict says so, and can't tell a hack of it."""
    judge: tuple[EvaluationJudgeConfig, ...] = ()
    """Judges that are truths, [[evaluation.judge]]: `judge:NAME` among them, at the end where `truths` doesn't name them."""
    judge_calls: Positive | None = None
    """Calls that all of [[evaluation.judge]] together may make in a run; answers above it are not judged, and counted."""

    guards: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Suites that the policy must not get worse at than SFT: `verifier:NAME`, `lm-eval:TASK`, `inspect:TASK`, with options."""
    guard_every: Positive = 4
    """Run the guards at every N-th evaluation, and at the last one."""
    guard_items: Positive = 128
    """Items of each guard, at most: prompts of a verifier, the first ones of a suite's task."""
    guard_stops: bool = False
    """Whether training stops early when a guard has surely fallen."""
    guard_minutes: Rate = 30.0
    """Minutes that one run of a guard may take; a longer one is ended, and the guard counted as not measured."""

    @model_serializer(mode="wrap")
    def _without_newer(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields that came later are left out at their defaults, so that what was made before them keeps its fingerprint."""
        table: dict[str, Any] = dump(self)
        fields = type(self).model_fields
        return {k: v for k, v in table.items() if k not in NEWER or getattr(self, k) != fields[k].default}

    @model_validator(mode="after")
    def _people_fit(self) -> EvaluationConfig:
        people = [name for name in self.truths if name.startswith("people:")]
        if wrong := next((name for name in people if not PROJECT.fullmatch(name.removeprefix("people:"))), ""):
            raise ValueError(f"truths: expected people:NAME with the name of a studio's project, got {wrong!r}")
        if len(people) > 1:
            raise ValueError(f"truths: people can be asked in one project, got {people[0]!r} and {people[1]!r}")
        named = [judge.name for judge in self.judge]
        if twice := next((name for name in named if named.count(name) > 1), ""):
            raise ValueError(f"judge: two are called {twice!r}; give them names of their own")
        for name in (name for name in self.truths if name.startswith(PREFIX)):
            if name.removeprefix(PREFIX) not in named:
                known = ", ".join(named) or "none"
                raise ValueError(f"truths: {name}: there is no [[evaluation.judge]] of this name; there are: {known}")
        if self.judge_calls and not self.judge:
            raise ValueError("judge_calls: there is no [[evaluation.judge]] that could make any")
        refuse_unknown_guards(self.guards)
        if self.step_pairs and not people:
            raise ValueError("step_pairs: nobody is asked without a truth people:NAME")
        return self

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of all truths: `truths`, and the judges that it doesn't name."""
        return (*self.truths, *(judge.truth for judge in self.judge if judge.truth not in self.truths))

    @property
    def project(self) -> str:
        """The studio's project of the truth `people:NAME`; empty if there is none."""
        return next((name.removeprefix("people:") for name in self.truths if name.startswith("people:")), "")


NEWER = ("proxy_is_truth", "judge", "judge_calls", *GUARD_FIELDS)
"""Fields of [evaluation] that fingerprints of older runs know nothing of."""
PROJECT = re.compile(r"[^\W_](?:[\w.-]| (?=[\w.-])){0,63}")
NOT_ANNOTATORS = {"demonstrations": "demonstrations can't", "judge": "a judge can't"}


class Recipe(Section):
    """All settings of a run."""

    format: Literal[2] = 2
    """Version of the settings' names; recipes of 0.1 have none."""
    name: str = Field("recipe", pattern=r"^[A-Za-z0-9][A-Za-z0-9._=,+-]*$")
    """Name of the run; a recipe file that sets none is called after the file."""
    description: str = ""
    """One line for people; has no effect."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of everything that is drawn; which prompts are held out does not depend on it."""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    sft: SftConfig = SftConfig()
    comparisons: ComparisonsConfig = ComparisonsConfig()
    reward: RewardConfig = RewardConfig()
    policy: PolicyConfig = PolicyConfig()
    lora: LoraConfig = LoraConfig()
    sampler: SamplerConfig = SamplerConfig()
    judge: JudgeConfig = JudgeConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    @model_validator(mode="before")
    @classmethod
    def _follow_preset(cls, table: Any) -> Any:
        given = presets.written(table)
        longest = presets.written(given.get("sampler")).get("max_new_tokens", SamplerConfig().max_new_tokens)
        if "policy" not in given or not isinstance(longest, int):
            return table
        return {**given, "policy": presets.fill(given["policy"], longest)}

    @model_validator(mode="after")
    def _sections_agree(self) -> Recipe:
        if not self.data.demonstrations and not self.sft.model:
            raise ValueError("data.demonstrations is empty: SFT needs some, or sft.model a model that has had them")
        if not self.data.demonstrations and not self.data.prompts:
            raise ValueError("data.prompts is empty, and there are no demonstrations to take prompts from")
        refuse_unweighted(self.sampler.engine, self.policy)
        refuse_contradictions(self.runtime.ray, self.sampler.engine, self.policy)
        if self.lora.rank and self.policy.trainable_layers:
            raise ValueError(
                "policy.trainable_layers: with lora.rank above 0 the adapters learn, in every layer; use one of them"
            )
        if self.reward.layers != "all" and self.lora.rank and self.lora.save == "adapter":
            raise ValueError(
                'reward.layers: an adapter alone is read on a base with all of its layers; use lora.save = "merged"'
            )
        if self.policy.ptx_coef and self.policy.kind in ("ppo", "grpo", "rloo") and not self.data.demonstrations:
            raise ValueError("policy.ptx_coef: there is nothing to imitate, data.demonstrations is empty")
        if self.policy.relabel.every and self.reward.model:
            raise ValueError(
                "policy.relabel.every: the reward model is fitted to all comparisons again, with reward.model there are none"
            )
        if self.policy.relabel.every and (cannot := NOT_ANNOTATORS.get(self.comparisons.source)):
            raise ValueError(
                f"policy.relabel.every: someone has to compare the policy's new answers, and {cannot}; "
                'it needs comparisons.source = "simulated", "studio:NAME" or "file"'
            )
        if self.policy.relabel.every and self.reward.cross_check:
            raise ValueError(
                "reward.cross_check: with policy.relabel.every the proxy is fitted again to new comparisons, and a second "
                "reward model of the old ones is no match for it; use one of them"
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
        if self.reward.kind == "judge" and self.reward.judge_mode == "grouped":
            refuse_without_ranking(self.judge)
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

    def inputs(self) -> dict[str, Any]:
        """`table` without [runtime], which changes no result, and without float32 products, which is what there was before."""
        table = {key: part for key, part in self.table().items() if key != "runtime"}
        dropped = ("dtype",) if self.model.dtype == "float32" else ()
        return {**table, "model": {key: value for key, value in table["model"].items() if key not in dropped}}

    def toml(self) -> str:
        """The resolved recipe as the text of a TOML file."""
        return str(tomli_w.dumps(self.table()))
