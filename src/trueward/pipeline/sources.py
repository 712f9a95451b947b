"""Reads and checks the data that a recipe names in [data]: demonstrations, prompts, and their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from trueward.config import DataConfig, Recipe
from trueward.data import comparisons, loading, nano, reviews, snapshots, sums, toy
from trueward.data.loading import Loaded
from trueward.data.options import ReadOptions
from trueward.pipeline.parts import Parts
from trueward.records import Demonstration, Message, Prompt
from trueward.scorers.verifiers import gym

TOY_REVIEWS, TOY_SEED = 4000, 0


@dataclass
class Source:
    """Demonstrations and prompts, and the files to fingerprint."""

    demonstrations: list[Demonstration]
    prompts: list[Prompt]
    files: list[Path] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)
    held_out: list[Prompt] = field(default_factory=list)
    """Prompts to evaluate on, if they are given; else some are held out by a hash of their text."""
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Other columns of the prompts' rows, by the prompt's id, where a scorer of the user's own may ask for them."""
    repeated: int = 0
    """How many of the prompts have other such columns than an earlier one with their text."""
    places: list[tuple[Prompt, str]] = field(default_factory=list)
    """Where each prompt was read, as errors name it: "people.jsonl, line 7"."""


GIVEN = "given"
"""In the place of a name in [data]: the rows are in memory."""


def options(data: DataConfig, keep: bool = False) -> ReadOptions:
    """How [data] has files read. keep: prompts keep the other columns of their rows."""
    return ReadOptions(
        columns=data.columns,
        roles=data.roles,
        contradictions=data.contradictions,
        order=data.order,
        tolerate=data.tolerate,
        in_recipe=True,
        keep=keep,
    )


def read(recipe: Recipe, given: Mapping[str, Loaded[Any]] | None = None, keep: bool = False) -> Source:
    """The data that the recipe names in [data], read and checked. `ValueError` in one line if it can't be used.

    given: rows in memory, for "demonstrations" and "prompts" where the recipe says `GIVEN`. keep: whether prompts keep the
    other columns of their rows; else these are beside them, if the recipe has a scorer of the user's own.
    """
    source = Source([], [])
    data, given = recipe.data, given or {}
    beside = Parts(recipe).reads_columns and not keep
    how = options(data, keep or beside)
    if data.demonstrations:
        load = (
            (lambda name: given["demonstrations"])
            if data.demonstrations == GIVEN
            else partial(loading.demonstrations, options=how)
        )
        source.demonstrations = _read(data.demonstrations, load, source, "demonstrations", {})
    if data.prompts == "comparisons":
        judged = snapshots.compared(recipe.comparisons.source, recipe.comparisons.path) or [
            Path(recipe.comparisons.path)
        ]
        compared = comparisons.read_all(judged, how)
        source.prompts = [c.prompt for c in compared.rows]
        source.places += zip(source.prompts, compared.where, strict=False)
        source.files += compared.files
    elif data.prompts:
        load = (lambda name: given["prompts"]) if data.prompts == GIVEN else partial(loading.prompts, options=how)
        rows = _read(data.prompts, load, source, "prompts", data.task)
        source.prompts = [getattr(row, "prompt", row) for row in rows]
    else:
        source.prompts = [d.prompt for d in source.demonstrations]
    if data.instruction:
        source = instructed(source, data.instruction)
    return detached(source) if beside else source


def detached(source: Source) -> Source:
    """The columns beside the prompts, not in them, so that no stage's result depends on who reads them."""
    prompts = [*(d.prompt for d in source.demonstrations), *source.prompts]
    columns = {p.id: p.columns for p in reversed(prompts) if p.columns}  # of equal prompts the first one's
    bare: dict[str, Any] = {"columns": {}}
    return replace(
        source,
        demonstrations=[
            d.model_copy(update={"prompt": d.prompt.model_copy(update=bare)}) for d in source.demonstrations
        ],
        prompts=[p.model_copy(update=bare) for p in source.prompts],
        columns=columns,
        repeated=sum(bool(p.columns) and p.columns != columns[p.id] for p in source.prompts),
    )


def named_prompts(name: str, how: ReadOptions) -> Source:
    """The prompts of a file, a data set or a text that ships, without demonstrations."""
    source = Source([], [])
    rows = _read(name, partial(loading.prompts, options=how), source, "prompts", {})
    source.prompts = [getattr(row, "prompt", row) for row in rows]
    return source


def instructed(source: Source, instruction: str) -> Source:
    """Plain prompts as conversations that begin with the instruction; their answers then begin without a space."""

    def as_conversation(prompt: Prompt) -> Prompt:
        if prompt.messages:
            return prompt
        text = instruction.replace("{prompt}", prompt.text)
        return prompt.model_copy(update={"text": "", "messages": (Message(role="user", content=text),)})

    demonstrations = [
        d
        if d.prompt.messages
        else Demonstration(prompt=as_conversation(d.prompt), response=d.response.lstrip() or d.response)
        for d in source.demonstrations
    ]
    return replace(
        source,
        demonstrations=demonstrations,
        prompts=[as_conversation(p) for p in source.prompts],
        places=[(as_conversation(p), where) for p, where in source.places],
    )


def _read(name: str, load: Any, source: Source, what: str, task: dict[str, Any]) -> list[Any]:
    if name == "trueward:toy":
        pairs = toy.reviews(TOY_REVIEWS, TOY_SEED)
        return [Demonstration(prompt=Prompt(text=p), response=r) for p, r in pairs]
    if name == "trueward:sums":
        return list(sums.demonstrations() if what == "demonstrations" else sums.prompts())
    if name == "trueward:nano" and what == "prompts":
        return [Prompt(text=text) for text in nano.prompts()]
    if name == "trueward:reviews":
        texts = reviews.load("rotten_tomatoes")
        source.files.append(reviews.path())
        halves = [reviews.halve(t.text) for t in texts]
        if short := halves.count(None):
            source.left_out.append({"what": what, "reason": "fewer than 3 words left for the response", "rows": short})
        return [Demonstration(prompt=Prompt(text=h[0]), response=h[1]) for h in halves if h]
    if name.startswith(gym.PREFIX):
        if what != "prompts":
            raise ValueError(f"data.{what}: {name} holds prompts without demonstrations; give it as data.prompts")
        return list(gym.prompts(name.removeprefix(gym.PREFIX), task))
    if name.startswith(snapshots.PREFIX):
        loads = [load(str(path)) for path in snapshots.snapshots(name)]
        source.files += [file for each in loads for file in each.files]
        return list(dict.fromkeys(row for each in loads for row in each.rows))
    if name.startswith("trueward:"):
        ships = "trueward:reviews, trueward:sums and trueward:toy" + (
            ", and trueward:nano for prompts" if what == "prompts" else ""
        )
        raise ValueError(f"data.{what}: there is no {name}; those that ship are {ships}")
    loaded = load(name)
    source.files += loaded.files
    source.left_out += [{"what": what, "reason": reason, "rows": n} for reason, n in loaded.left_out.items()]
    source.ignored |= dict(loaded.ignored)
    source.places += zip((getattr(row, "prompt", row) for row in loaded.rows), loaded.where, strict=False)
    return list(loaded.rows)
