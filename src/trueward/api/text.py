"""A call's demonstrations and prompts: read, from memory or by name, and their digests."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueward.api.call import recipe_of
from trueward.config import canonical
from trueward.data import given
from trueward.data.loading import Loaded
from trueward.data.options import ReadOptions
from trueward.models import loading as models
from trueward.models.run_paths import model_path
from trueward.pipeline import sources
from trueward.pipeline.sources import GIVEN, Source
from trueward.records import Prompt, Record, line

READ = ("columns", "roles", "order", "contradictions", "tolerate")
READERS: dict[str, Callable[[Any, str, ReadOptions], Loaded[Any]]] = {
    "demonstrations": given.demonstrations,
    "prompts": given.prompts,
}


@dataclass(frozen=True)
class GivenText:
    """What a call is given to read: names in [data], and the rows that are in memory."""

    names: dict[str, str]
    rows: Mapping[str, Loaded[Any]]

    @classmethod
    def of(cls, where: str, settings: Mapping[str, Any], **data: Any) -> GivenText:
        """data: "demonstrations" and "prompts", each a name, rows, or None. `ValueError` names the argument and the row.

        settings: the call's, of which `data` says how rows are read.
        """
        names: dict[str, str] = {}
        rows: dict[str, Loaded[Any]] = {}
        for what, value in data.items():
            if value is None:
                names[what] = ""
            elif given.is_name(value):
                names[what] = str(value)
            else:
                names[what], rows[what] = GIVEN, READERS[what](value, f"{where}: {what}", options(where, settings))
        return cls(names, rows)

    def source(self, recipe: Any) -> Source:
        """Demonstrations and prompts, read: from the names in the recipe's [data], or from memory."""
        return sources.read(recipe, self.rows, keep=True)

    @property
    def digests(self) -> list[str]:
        """Of the rows in memory, which take the place of files in a stage's fingerprint."""
        return [f"{what}:{digest(loaded.rows)}" for what, loaded in self.rows.items()]


def options(where: str, settings: Mapping[str, Any]) -> ReadOptions:
    """How a call's settings have rows read: `data={"columns": ..., "roles": ...}`."""
    data = {name: value for name, value in (settings.get("data") or {}).items() if name in READ}
    return sources.options(recipe_of(where, "data", data).data, keep=True)


def read_prompts(data: Any, where: str, settings: Mapping[str, Any]) -> Loaded[Prompt]:
    """Prompts from rows, or by the name of a file, a data set or a text that ships. settings: as in `options`."""
    how = options(where, settings)
    if not given.is_name(data):
        return given.prompts(data, where, how)
    source = sources.named_prompts(str(data), how)
    left_out = Counter({row["reason"]: row["rows"] for row in source.left_out})
    return Loaded(source.prompts, left_out, source.files, Counter(source.ignored))


def digest(rows: Sequence[Record]) -> str:
    """sha256 of records."""
    out = hashlib.sha256()
    for row in rows:
        out.update(canonical(line(row)).encode("utf-8", "surrogatepass") + b"\n")
    return out.hexdigest()


def as_they_are(model: str, settings: Mapping[str, Any]) -> dict[str, int]:
    """The longest prompts where they are those of an earlier call, which has left out what is too long: the model's context."""
    if "max_prompt_tokens" in (settings.get("data") or {}):
        return {}
    _, context = models.tokenizer(model_path(model))
    return {"max_prompt_tokens": context - 1}
