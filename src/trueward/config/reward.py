"""[comparisons] and [reward]: the annotators, and the proxy."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from trueward.config.section import NonNegative, Positive, Rate, Section, without_newer
from trueward.config.supervised import SupervisedConfig

SOURCES = ("simulated", "file", "demonstrations", "judge")


class ComparisonsConfig(Section):
    """[comparisons]: pairs of answers, and the source of their labels."""

    source: str = "simulated"
    """Where labels come from: `simulated`, `file`, `demonstrations`, `judge`, or `studio:NAME`, the closed rounds of a studio's
    project (`studio:NAME@2`: up to the second; `studio:NAME:honest`: of one of its further questions)."""
    path: str = ""
    """With source = "file": people's comparisons (docs/comparisons.md); with "judge": those that the judge is compared with."""
    count: Positive = 4000
    """Pairs to label (not with "file"): two answers of the SFT policy, or a demonstration and one such answer."""
    annotator: str = Field("a", min_length=1)
    """With source = "simulated": the utility function of the annotators; a judge is compared with it."""
    agreement: Annotated[float, Field(gt=0.5, lt=1)] = 0.73
    """With source = "simulated": how often two annotators agree, which sets their temperature."""
    tie_width: NonNegative = 0.0
    """With source = "simulated": a tie if utilities differ by less than this many temperatures."""
    length_bias: NonNegative = 0.0
    """With source = "simulated": added to an answer's utility for every ten words."""
    unfinished: Literal["keep", "redraw", "drop"] = "keep"
    """Pairs with an answer that was cut at sampler.max_new_tokens: kept, sampled again (then dropped), or dropped. Unless they
    are kept, the reward's unit is that of the SFT policy's finished answers, too."""

    @model_serializer(mode="wrap")
    def _without_newer(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields that came later are left out at their defaults, so that what was made before them keeps its fingerprint."""
        return without_newer(self, dump(self), ("unfinished",))

    @model_validator(mode="after")
    def _source_is_there(self) -> ComparisonsConfig:
        if self.source not in SOURCES and not self.source.startswith("studio:"):
            raise ValueError(f"source: expected {', '.join(SOURCES)} or studio:NAME, got {self.source!r}")
        if self.source == "file" and not self.path:
            raise ValueError('source = "file" needs `path`, a JSONL file of comparisons')
        return self


class RewardPartConfig(Section):
    """[[reward.parts]]: one scorer of a mixture."""

    scorer: str = Field(min_length=1)
    """`verifier:NAME`, `module:function`, `model:DIRECTORY` or `length`."""
    name: str = Field("", pattern=r"^[A-Za-z0-9_.-]*$")
    """Name in the logs; empty: the scorer's."""
    weight: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    """Weight in the sum."""
    gate: bool = False
    """Not part of the sum: where this scorer gives less than 1, the mixture scores reward.floor."""
    options: dict[str, Any] = Field({})
    """With a verifier: its options."""


class RewardConfig(SupervisedConfig):
    """[reward]: the proxy."""

    kind: Literal["reward_model", "verifier", "mix", "judge"] = "reward_model"
    """What scores answers: a model fitted to comparisons, a verifier, a weighted sum of scorers, or the judge's ratings."""
    start: Literal["zero", "probe"] = "zero"
    """The scalar head before training: zeros, or the linear probe of the frozen states, in closed form."""
    layers: Positive | Literal["all", "auto"] = "all"
    """The base's lowest layers that the reward model has; auto, with start = "probe": half or all, by the probe's loss in
    cross-validation."""
    epochs: NonNegative = 1.0
    """Passes over the compared prompts; 0, with start = "probe": the probe is the reward model."""
    learning_rate: Rate = 5e-4
    """Peak learning rate."""
    head_learning_rate: Rate | None = None
    """Peak learning rate of the scalar head; not set: learning_rate."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the compared prompts held out to evaluate the reward model."""
    normalize: bool = True
    """Whether scores are scaled to mean 0 and SD 1 under the SFT policy; false: raw scores, so β has no fixed unit."""
    template: Literal["auto", "chat", "plain", "pair"] = "auto"
    """How a `model` from elsewhere reads a completion: as a conversation, one text, or two; auto: by its tokenizer."""
    judge_mode: Literal["pointwise", "pairwise", "grouped"] = "pointwise"
    """With kind = "judge": it rates an answer, compares it with one of SFT's, or ranks all answers to a prompt with SFT's."""
    learning_curve: bool = False
    """Also fit to an eighth, a quarter and half of the comparisons, to estimate whether more would help."""
    probe: Annotated[int, Field(ge=0)] = 1000
    """Comparisons that a linear probe is fitted to, a check of the reward model on the same unseen prompts; 0: none."""
    members: Positive = 1
    """Reward models in the ensemble, fitted to the same comparisons with different seeds."""
    resample: bool = False
    """Fit each member to a bootstrap sample of the compared prompts."""
    combine: Literal["mean", "worst", "uncertainty", "weights"] = "mean"
    """How members are combined: mean, minimum, mean − uncertainty·variance of their scores, or the mean of their weights."""
    uncertainty: NonNegative = 0.5
    """With combine = "uncertainty": the penalty, in SDs, for a variance of 1 SD² between the members."""
    cross_check: bool = False
    """Fit the proxy to half of the compared prompts, and a second reward model to the others: at each evaluation an alarm, no
    truth."""
    clip: Rate | None = None
    """If set to c, rewards are clipped to ±c SDs."""
    shaping: Literal["none", "sigmoid"] = "none"
    """sigmoid: the reward is the mean of σ(score − score of a reference answer), rescaled to SDs (PAR)."""
    references: Positive = 4
    """With shaping = "sigmoid" or judge_mode = "grouped": answers of the SFT policy's, sampled for each prompt of a step."""
    length_penalty: NonNegative = 0.0
    """SDs subtracted for each token beyond the mean length of the SFT policy's answers."""

    verifier: str = ""
    """With kind = "verifier": a shipped verifier's name (`trueward verifiers list`), or `module:function`."""
    options: dict[str, Any] = Field({})
    """With kind = "verifier": its options (docs/rewards.md)."""
    parts: tuple[RewardPartConfig, ...] = ()
    """With kind = "mix": the scorers that are summed, and the gates."""
    floor: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    """With kind = "mix": the score of an answer that fails a gate."""

    @model_serializer(mode="wrap")
    def _without_newer(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields that came later are left out at their defaults, so that what was made before them keeps its fingerprint."""
        return without_newer(self, dump(self), NEWER)

    @model_validator(mode="after")
    def _kind_has_its_settings(self) -> RewardConfig:
        if self.model and self.members > 1:
            raise ValueError(f"model is one reward model that is ready, so members has to be 1, not {self.members}")
        if self.cross_check and self.model:
            raise ValueError("cross_check: there are no comparisons to split, model is one reward model that is ready")
        if self.cross_check and not self.normalize:
            raise ValueError("cross_check: gains of two reward models are compared in SDs, so normalize has to be true")
        self._check_start()
        if self.kind == "verifier" and not self.verifier:
            raise ValueError('kind = "verifier" needs `verifier`, a name that `trueward verifiers list` shows')
        if self.kind == "mix" and not any(not part.gate for part in self.parts):
            raise ValueError('kind = "mix" needs `parts`, and one of them that is no gate')
        if self.judge_mode == "grouped" and self.references > MOST_RANKED:
            raise ValueError(
                f'references: with judge_mode = "grouped" at most {MOST_RANKED}, since a judge ranks ten answers at once, '
                f"not {self.references}"
            )
        names = [part.name or part.scorer for part in self.parts]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise ValueError(f"parts: two are called {twice!r}; give them names")
        return self

    def _check_start(self) -> None:
        """`ValueError` where the settings of the head and of the layers contradict each other."""
        if self.start == "zero" and self.epochs == 0:
            raise ValueError('epochs = 0 trains nothing and leaves a head of zeros; start = "probe" needs no training')
        if self.start == "zero" and self.layers == "auto":
            raise ValueError('layers = "auto": a probe chooses them, so start has to be "probe"')
        if isinstance(self.layers, int) and self.trainable_layers > self.layers:
            raise ValueError(
                f"trainable_layers = {self.trainable_layers}: layers that learn, but the reward model has {self.layers}"
            )
        if self.start == "probe" and self.members > 1 and not self.resample:
            raise ValueError(
                'start = "probe": members that start from the same comparisons start as the same model; set resample = true'
            )
        if self.model and (self.start == "probe" or self.layers != "all"):
            raise ValueError("model is one reward model that is ready, so neither start nor layers can be set")


MOST_RANKED = 8  # answers of the SFT policy in one ranking
NEWER = ("cross_check", "judge_mode", "start", "layers", "head_learning_rate", "trainable_layers")
"""Fields of [reward] that fingerprints of older runs know nothing of."""
SHAPING = ("clip", "shaping", "references", "length_penalty")
"""Fields of [reward] that turn a score into a reward; the reward model does not depend on them."""
