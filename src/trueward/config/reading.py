"""Recipes from files, by name, and changed on the command line."""

from __future__ import annotations

import difflib
import importlib.resources
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trueward.config import presets
from trueward.config.renamed import explain_other_name
from trueward.config.reward import RewardPartConfig
from trueward.config.schema import Recipe

SHORT = {"tracking": "runtime.tracking"}  # what an override may leave out


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
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{where}: not a TOML file: {error}") from None
    table.setdefault("name", name)
    for override in sorted(overrides, key=lambda o: not sets_preset(o)):  # the others count more than a preset
        put(table, override)
    return resolve(table, where)


def resolve(table: dict[str, Any], where: str) -> Recipe:
    """A validated recipe; the first mistake as one line."""
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise ValueError(f"{where}: {explain(error)}") from None


def explain(error: ValidationError) -> str:
    """The first mistake of a validation: its field, what was expected, and the value."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        if known := explain_other_name(field):
            return known
        section: Any = Recipe
        for part in first["loc"][:-1]:
            section = RewardPartConfig if isinstance(part, int) else section.model_fields[str(part)].annotation
        near = difflib.get_close_matches(str(first["loc"][-1]), section.model_fields, n=1)
        return f"unknown key {field}" + (
            f"; did you mean {near[0]}?" if near else f"; known: {', '.join(section.model_fields)}"
        )
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{field}: {message}" if field else message
    message = message[0].lower() + message[1:]
    return f"{field}: {message}, got {first['input']!r}"


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
    if sets_preset(override):
        presets.clear(whole, table[last])


def sets_preset(override: str) -> bool:
    """Whether a `section.key=value` is about policy.group.preset."""
    return override.partition("=")[0].strip() == presets.KEY


def variant(name: str, overrides: Sequence[str]) -> str:
    """The name of a run: the recipe's, and what was changed in it, so that two recipes never share a directory."""
    changed = [o.replace(" ", "").replace('"', "") for o in overrides if not changes_no_result(o)]
    kept = "".join(c if c.isalnum() or c in "._=,+-" else "_" for c in ",".join([name, *changed]))
    return kept[:120]


def changes_no_result(override: str) -> bool:
    """Whether a `section.key=value` is about [runtime]."""
    key = override.partition("=")[0].strip()
    return SHORT.get(key, key).startswith("runtime.")


def canonical(value: Any) -> str:
    """JSON with sorted keys: the text that fingerprints are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
