"""The house rules about names and files, over the syntax trees of src."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from trueward.config import Recipe, Section

SOURCE = Path(__file__).parents[1] / "src/trueward"
FILES = sorted(SOURCE.rglob("*.py"))
RIDDLES = {"found", "said", "asked", "paid", "shown"}  # participles that say nothing of what a thing is
TOP_LEVEL = {
    "__init__",
    "__main__",
    "artifacts",
    "batches",
    "console",
    "errors",
    "extras",
    "progress",
    "records",
    "seeds",
    "signals",
    "token_budget",
    "transfers",
}
MOST_LINES = 300


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in FILES:
        yield str(path.relative_to(SOURCE)), ast.parse(path.read_text(encoding="utf-8"))


def parameters(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            yield from (a.arg for a in every if a is not None)


def fields(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                    yield part.target.id
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def keys(tree: ast.AST) -> Iterator[str]:
    """Of dictionaries that are written or read: {"key": ...}, row["key"], row.get("key")."""
    for node in ast.walk(tree):
        found: list[ast.AST | None] = []
        if isinstance(node, ast.Dict):
            found = list(node.keys)
        if isinstance(node, ast.Subscript):
            found = [node.slice]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop"):
            found = list(node.args[:1])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
            found = [ast.Constant(k.arg) for k in node.keywords]
        yield from (k.value for k in found if isinstance(k, ast.Constant) and isinstance(k.value, str))


@pytest.mark.parametrize("kind", [parameters, fields, keys])
def test_no_parameter_field_or_key_is_a_riddle(kind: object) -> None:
    assert callable(kind)
    assert not [(where, name) for where, tree in trees() for name in kind(tree) if name in RIDDLES]


def test_no_setting_is_one() -> None:
    def names(section: type[Section]) -> Iterator[str]:
        for name, field in section.model_fields.items():
            yield name
            if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
                yield from names(field.annotation)

    assert not RIDDLES & set(names(Recipe))


def test_one_class_a_name() -> None:
    classes: dict[str, list[str]] = defaultdict(list)
    for where, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(where)
    assert not {name: places for name, places in classes.items() if len(places) > 1}


def test_no_loose_modules_at_the_top() -> None:
    assert {path.stem for path in SOURCE.glob("*.py")} <= TOP_LEVEL


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_file_is_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_no_file_is_a_drawer() -> None:
    assert not {"utils", "helpers", "common", "misc"} & {path.stem for path in FILES}


def test_the_rules_see_what_they_are_for() -> None:
    tree = ast.parse("def f(found, *, said): return {'asked': 1}\nclass C:\n    paid: int\nrow['shown']\nx.get('said')")
    assert set(parameters(tree)) & RIDDLES == {"found", "said"}
    assert set(fields(tree)) & RIDDLES == {"paid"}
    assert set(keys(tree)) & RIDDLES == {"asked", "shown", "said"}
