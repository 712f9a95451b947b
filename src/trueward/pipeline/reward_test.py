"""`trueward reward test`: a reward audited before anything is trained on it."""

from __future__ import annotations

from typing import Any

from trueward.evaluation.reward_test import audit
from trueward.evaluation.reward_test.answers import AnswerPool
from trueward.evaluation.reward_test.edit import EDITS
from trueward.evaluation.reward_test.position_bias import Compare
from trueward.pipeline.named_reward import NamedReward
from trueward.pipeline.reward_answers import AnswerRequest, answers_for
from trueward.scorers.custom import FunctionScorer
from trueward.scorers.judge.rating import JudgeScorer
from trueward.scorers.mix import Mix
from trueward.scorers.scorer import Scorer
from trueward.training.env import Env

Row = dict[str, Any]


def reward_test(reward: NamedReward, request: AnswerRequest, env: Env) -> Row:
    """All checks of the reward, as the table that `reward_test.json` holds (docs/reward_test.md).

    `ValueError` in one line if the reward, its prompts or its answers can't be used.
    """
    answers = answers_for(request, reward, env)
    for function in functions_in(reward.scorer):
        function.check([c.prompt for c in answers.completions], reward.name)
    judge = judge_in(reward.scorer)
    if judge is not None:
        env.progress.tell(
            f"{reward.name}: about {questions(answers, judge):,} questions to {judge.judge.settings.model}"
        )
    env.progress.start(f"edits scored by {reward.name}", len(EDITS))
    table = audit.audit(
        reward.name,
        reward.scorer,
        answers,
        compare=comparing(judge),
        retries=judge is None,
        seed=request.seed,
        on_edit=env.progress.at,
    )
    env.progress.end(f"{table['calls']['answers']:,} answers scored")
    if judge is not None and judge.judge.settings.endpoint:
        request.notes.append("a repeated question is answered from the judge's cache: a repeated call shows nothing")
    return table | {"notes": [*request.notes, *table["notes"]]}


def functions_in(scorer: Scorer) -> list[FunctionScorer]:
    """The user's functions in a scorer: itself, or those of a mixture."""
    return [part for part in parts_of(scorer) if isinstance(part, FunctionScorer)]


def judge_in(scorer: Scorer) -> JudgeScorer | None:
    """The judge that a scorer is, or has as a part; None if there is none."""
    return next((part for part in parts_of(scorer) if isinstance(part, JudgeScorer)), None)


def parts_of(scorer: Scorer) -> list[Scorer]:
    """The parts of a mixture; another scorer itself."""
    return [i.scorer for i in scorer.ingredients] if isinstance(scorer, Mix) else [scorer]


def comparing(judge: JudgeScorer | None) -> Compare | None:
    """How the judge compares pairs in both orders; None where it judges each answer alone."""
    return None if judge is None or judge.judge.alone else judge.judge.compare


def questions(answers: AnswerPool, judge: JudgeScorer) -> int:
    """How many questions the judge will be asked, about."""
    settings = judge.judge.settings
    each = len(settings.principles) if settings.draw == "all" else 1
    pairs = 0 if judge.judge.alone else 2 * answers.prompts
    return each * (audit.scorings(answers) + pairs)
