"""`trueward.sft`: from a model and demonstrations to the policy that everything after it stands on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from trueward.api.call import calling, recipe_of
from trueward.api.policy import Policy
from trueward.api.text import GivenText
from trueward.artifacts import load
from trueward.models.run_paths import model_path
from trueward.pipeline.cache import cached
from trueward.pipeline.parts import Parts
from trueward.pipeline.prepare import PREPARE, Prepared
from trueward.pipeline.sft import SFT, SftPolicy
from trueward.pipeline.stage import Made
from trueward.records import Completion, Prompt
from trueward.training.env import Env
from trueward.training.journal import METRICS, Row, read_log


class SupervisedPolicy(Policy):
    """The SFT policy, as `trueward.sft` returns it: where optimisers start, and what the KL is measured from.

    It is a `Policy` that also holds its own answers to some prompts, two to each. They set the scale of every reward:
    0 is their mean score, 1 the SD of scores within a prompt.
    """

    def __init__(
        self, made: Made[SftPolicy], prepared: Made[Prepared] | None, metrics: Sequence[Row], base: str
    ) -> None:
        """base: the model that it was made from, whose tokenizer and context it has."""
        super().__init__(lambda: made.value.policy, f"sft of {PurePath(base).name}")
        self.made, self.prepared, self.base = made, prepared, base
        self.metrics = list(metrics)
        """A row a step: nll, grad_norm, lr and so on (docs/metrics.md)."""

    @property
    def summary(self) -> Row:
        """What SFT did: `demonstrations` that it was trained on, `held_out_nll_before` and `held_out_nll_after` (nats
        a token), `parameters` of the model. Fewer where nothing was trained."""
        return self.made.summary

    @cached_property
    def answers(self) -> list[Completion]:
        """Its own answers that set the scale: 2·i and 2·i + 1 are to the same prompt."""
        return self.made.value.answers

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts to optimise on: those of the call that aren't held out. `ValueError` if the policy was read
        from a directory, which doesn't hold them."""
        return self._prepared().prompts

    @property
    def held_out(self) -> list[Prompt]:
        """The prompts that nothing is trained on, to evaluate on: the share `data.held_out`. `ValueError` as for
        `prompts`."""
        return self._prepared().prompts_held_out

    def has(self, prompts: Any) -> bool:
        """Whether these are `Prompt`s out of its own `prompts`; None stands for all of them."""
        if self.prepared is None or prompts is None:
            return self.prepared is not None
        own = {p.id for p in self.prompts}
        return isinstance(prompts, list) and all(isinstance(p, Prompt) and p.id in own for p in prompts)

    def _prepared(self) -> Prepared:
        if self.prepared is None:
            raise ValueError(f"{self.name}: read from a directory, which doesn't hold the prompts; give them again")
        return self.prepared.value

    @property
    def directory(self) -> Path | None:
        """The directory that `out=` named; None if it was made in memory."""
        path = self.made.artifact.path
        return path if path.parts else None


def sft(
    model: str | Path = "trueward:base",
    demonstrations: Any = None,
    prompts: Any = None,
    *,
    out: str | Path | None = None,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> SupervisedPolicy:
    """Fine-tune a model on demonstrations, and let it answer some prompts twice: these answers set the scale of every
    reward.

    The loss is next-token cross-entropy on the responses, end-of-sequence included. A share of the prompts is held
    out by their text, the same one in every call. Trains in this thread, and isn't thread-safe.

    Args:
        model: A directory, a name on the Hugging Face hub, a run (`"reviews"`, `"reviews/sft"`), or a model that
            ships (`"trueward:base"`, `"trueward:tiny"`).
        demonstrations: Prompts with the answers to imitate: a list of dicts (`{"prompt", "completion"}` or
            `{"messages"}`), a JSONL file's path, a data set's name, a `datasets.Dataset` or a pandas frame. None: the
            model is taken as it is, and `prompts` are needed.
        prompts: Prompts to optimise on later, in the same forms, or strings. None: those of the demonstrations.
        out: A directory to keep the result in. The same call goes on there if it was stopped, and reads it if it was
            finished; a call with other data or settings is refused. None: in memory.
        seed: Of every random draw.
        progress: Whether to show progress: a line a stage in a notebook, bars in a terminal, else plain lines on
            standard error.
        **settings: Settings of [sft] by keyword (`epochs`, `learning_rate` …), of other sections as dicts:
            `sampler={"max_new_tokens": 64}`, `lora={"rank": 8}`, `data={"held_out": 0.2}`, `runtime={"threads": 2}`;
            `dtype="bfloat16"` is `model.dtype`, here and in the other calls.

    Returns:
        The policy, with `prompts` and `held_out` for the calls that follow.

    Raises:
        ValueError: In one line, before anything is trained, for data or a setting that can't be used.
    """
    where = "trueward.sft"
    if demonstrations is None and prompts is None:
        raise ValueError(f"{where}: expected demonstrations, or for a model that is taken as it is, prompts")
    base = model_path(str(model))
    text = GivenText.of(where, settings, demonstrations=demonstrations, prompts=prompts)
    ready = {"sft": {"model": base}} if demonstrations is None else {}
    recipe = recipe_of(where, "sft", settings, seed, model={"base": base}, data=text.names, **ready)
    with calling(recipe, progress, out, SFT.name) as call:
        source = text.source(recipe)
        part, cache = Parts(recipe), call.cache
        prepared = cached(
            cache, PREPARE, {}, part.preparing, source.files + part.base_files, {"source": source}, text.digests
        )
        made = cached(cache, SFT, {"prepared": prepared}, part.imitating, part.sft_files)
        metrics = _metrics(made, cache.journals)
        return SupervisedPolicy(made, prepared, metrics, base)


def _metrics(made: Made[Any], journals: Any) -> list[Row]:
    if made.name in journals:
        rows: list[Row] = journals[made.name].rows(METRICS)
        return rows
    return read_log(made.artifact.path / METRICS)


def as_supervised(model: Any, prompts: Any, where: str, env: Env, seed: int, **settings: Any) -> SupervisedPolicy:
    """The SFT policy that a call is given: of `trueward.sft`, an artifact's directory, or a bare model, which then answers some
    of the prompts twice, and the progress says so."""
    if isinstance(model, SupervisedPolicy):
        return model
    base = base_of(model, where)
    artifact = load(Path(model))
    if artifact is not None and artifact.stage == SFT.name:
        made = Made(artifact, lambda: SFT.read(artifact, env))
        return SupervisedPolicy(made, None, read_log(artifact.path / METRICS), base)
    return sft(base, None, prompts, seed=seed, **settings)


def base_of(model: Any, where: str) -> str:
    """The place of the tokenizer of what a call is given as its SFT policy."""
    if isinstance(model, SupervisedPolicy):
        return model.base
    if not isinstance(model, str | Path):
        raise ValueError(
            f"{where}: expected the policy of trueward.sft, its directory or a model's name, got {type(model).__name__}"
        )
    return model_path(str(model))
