"""Recipes from files, by name, and changed on the command line."""

from __future__ import annotations

import difflib
import hashlib
import importlib.resources
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trueward.config import presets
from trueward.config.evaluation_judge import EvaluationJudgeConfig
from trueward.config.other_tools import explain_foreign
from trueward.config.renamed import explain_other_name
from trueward.config.reward import RewardPartConfig
from trueward.config.schema import Recipe
from trueward.config.section import Section

LONGEST_NAME = 120  # of a run, in characters
SHORT = {"tracking": "runtime.tracking"}  # overrides that may leave out the section


def shipped() -> dict[str, str]:
    """The recipes that ship with trueward: name and TOML text."""
    folder = importlib.resources.files("trueward") / "recipes"
    files = sorted(f.name for f in folder.iterdir() if f.name.endswith(".toml"))
    return {f.removesuffix(".toml"): (folder / f).read_text(encoding="utf-8") for f in files}


def read(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """A shipped recipe by name, or a TOML file by path, with `section.key=value` overrides on top.

    Raises `ValueError` with one line that names the file, the line or field, and what was expected.
    """
    known = shipped()
    path = Path(recipe)
    if recipe in known:
        text, where, name = known[recipe], recipe, recipe
    elif path.is_file():
        try:
            text, where, name = path.read_text(encoding="utf-8"), str(path), path.stem
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 text (byte {error.start})") from None
    elif path.suffix or path.exists() or len(path.parts) > 1:
        raise ValueError(f"{path}: no such recipe file")
    else:
        raise ValueError(
            f"there is no recipe {recipe!r}; shipped are: {', '.join(known)} (or give a path to a TOML file)"
        )
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"{where}: expected a recipe, got one that is nested too deep") from None
    except ValueError as error:  # numbers of thousands of digits too
        raise ValueError(f"{where}: not a TOML file: {error}") from None
    table.setdefault("name", name)
    for override in sorted(overrides, key=lambda o: not sets_preset(o)):  # the others count more than a preset
        put(table, override)
    return resolve(table, where)


def resolve(table: dict[str, Any], where: str) -> Recipe:
    """A validated recipe. `ValueError` in one line with the first mistake; `where` is what it calls the source."""
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise ValueError(f"{where}: {explain(error)}") from None


def explain(error: ValidationError) -> str:
    """The first mistake of a validation: its field, what was expected, and the value."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return explain_other_name(field) or explain_foreign(field, first["input"]) or nearest(first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{field}: {message}" if field else message
    message = message[0].lower() + message[1:]
    return f"{field}: {message}, got {first['input']!r}"


def nearest(place: Sequence[int | str]) -> str:
    """The message for an unknown setting, with the nearest names, in its section or elsewhere."""
    field, last = ".".join(str(part) for part in place), str(place[-1])
    section: Any = Recipe
    arrays, before = {"parts": RewardPartConfig, "judge": EvaluationJudgeConfig}, place[0]
    for part in place[:-1]:
        section = arrays[str(before)] if isinstance(part, int) else section.model_fields[str(part)].annotation
        before = part
    near = difflib.get_close_matches(last, section.model_fields, n=1)
    if not near:
        known = list(settings())
        elsewhere = {name.rpartition(".")[2]: name for name in reversed(known)}
        near = [name for name in known if name.rpartition(".")[2] == last]
        near = near or [elsewhere[name] for name in difflib.get_close_matches(last, elsewhere, n=1, cutoff=0.75)]
    if near:
        return f"unknown key {field}; did you mean {' or '.join(near)}?"
    if len(section.model_fields) <= 6:
        return f"unknown key {field}; known: {', '.join(section.model_fields)}"
    return f"unknown key {field}; `trueward recipes tiny` prints every setting, docs/recipe.md explains them"


def settings(section: Any = Recipe, inside: str = "") -> Iterator[str]:
    """Every setting by its dotted name."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from settings(field.annotation, f"{inside}{name}.")
        else:
            yield inside + name


def explain_option(option: str) -> str:
    """The message for an unknown command-line option that is a setting, here or in another tool; empty if it is neither."""
    name = option.lstrip("-").replace("-", "_").split("=")[0]
    if foreign := explain_foreign(name):
        return foreign.replace(name, option, 1) + "; settings are given as --set KEY=VALUE"
    near = [known for known in settings() if known == name or known.rpartition(".")[2] == name]
    return f"{option}: settings are given as --set {' or '.join(near)}=VALUE" if near else ""


def put(table: dict[str, Any], override: str) -> None:
    """Put one `section.key=value` into a recipe's table. The value is read as TOML, else as plain text."""
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"--set {override}: expected section.key=value")
    whole = table
    *sections, last = SHORT.get(key.strip(), key.strip()).split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ValueError(f"--set {override}: {section} is not a section")
    try:
        table[last] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = value
    except RecursionError:
        raise ValueError(f"--set {key.strip()}: expected a value, got one that is nested too deep") from None
    except ValueError as error:
        raise ValueError(f"--set {key.strip()}: {error}") from None
    if sets_preset(override):
        presets.clear(whole, table[last])


def sets_preset(override: str) -> bool:
    """Whether a `section.key=value` is about policy.group.preset."""
    return override.partition("=")[0].strip() == presets.KEY


def as_toml(value: Any, where: str) -> str:
    """A Python value in TOML's spelling, on one line. `ValueError` for what TOML doesn't have."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | Path):
        return json.dumps(str(value), ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {as_toml(v, where)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(as_toml(v, where) for v in value) + "]"
    kind = "None; leave a setting out to have its default" if value is None else f"a {type(value).__name__}"
    raise ValueError(f"{where}: expected a string, a number, true or false, a list or a dict, got {kind}")


def variant(name: str, overrides: Sequence[str]) -> str:
    """The name of a run: the recipe's, and what was changed in it, so that two recipes never share a directory."""
    changed = [o.replace(" ", "").replace('"', "") for o in overrides if not changes_no_result(o)]
    kept = "".join(c if c.isalnum() or c in "._=,+-" else "_" for c in ",".join([name, *changed]))
    if len(kept) <= LONGEST_NAME:
        return kept
    digest = hashlib.sha256("\n".join([name, *changed]).encode()).hexdigest()[
        :8
    ]  # what is cut off still tells two apart
    return f"{kept[: LONGEST_NAME - 9]}-{digest}"


def changes_no_result(override: str) -> bool:
    """Whether a `section.key=value` is about [runtime]."""
    key = override.partition("=")[0].strip()
    return SHORT.get(key, key).startswith("runtime.")


def canonical(value: Any) -> str:
    """JSON with sorted keys: the text that fingerprints are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
