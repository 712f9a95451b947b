"""All checks of a reward on one set of answers, as one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trueward.evaluation.reward_test import shift
from trueward.evaluation.reward_test.answers import AnswerPool, Unit
from trueward.evaluation.reward_test.audited import AuditedScorer
from trueward.evaluation.reward_test.best_of_pool import best_of_pool
from trueward.evaluation.reward_test.edit import EDITS, Edit
from trueward.evaluation.reward_test.findings import ALPHA, findings, outcome
from trueward.evaluation.reward_test.length_bias import length_bias
from trueward.evaluation.reward_test.position_bias import Compare, pairs_of, position_bias
from trueward.evaluation.reward_test.sign_flip import holm
from trueward.evaluation.reward_test.spread import spread
from trueward.evaluation.reward_test.stability import ALONE, stability
from trueward.scorers.scorer import Scorer, bounds
from trueward.seeds import seed_for

FORMAT = 1
Row = dict[str, Any]


def audit(
    name: str,
    scorer: Scorer,
    answers: AnswerPool,
    *,
    compare: Compare | None = None,
    retries: bool = True,
    edits: Sequence[Edit] = EDITS,
    seed: int = 0,
    on_edit: Callable[[int], None] = lambda done: None,
) -> Row:
    """The table that `reward_test.json` holds (docs/reward_test.md).

    name: what tables and errors call the scorer. compare: of a judge that compares pairs, for the position bias. retries: as in
    `AuditedScorer`. on_edit: gets the number of edits that are done. `ValueError` if the scorer gives no answer a score.
    """
    audited = AuditedScorer(name, scorer, retries)
    scores = audited.required(answers.completions)
    unit = Unit.fit(answers, scores, bounds(scorer))
    rows, pool = [], {}
    for done, edit in enumerate(edits, 1):
        changed = shift.edited(edit, answers)
        values = np.full(len(changed), np.nan)
        there = [i for i, c in enumerate(changed) if c is not None]
        values[there] = audited([c for c in changed if c is not None])
        pool[edit.name] = changed, values
        row = shift.shift(edit, answers, values - scores, unit, seed_for(seed, "reward test", edit.name))
        rows.append(row | {"example": shift.example(answers, changed, scores, values)})
        on_edit(done)
    pairs = pairs_of(answers) if compare is not None else []
    table: Row = {
        "format": FORMAT,
        "scorer": name,
        "answers_from": answers.source,
        "prompts": answers.prompts,
        "answers": len(answers.completions),
        "unit": {"size": unit.size, "of": unit.of},
        "edits": rows,
        "stability": stability(audited, answers, scores, unit),
        "length": length_bias(answers, scores, seed_for(seed, "reward test", "length")),
        "position": position_bias(compare, pairs, seed_for(seed, "reward test", "position"))
        if compare and pairs
        else None,
        "spread": spread(answers, scores),
        "best_of": best_of_pool(answers, scores, pool, unit),
        "calls": audited.table(),
    }
    tested = [*rows, table["length"], *([table["position"]] if table["position"] else [])]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p
    for row in rows:
        row["outcome"] = outcome(row)
    table["tests"] = len(tested)
    return table | {"findings": findings(table), "notes": notes(table, compare is not None)}


def scorings(answers: AnswerPool, edits: Sequence[Edit] = EDITS) -> int:
    """How many answers the scorer will be asked to score, about: what a judge's cost is counted from."""
    return len(answers.completions) * (len(edits) + 3) + min(ALONE, len(answers.completions))


def notes(table: Row, compares: bool) -> list[str]:
    """What limits this test."""
    lines = []
    least = 2.0 ** (1 - table["prompts"]) * table["tests"]
    if least > ALPHA:
        enough = _enough(table["tests"])
        lines.append(f"{table['prompts']} prompts are too few for anything to be named; expected at least {enough}")
    if not table["unit"]["of"].startswith("SD"):
        lines.append(
            f"all answers score {table['spread']['mean']:g}, so shifts are in {table['unit']['of']}; what raises a score is "
            "seen on answers that don't have the highest one"
        )
    if compares and table["position"] is None:
        lines.append("position bias: not measured, since no prompt has two answers")
    if table["calls"]["error"]:
        lines.append(f"the scorer raised an error: {table['calls']['error']}")
    return lines


def _enough(tests: int) -> int:
    """The fewest prompts that can show anything: all signs the same among 2ⁿ."""
    return next(n for n in range(2, 99) if 2.0 ** (1 - n) * tests <= ALPHA)
