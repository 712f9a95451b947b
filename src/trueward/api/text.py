"""A call's demonstrations and prompts: read, cut to the model's context, split by prompt."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueward.config import DataConfig, canonical
from trueward.data import given
from trueward.data.loading import Loaded
from trueward.models import loading as models
from trueward.models.run_paths import model_path
from trueward.pipeline import sources
from trueward.pipeline.sources import GIVEN, Source
from trueward.records import Prompt, Record, line

READERS: dict[str, Callable[[Any, str], Loaded[Any]]] = {
    "demonstrations": given.demonstrations,
    "prompts": given.prompts,
}


@dataclass(frozen=True)
class GivenText:
    """What a call is given to read: names in [data], and the rows that are in memory."""

    names: dict[str, str]
    rows: Mapping[str, Loaded[Any]]

    @classmethod
    def of(cls, where: str, **data: Any) -> GivenText:
        """data: "demonstrations" and "prompts", each a name, rows, or None. `ValueError` names the argument and the row."""
        names: dict[str, str] = {}
        rows: dict[str, Loaded[Any]] = {}
        for what, value in data.items():
            if value is None:
                names[what] = ""
            elif given.is_name(value):
                names[what] = str(value)
            else:
                names[what], rows[what] = GIVEN, READERS[what](value, f"{where}: {what}")
        return cls(names, rows)

    def source(self, recipe: Any) -> Source:
        """Demonstrations and prompts, read: from the names in the recipe's [data], or from memory."""
        return sources.read(recipe, self.rows)

    @property
    def digests(self) -> list[str]:
        """Of the rows in memory, which take the place of files in a stage's fingerprint."""
        return [f"{what}:{digest(loaded.rows)}" for what, loaded in self.rows.items()]


def read_prompts(data: Any, where: str) -> Loaded[Prompt]:
    """Prompts from rows, or by the name of a file, a data set or a text that ships."""
    if not given.is_name(data):
        return given.prompts(data, where)
    source = sources.named_prompts(str(data))
    left_out = Counter({row["reason"]: row["rows"] for row in source.left_out})
    return Loaded(source.prompts, left_out, source.files, Counter(source.ignored))


def digest(rows: Sequence[Record]) -> str:
    """sha256 of records."""
    out = hashlib.sha256()
    for row in rows:
        out.update(canonical(line(row)).encode("utf-8", "surrogatepass") + b"\n")
    return out.hexdigest()


def lengths(model: str, settings: Mapping[str, Any]) -> dict[str, int]:
    """Up to what length text is read, where the call doesn't say: whatever fits into the model's context."""
    _, context = models.tokenizer(model_path(model))
    limits = {"max_prompt_tokens": context - 1, "max_response_tokens": context}
    chosen = settings.get("data") or {}
    return {key: value for key, value in limits.items() if key in DataConfig.model_fields and key not in chosen}
