"""`comparisons.unfinished`: pairs of answers that end by themselves, and the reward's unit over such answers.

A reward model that compares cut answers with whole ones learns above all that answers should end. Its scale is then that
of endings, and β weighs little among answers that do end; policy.missing_eos_penalty sees to endings without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trueward.config import ComparisonsConfig
from trueward.pipeline.compared import Compared
from trueward.records import Comparison, Completion, Prompt

Pair = tuple[Completion, Completion]
Again = Callable[[list[Prompt], int], Sequence[Completion]]
REDRAWS = 4  # rounds in which answers that were cut are sampled again, at most
FEWEST = 8  # pairs of finished answers that the reward's unit is taken from, at least
REASON = "an answer was cut at sampler.max_new_tokens"
KEEP, REDRAW = "keep", "redraw"


def finished_pairs(pairs: Sequence[Pair], how: str, again: Again) -> tuple[list[Pair], dict[str, Any]]:
    """The pairs of which both answers end, with a row of counts; with "keep" all of them, and an empty row.

    how: `comparisons.unfinished`. again: (prompts, round from 1) -> a new answer to each, for "redraw". `ValueError` if no pair
    is left.
    """
    if how == KEEP:
        return list(pairs), {}
    answers = [answer for pair in pairs for answer in pair]
    cut = [i for i, answer in enumerate(answers) if not answer.finished]
    left = cut
    for number in range(1, (REDRAWS if how == REDRAW else 0) + 1):
        if not left:
            break
        for i, answer in zip(left, again([answers[i].prompt for i in left], number), strict=True):
            answers[i] = answer
        left = [i for i in left if not answers[i].finished]
    kept = [p for p in zip(answers[::2], answers[1::2], strict=True) if p[0].finished and p[1].finished]
    if not kept:
        raise ValueError(
            f'comparisons.unfinished = "{how}": in none of the {len(pairs):,} pairs both answers end by themselves; raise '
            "sampler.max_new_tokens, or train SFT until its answers end"
        )
    row = {"how": how, "answers": len(cut), "redrawn": len(cut) - len(left), "dropped": len(pairs) - len(kept)}
    return kept, row


def with_unfinished(made: Compared, row: dict[str, Any]) -> Compared:
    """Comparisons of such pairs, with the counts in their summary, and what was dropped among what is left out."""
    if not row:
        return made
    dropped = [{"what": "comparisons", "reason": REASON, "rows": row["dropped"]}] if row["dropped"] else []
    return Compared(
        made.rows, {**made.summary, "unfinished": row, "left_out": [*made.summary.get("left_out", []), *dropped]}
    )


def finished_rows(rows: Sequence[Comparison], how: str, name: str) -> tuple[list[Comparison], dict[str, Any]]:
    """Of people's comparisons, whose answers can't be sampled again, those of finished answers; and a row of counts.

    name: their file's or project's, for the `ValueError` if none is left.
    """
    if how == KEEP:
        return list(rows), {}
    kept = [c for c in rows if c.first.finished and c.second.finished]
    if not kept:
        raise ValueError(
            f"{name}: in none of its {len(rows):,} comparisons both answers end by themselves, and comparisons.unfinished = "
            f'"{how}" leaves the others out'
        )
    cut = sum(not side.finished for c in rows for side in (c.first, c.second))
    return kept, {"how": how, "answers": cut, "redrawn": 0, "dropped": len(rows) - len(kept)}


def unit_answers(labels: ComparisonsConfig | None, answers: Sequence[Completion]) -> Sequence[Completion]:
    """The SFT policy's answers, two to each prompt in a row, that the reward's unit is taken from.

    With `comparisons.unfinished` other than "keep" the pairs of which both end. `ValueError` for fewer than eight.
    """
    if labels is None or labels.unfinished == KEEP:
        return answers
    pairs = [p for p in zip(answers[::2], answers[1::2], strict=True) if p[0].finished and p[1].finished]
    if len(pairs) < FEWEST:
        raise ValueError(
            f'comparisons.unfinished = "{labels.unfinished}": of the SFT policy\'s {len(answers) // 2:,} pairs of answers '
            f"{len(pairs)} end both, too few for the reward's unit; raise sampler.max_new_tokens, or train SFT until they end"
        )
    return [answer for pair in pairs for answer in pair]
