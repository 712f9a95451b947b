"""The whole recipe: every setting there is, its default, its range and its meaning. Imports no torch.

A recipe is a TOML file that says only how it differs from the defaults below; `--set section.key=value` goes on top.
"""

from __future__ import annotations

import difflib
import importlib.resources
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


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


class Comparisons(Section):
    """[comparisons]: who says which answer is better."""

    source: str = "simulated"
    """`simulated`, `file`, or `studio:NAME`: the closed rounds of a studio's project (`studio:NAME@2`: up to the second)."""
    path: str = ""
    """With source = "file": people's comparisons, JSONL (docs/formats.md)."""
    count: Positive = 4000
    """With source = "simulated": prompts on which the SFT policy answers twice and is compared."""
    annotator: str = Field("a", min_length=1)
    """With source = "simulated": whose utility the annotators go by."""
    agreement: Annotated[float, Field(gt=0.5, lt=1)] = 0.73
    """With source = "simulated": how often two of them agree; sets their temperature."""
    tie_width: NonNegative = 0.0
    """With source = "simulated": utilities closer than this many temperatures are called a tie."""

    @model_validator(mode="after")
    def _source_is_there(self) -> Comparisons:
        if self.source not in ("simulated", "file") and not self.source.startswith("studio:"):
            raise ValueError(f"source: expected simulated, file or studio:NAME, got {self.source!r}")
        if self.source == "file" and not self.path:
            raise ValueError('source = "file" needs `path`, a JSONL file of comparisons')
        return self


class Reward(Supervised):
    """[reward]: the proxy."""

    kind: Literal["reward_model"] = "reward_model"
    learning_rate: Rate = 5e-4
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the compared prompts on which the reward model is examined."""
    learning_curve: bool = False
    """Whether it is fitted to an eighth, a quarter and half of the comparisons too, to say if more of them would help."""


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
    """Scorers that are never optimised, the first one is the truth: a simulated utility, or model:DIRECTORY."""
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


class Runtime(Section):
    """[runtime]: where and how it runs; changes no result, so it's outside every fingerprint."""

    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    threads: Annotated[int, Field(ge=0)] = 0
    """0: as many as there are cores."""
    micro_batch_tokens: Positive = 4096
    """Tokens that go through a model at once while it learns: memory, not mathematics."""
    checkpoint_seconds: NonNegative = 20.0
    """Seconds between two checkpoints; 0: one at every step."""


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
        by_people = self.comparisons.path or self.comparisons.source.startswith("studio:")
        if self.data.prompts == "comparisons" and not by_people:
            raise ValueError('data.prompts = "comparisons" needs comparisons.path')
        return self

    def table(self) -> dict[str, Any]:
        """The resolved recipe as a plain dict, as it is saved with every run."""
        return self.model_dump(mode="json", exclude_none=True)

    def toml(self) -> str:
        return str(tomli_w.dumps(self.table()))


def shipped() -> dict[str, str]:
    """The recipes that ship with trueward: name and TOML text."""
    folder = importlib.resources.files("trueward") / "recipes"
    files = sorted(f.name for f in folder.iterdir() if f.name.endswith(".toml"))
    return {f.removesuffix(".toml"): (folder / f).read_text(encoding="utf-8") for f in files}


def read(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """A shipped recipe by name, or a TOML file by path, with `section.key=value` overrides on top.

    Raises `ValueError` with one line that names the file, the line or field, and what was expected.
    """
    known = shipped()
    path = Path(recipe)
    if recipe in known:
        text, where, name = known[recipe], recipe, recipe
    elif path.is_file():
        try:
            text, where, name = path.read_text(encoding="utf-8"), str(path), path.stem
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 text (byte {error.start})") from None
    elif path.suffix or path.exists() or len(path.parts) > 1:
        raise ValueError(f"{path}: no such recipe file")
    else:
        raise ValueError(
            f"there is no recipe {recipe!r}; shipped are: {', '.join(known)} (or give a path to a TOML file)"
        )
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{where}: not a TOML file: {error}") from None
    table.setdefault("name", name)
    for override in overrides:
        put(table, override)
    return resolve(table, where)


def resolve(table: dict[str, Any], where: str) -> Recipe:
    """A validated recipe; the first mistake as one line."""
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise ValueError(f"{where}: {explain(error)}") from None


def explain(error: ValidationError) -> str:
    """The first mistake of a validation: its field, what was expected, what was found."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        section: Any = Recipe
        for part in first["loc"][:-1]:
            section = section.model_fields[str(part)].annotation
        near = difflib.get_close_matches(str(first["loc"][-1]), section.model_fields, n=1)
        return f"unknown key {field}" + (
            f"; did you mean {near[0]}?" if near else f"; known: {', '.join(section.model_fields)}"
        )
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{field}: {message}" if field else message
    message = message[0].lower() + message[1:]
    return f"{field}: {message}, got {first['input']!r}"


def put(table: dict[str, Any], override: str) -> None:
    """Put one `section.key=value` into a recipe's table. The value is read as TOML, else as plain text."""
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"--set {override}: expected section.key=value")
    *sections, last = key.strip().split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ValueError(f"--set {override}: {section} is not a section")
    try:
        table[last] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = value


def variant(name: str, overrides: Sequence[str]) -> str:
    """The name of a run: the recipe's, and what was changed in it, so that two recipes never share a directory."""
    changed = [o.replace(" ", "").replace('"', "") for o in overrides if not o.strip().startswith("runtime.")]
    kept = "".join(c if c.isalnum() or c in "._=,+-" else "_" for c in ",".join([name, *changed]))
    return kept[:120]


def canonical(value: Any) -> str:
    """JSON with sorted keys: the text that fingerprints are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
