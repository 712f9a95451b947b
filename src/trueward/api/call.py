"""One call from Python: its settings as a recipe, its surroundings, where its result is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueward import config
from trueward.api.notebook import shown_progress
from trueward.config import Recipe
from trueward.pipeline.output_cache import OutputCache
from trueward.pipeline.process import process_settings
from trueward.pipeline.requirements import require_adapters
from trueward.pipeline.surroundings import run_env, with_precision
from trueward.progress import Progress

Settings = Mapping[str, Any]
SECTIONS = frozenset(
    name for name, field in Recipe.model_fields.items() if name not in ("format", "name", "description", "seed")
)


DTYPE = "dtype"
"""A keyword of every call that may load a model: `model.dtype`."""


def recipe_of(where: str, own: str, settings: Settings, seed: int = 0, **fixed: Settings) -> Recipe:
    """The recipe that a call stands for. `ValueError` in one line that names the call and the setting.

    own: the section that plain keywords are settings of. settings: those, `dtype`, and other sections as `sampler={...}`.
    fixed: what the call itself decides, by section; naming it again is an error.
    """
    table: dict[str, Any] = {"name": own, "seed": seed}
    inner = own and config.Recipe.model_fields[own].annotation
    for name, value in settings.items():
        if name == DTYPE:
            _put(table.setdefault("model", {}), name, value)
            continue
        is_own = inner is not None and name in getattr(inner, "model_fields", {})
        if name in SECTIONS and isinstance(value, Mapping):
            section = table.setdefault(name, {})
            for key, one in value.items():
                _put(section, key, one)
        elif is_own or name not in SECTIONS:
            _put(table.setdefault(own, {}), name, value)
        else:
            raise ValueError(f"{where}: {name}: expected the settings of [{name}] as a dict, got {value!r}")
    for name, values in fixed.items():
        section = table.setdefault(name, {})
        for key, value in values.items():
            if key in section:
                raise ValueError(f"{where}: {name}.{key} follows from the call's own arguments; leave it out")
            section[key] = value
    return config.resolve(table, where)


def _put(table: dict[str, Any], key: str, value: Any) -> None:
    """`group.size` is the setting `size` of the section `group` in it."""
    *sections, last = key.split(".")
    for section in sections:
        table = table.setdefault(section, {})
    table[last] = dict(value) if isinstance(value, Mapping) else value


@dataclass(frozen=True)
class Call:
    """What a call works with."""

    recipe: Recipe
    cache: OutputCache


@contextmanager
def calling(recipe: Recipe, progress: bool, out: str | Path | None = None, stage: str = "") -> Iterator[Call]:
    """The process's settings (threads, deterministic kernels) for as long as it takes; afterwards they are as they were.

    progress: bars in a terminal or a notebook. out: where the result of `stage` is kept.
    """
    require_adapters(recipe)
    recipe = with_precision(recipe)
    with process_settings(recipe), shown_progress() if progress else _silent() as told:
        env = run_env(recipe, told, tracked=False)
        yield Call(recipe, OutputCache(env, None if out is None else Path(out), stage))


@contextmanager
def _silent() -> Iterator[Progress]:
    yield Progress()
