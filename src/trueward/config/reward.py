"""[comparisons] and [reward]: who says which answer is better, and the proxy."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from trueward.config.section import NonNegative, Positive, Rate, Section
from trueward.config.supervised import Supervised

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
