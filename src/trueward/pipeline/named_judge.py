"""A judge of [[evaluation.judge]] by its name, of a run or of a recipe's file: `judge:NAME`, `judge:RECIPE.toml:NAME`."""

from __future__ import annotations

from collections.abc import Sequence

from trueward import config
from trueward.config import EvaluationJudgeConfig, JudgeCallsConfig
from trueward.config.evaluation_judge import PREFIX

TOML = ".toml"
FORM = f"{PREFIX}RECIPE{TOML}:NAME"


def is_named(name: str) -> bool:
    """Whether a scorer's name is that of a judge of [[evaluation.judge]]."""
    return name.startswith(PREFIX)


def find(
    name: str, judges: Sequence[EvaluationJudgeConfig], calls: JudgeCallsConfig, where: str
) -> tuple[EvaluationJudgeConfig, JudgeCallsConfig]:
    """The judge of that name, with or without `judge:` in front, and how it is called.

    judges, calls: the run's own; a name with a file in front is looked for there, and called as its [runtime.judge] says.
    where: what errors call the name. `ValueError` in one line that lists the judges that there are.
    """
    file, _, own = name.removeprefix(PREFIX).rpartition(":")
    source = "the run"
    if file:
        if not file.endswith(TOML):
            raise ValueError(f"{where}: expected {PREFIX}NAME, or {FORM}")
        recipe = config.read(file)
        judges, calls, source = recipe.evaluation.judge, recipe.runtime.judge, file
    judge = next((judge for judge in judges if judge.name == own), None)
    if judge is not None:
        return judge, calls.model_copy(update={"key": judge.key or calls.key})
    if judges:
        known = ", ".join(judge.name for judge in judges)
        raise ValueError(f"{where}: {source} has no judge {own!r} in [[evaluation.judge]]; it has {known}")
    elsewhere = "" if file else f"; one of a recipe is {FORM}"
    raise ValueError(f"{where}: {source} has no [[evaluation.judge]]{elsewhere}")


def refuse_comparing(judge: EvaluationJudgeConfig, where: str) -> None:
    """`ValueError` for a judge that sets answers beside the reference's, where each answer needs a score of its own."""
    if judge.mode != "pointwise":
        raise ValueError(
            f"{where}: {judge.name} sets answers beside others (mode = {judge.mode!r}), and here each needs a score of its "
            'own; give one with mode = "pointwise", or judge,model=NAME'
        )
