"""Reads imported files: pairs to judge, pairs whose winner is known, prompts to answer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trueward.data import comparisons, jsonl, loading
from trueward.data.rows import Row
from trueward.records import Prompt, response_id
from trueward.studio.store.labels import Label
from trueward.studio.store.projects import Pair

UNDECIDED = 0.5
OUTCOMES = {"probability", "winner"}
JUDGE = "judge"  # the `source` of comparisons that a recipe's judge wrote


@dataclass
class Read:
    """The contents of a file; `left_out` counts unusable rows, by reason."""

    pairs: list[Pair] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)


def read(path: Path, name: str, kind: str, checks: bool, judge: str = "") -> Read:
    """A file to import into a project. `ValueError` with the file's name, the line and the field.

    kind: of the project. checks: the pairs have known winners. judge: the outcomes are a model's of this name; those that a
    recipe's judge wrote are recognised by their source.
    """
    try:
        if kind == "write":
            loaded = loading.prompts(str(path))
            return Read(prompts=loaded.rows, left_out=dict(loaded.left_out))
        return _pairs(path, checks, judge)
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), name)) from None


def _pairs(path: Path, checks: bool, judge: str) -> Read:
    """Comparisons in any form of docs/formats.md; without an outcome too: {"prompt", "first", "second"}, texts."""
    rows, unit = list(jsonl.read(path)), jsonl.unit(path)
    if any(_bare(values) for _, values in rows):
        if checks:
            raise ValueError(f"{path}: a check pair needs an outcome")
        if judge:
            raise ValueError(f"{path}: a label of {judge} needs an outcome")
        path.write_text(
            "".join(json.dumps(_dressed(f"{path}, {unit} {n}", v)) + "\n" for n, v in rows), encoding="utf-8"
        )
    loaded = comparisons.read(path)
    left_out = dict(loaded.left_out)
    pairs, labels = [], []
    for row in loaded.rows:
        if checks and row.probability == UNDECIDED:
            left_out["no winner"] = left_out.get("no winner", 0) + 1
            continue
        better = int(row.probability < UNDECIDED) if checks else None
        pairs.append(Pair(row.prompt, row.first, row.second, better=better))
        if judge or row.source == JUDGE:
            name = judge or row.annotator or JUDGE
            labels.append(Label(pairs[-1], name[:200], row.probability))
    if checks and labels:
        raise ValueError(f"{path}: a model's label is no check pair: people are examined by known outcomes")
    return Read(pairs=_first_of_each(pairs), labels=labels, left_out=left_out)


def _bare(values: dict[str, Any]) -> bool:
    texts = isinstance(values.get("first"), str) and isinstance(values.get("second"), str)
    return texts and not OUTCOMES & values.keys()


def _dressed(where: str, values: dict[str, Any]) -> dict[str, Any]:
    """Two texts and a prompt as a comparison without an outcome."""
    if not _bare(values):
        raise ValueError(f'{where}: expected "first" and "second" as texts and no outcome, as in the other rows')
    row = Row(where, values)
    prompt = row.prompt() if row.has("prompt") else None
    if prompt is None:
        raise row.error('missing field "prompt"')
    sides = {side: {"id": response_id(prompt, values[side]), "text": values[side]} for side in ("first", "second")}
    whole = prompt.model_dump(mode="json", exclude_defaults=True)
    return {"prompt": whole, **sides, "probability": UNDECIDED, "source": "import"}


def _first_of_each(pairs: Iterable[Pair]) -> list[Pair]:
    """Each pair once: votes on the same two answers are one pair to judge."""
    kept: dict[Any, Pair] = {}
    for pair in pairs:
        kept.setdefault((pair.prompt, frozenset((pair.first.text, pair.second.text))), pair)
    return list(kept.values())
