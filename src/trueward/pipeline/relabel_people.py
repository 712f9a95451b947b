"""Relabelling by people: the policy's new pairs go to a studio's project or a file, and the run waits for the choices.

A run that waits has saved its state and ended. The same command checks again: it draws the same pairs, bit for bit, and
continues when they are judged.
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
    """The recipe with `comparisons.source` fixed to the rounds that were closed when the run began, `studio:NAME@ROUND`.

    Later rounds hold answers to the run's own pairs, and must not change the comparisons that it started from.
    """
    source = recipe.comparisons.source
    if not recipe.policy.relabel.every or not source.startswith(snapshots.PREFIX) or "@" in source:
        return recipe
    saved = run / "recipe.toml"
    before = config.read(str(saved)).comparisons.source if saved.is_file() else ""
    if not before.startswith(f"{source}@"):
        before = f"{source}@{int(snapshots.snapshots(source)[-1].stem)}"
    return recipe.model_copy(update={"comparisons": recipe.comparisons.model_copy(update={"source": before})})


def ask(labels: ComparisonsConfig, work: Path, step: int, pairs: Pairs, into: Path) -> list[Comparison]:
    """People's choices of these pairs. `WaitingError` while they are missing.

    work: the directory of the policy's stage. into: the new reward model's directory, which stores the number of the round.
    """
    posted = [
        questions.people_pair(one.prompt, (one.response, one.finished), (two.response, two.finished))
        for one, two in pairs
        if one.response != two.response  # people see only the texts
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
    """The choices in the first closed round that has some, after the rounds that earlier steps have used."""
    source, _, begun = labels.source.partition("@")
    project = source.removeprefix(snapshots.PREFIX).partition(":")[0]
    questions.pose(project, f"{work.absolute().parent.name}-relabel-{step:07d}", posted)
    used = [int(artifacts.read_json(p)["round"]) for p in sorted((work / FOLDER).glob(f"*/{ROUND}"))]
    for path in snapshots.snapshots(source):
        number = int(path.stem)
        if number > max([int(begun), *used]) and (choices := questions.matching(posted, compared.read(path).rows)):
            artifacts.write_json(into / ROUND, {"project": project, "round": number, "pairs": len(posted)})
            return choices
    raise WaitingError(
        f"step {step} waits for people: {len(posted)} pairs of the policy's answers are in the project {project}; "
        "compare them in `trueward studio` and close the round"
    )


def _by_file(
    labels: ComparisonsConfig, work: Path, step: int, posted: list[PeoplePair], into: Path
) -> list[Comparison]:
    """The choices in a file next to that of the pairs. `ValueError` if one is of another pair."""
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
    votes = []
    for vote in compared.read(choices).rows:
        key = vote.prompt.id, frozenset((vote.first.text, vote.second.text))
        if (q := by_texts.get(key)) is None:
            raise ValueError(
                f"{choices}: the pair of answers to {str(vote.prompt)[:60]!r} is none of those in {pairs.name}"
            )
        sides = (
            (q.ours, q.theirs) if vote.first.text == q.ours.text else (q.theirs, q.ours)
        )  # not every format stores whether a response ended
        votes.append(vote.model_copy(update={"prompt": q.prompt, "first": sides[0], "second": sides[1]}))
    return votes


def _row(q: PeoplePair) -> dict[str, Any]:
    """A pair as a row of a table, without the outcome."""
    whole = Comparison(prompt=q.prompt, first=q.ours, second=q.theirs, probability=0.5, source="pairs")
    return {key: value for key, value in flat.row_of(whole).items() if key not in ("probability", "source")}
