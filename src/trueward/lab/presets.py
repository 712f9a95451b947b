"""The lab's settings: five answers to one prompt, their true rewards, the SFT policy, and an annotator's clicks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueward.lab.chance import NOISE, uniform
from trueward.lab.clicks import Click, parse

FILE = Path(__file__).with_name("presets.json")  # the page reads it too
COMMON = {"wrong": 0, "steps": 300, "degenerate": None}  # what a table need not say


@dataclass(frozen=True)
class Preset:
    """One setting of the lab. `blind` is the score of a response that was never compared (None: its r̂, which is 0)."""

    name: str
    title: str
    about: str
    prompt: str
    responses: tuple[str, ...]
    truths: tuple[float, ...]
    reference: tuple[float, ...]
    blind: float | None
    clicks: tuple[Click, ...]  # of the preset's annotator
    begin: str  # "empty": without clicks; "clicked": with the annotator's
    wrong: float  # the share of clicks that a noisy annotator gets wrong
    steps: int  # of one run
    degenerate: int | None  # the response that is no language any more, if there is one

    def annotated(self, seed: int) -> list[Click]:
        """The annotator's clicks; a noisy annotator's depend on the seed."""
        return [
            Click(click.loser, click.winner) if uniform(seed, NOISE, n) < self.wrong else click
            for n, click in enumerate(self.clicks)
        ]


def tables() -> dict[str, dict[str, Any]]:
    """The file's tables, each with the values inherited from the one that it is `like`."""
    raw: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        name: {**COMMON, **raw.get(table.get("like", ""), {}), **{k: v for k, v in table.items() if k != "like"}}
        for name, table in raw.items()
    }


def preset(name: str) -> Preset:
    """The preset of that name. `ValueError` in one line that lists the names."""
    known = tables()
    if name not in known:
        raise ValueError(f"preset {name!r}: there is none of that name; expected one of {', '.join(known)}")
    table = known[name]
    return Preset(
        name=name,
        title=table["title"],
        about=table["about"],
        prompt=table["prompt"],
        responses=tuple(table["responses"]),
        truths=tuple(table["truths"]),
        reference=tuple(table["reference"]),
        blind=table["blind"],
        clicks=tuple(parse(table["clicks"], len(table["responses"]))),
        begin=table["begin"],
        wrong=table["wrong"],
        steps=table["steps"],
        degenerate=table["degenerate"],
    )
