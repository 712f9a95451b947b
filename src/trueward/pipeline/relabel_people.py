"""Relabelling by people: the policy's new pairs go to a studio's project or a file, and the run waits for what they choose.

A run that waits has saved its state and ended. The same command looks again: it draws the same pairs, to the bit, and goes on
when they are judged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trueward import artifacts, config
from trueward.config import ComparisonsConfig, Recipe
from trueward.data import comparisons as compared
from trueward.data import flat, questions, snapshots
from trueward.data.questions import PeoplePair
from trueward.progress import WaitingError
from trueward.records import Comparison, Completion

FOLDER, ROUND = "relabel", "round.json"
Pairs = Sequence[tuple[Completion, Completion]]


def pinned(recipe: Recipe, run: Path) -> Recipe:
    """The recipe with the rounds that are closed now, or were when the run began, as `studio:NAME@ROUND`: later ones hold the
    answers to its own questions, and must not change what it started from."""
    source = recipe.comparisons.source
    if not recipe.policy.relabel.every or not source.startswith(snapshots.PREFIX) or "@" in source:
        return recipe
    saved = run / "recipe.toml"
    before = config.read(str(saved)).comparisons.source if saved.is_file() else ""
    if not before.startswith(f"{source}@"):
        before = f"{source}@{len(snapshots.snapshots(source))}"
    return recipe.model_copy(update={"comparisons": recipe.comparisons.model_copy(update={"source": before})})


def ask(labels: ComparisonsConfig, work: Path, step: int, pairs: Pairs, into: Path) -> list[Comparison]:
    """What people chose of these pairs. `WaitingError` as long as they haven't.

    work: the policy's stage. into: the new reward model's directory, which keeps what has to be known later.
    """
    posted = [
        questions.people_pair(one.prompt, (one.response, one.finished), (two.response, two.finished))
        for one, two in pairs
        if one.response != two.response  # people see the texts alone
    ]
    posted = list({q.key: q for q in posted}.values())
    if not posted:
        return []
    by_file = labels.source == "file"
    who: Callable[..., list[Comparison]] = _by_file if by_file else _in_studio
    return who(labels, work, step, posted, into)


def _in_studio(
    labels: ComparisonsConfig, work: Path, step: int, posted: list[PeoplePair], into: Path
) -> list[Comparison]:
    """The answers in the first round that was closed with some of them, after those that earlier steps have used."""
    project, _, begun = labels.source.removeprefix(snapshots.PREFIX).partition("@")
    questions.pose(project, f"{work.absolute().parent.name}-relabel-{step:07d}", posted)
    used = [int(artifacts.read_json(p)["round"]) for p in sorted((work / FOLDER).glob(f"*/{ROUND}"))]
    closed = snapshots.snapshots(f"{snapshots.PREFIX}{project}")
    for number in range(max([int(begun), *used]) + 1, len(closed) + 1):
        if found := questions.matching(posted, compared.read(closed[number - 1]).rows):
            artifacts.write_json(into / ROUND, {"project": project, "round": number, "pairs": len(posted)})
            return found
    raise WaitingError(
        f"step {step} waits for people: {len(posted)} pairs of the policy's answers are in the project {project}; "
        "compare them in `trueward studio` and close the round"
    )


def _by_file(
    labels: ComparisonsConfig, work: Path, step: int, posted: list[PeoplePair], into: Path
) -> list[Comparison]:
    """The answers in a file beside that of the pairs. `ValueError` if one is to another pair."""
    pairs = work.parent / FOLDER / f"step-{step:07d}.pairs.jsonl"
    choices = pairs.with_name(f"step-{step:07d}.choices.jsonl")
    text = "".join(json.dumps(_row(q), ensure_ascii=False) + "\n" for q in posted)
    if not pairs.is_file() or pairs.read_text(encoding="utf-8") != text:
        artifacts.write_text(pairs, text)
    if not choices.is_file():
        raise WaitingError(
            f"step {step} waits for people: {pairs} holds {len(posted)} pairs of the policy's answers; write them with "
            f'what was chosen ("winner": "first", "second" or "tie") to {choices}'
        )
    by_texts = {(q.prompt.id, frozenset((q.ours.text, q.theirs.text))): q for q in posted}
    found = []
    for vote in compared.read(choices).rows:
        key = vote.prompt.id, frozenset((vote.first.text, vote.second.text))
        if (q := by_texts.get(key)) is None:
            raise ValueError(
                f"{choices}: the pair of answers to {str(vote.prompt)[:60]!r} is none of those in {pairs.name}"
            )
        sides = (
            (q.ours, q.theirs) if vote.first.text == q.ours.text else (q.theirs, q.ours)
        )  # other forms lose who ended
        found.append(vote.model_copy(update={"prompt": q.prompt, "first": sides[0], "second": sides[1]}))
    return found


def _row(q: PeoplePair) -> dict[str, Any]:
    """A pair in the form of a table's row, but for the outcome."""
    whole = Comparison(prompt=q.prompt, first=q.ours, second=q.theirs, probability=0.5, source="pairs")
    return {key: value for key, value in flat.row_of(whole).items() if key not in ("probability", "source")}
