"""The pipeline as a graph: which results each stage takes. A stage depends on what it is given, and on nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from trueward.config import Recipe
from trueward.pipeline.cache import StageCache, cached
from trueward.pipeline.comparisons import COMPARISONS
from trueward.pipeline.final_evaluation import EVALUATION
from trueward.pipeline.parts import Parts
from trueward.pipeline.policy import CONTROL, POLICY
from trueward.pipeline.prepare import PREPARE
from trueward.pipeline.program_reward import REWARD
from trueward.pipeline.report import REPORT
from trueward.pipeline.reward_model import REWARD_MODEL
from trueward.pipeline.sft import SFT
from trueward.pipeline.sources import Source
from trueward.pipeline.stage import Made

Results = dict[str, Made[Any]]


def graph(
    recipe: Recipe,
    source: Source,
    cache: StageCache,
    command: str = "",
    wants_control: Callable[[Results], bool] = lambda results: True,
    before_report: Callable[[], None] = lambda: None,
) -> Iterator[Made[Any]]:
    """The stages of a recipe, in order, each made when the iterator reaches it, without those that the recipe doesn't need.

    wants_control: whether to run the control, given the results so far. before_report: called before the report is made.
    """
    part, make = Parts(recipe), partial(cached, cache)
    read, beside = {"source": source}, {"columns": source.columns}  # for the user's scorers; they follow from the files
    prepared = make(PREPARE, {}, part.preparing, source.files + part.base_files, read)
    yield prepared
    sft = make(SFT, {"prepared": prepared}, part.imitating, part.sft_files)
    yield sft
    lower: dict[str, Made[Any] | None] = {"prepared": prepared, "sft": sft}
    comparisons: Made[Any] | None = None
    if part.compares:
        comparisons = make(COMPARISONS, lower, part.comparing, part.comparison_files)
        yield comparisons
    reward: Made[Any]
    if part.is_model:
        given = {**lower, "comparisons": comparisons if part.fits else None}
        reward = make(REWARD_MODEL, given, part.fitting, part.reward_files)
    else:
        reward = make(REWARD, lower, part.scaling, part.scorer_files, beside)
    yield reward
    given = {**lower, "reward": reward, "comparisons": comparisons if part.learns_from_comparisons else None}
    policy = make(POLICY, given, part.optimising, part.policy_files, beside)
    yield policy
    scored = {**lower, "reward": reward, "policy": policy}
    evaluation = make(EVALUATION, scored, part.evaluating, part.base_files + part.truth_files, beside)
    yield evaluation
    control = None
    if part.may_need_control and wants_control({made.name: made for made in (reward, policy, evaluation)}):
        control = make(CONTROL, given, part.optimising, part.policy_files, beside)
        yield control
    before_report()
    whole = {**scored, "comparisons": comparisons, "evaluation": evaluation}
    more = {
        "control": control,
        "command": command,
    }  # the control is determined by the same inputs, so it is no part of the digest
    yield make(REPORT, whole, {"recipe": recipe}, (), more)
