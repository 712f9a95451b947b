"""Every public function, class and method of the package says what it is or does, and in words that a reader knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parents[1] / "src/trueward"
FILES = sorted(SOURCE.rglob("*.py"))
PRIVATE = re.compile(r"\b(climb\w*|rungs?|ladders?|crews?|twins?|foretold|foretells?|goes by|go by)\b", re.IGNORECASE)
"""The house's own words of 0.1, for which the field has terms: pipeline, stage, workers, copy, predicted."""

Defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Named(NamedTuple):
    """A definition with its dotted name in its file, and the class that it is in, if it's in one."""

    name: str
    node: Defined
    within: ast.ClassDef | None


def public(tree: ast.Module) -> Iterator[Named]:
    """Public functions, classes and methods of public classes; not what is defined inside of functions."""
    for node in tree.body:
        if isinstance(node, Defined) and not node.name.startswith("_"):
            yield Named(node.name, node, None)
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, Defined) and not inner.name.startswith("_"):
                        yield Named(f"{node.name}.{inner.name}", inner, node)


def inherited(within: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> set[str]:
    """Names of the documented methods of a class's bases, as far as these are classes of the package."""
    names: set[str] = set()
    for base in within.bases:
        name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
        if name in classes and classes[name] is not within:
            above = classes[name]
            names |= {n.name for n in above.body if isinstance(n, Defined) and ast.get_docstring(n)}
            names |= inherited(above, classes)
    return names


def undocumented(trees: dict[str, ast.Module]) -> list[str]:
    """Names without a docstring; one that overrides a documented method of a base needs none."""
    classes = {n.name: n for tree in trees.values() for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
    return [
        f"{where}:{named.node.lineno} {named.name}"
        for where, tree in trees.items()
        for named in public(tree)
        if not ast.get_docstring(named.node)
        and not (named.within and named.node.name in inherited(named.within, classes))
    ]


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Texts that stand alone, with their lines: docstrings of modules, classes, functions and fields, private ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


TREES = {str(path.relative_to(SOURCE)): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
ROOMS = sorted({where.partition("/")[0] for where in TREES})


@pytest.mark.parametrize("where", [where for where in TREES if not where.endswith("__main__.py")])
def test_every_module_has_a_docstring(where: str) -> None:
    assert ast.get_docstring(TREES[where])


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_has_a_docstring(room: str) -> None:
    assert not [name for name in undocumented(TREES) if re.split(r"[/:]", name)[0] == room]


@pytest.mark.parametrize("room", ROOMS)
def test_no_docstring_uses_private_words(room: str) -> None:
    assert not [
        (f"{where}:{line}", PRIVATE.findall(text))
        for where, tree in TREES.items()
        if where.partition("/")[0] == room
        for line, text in docstrings(tree)
        if PRIVATE.search(text)
    ]


def test_the_rules_see_what_they_are_for() -> None:
    text = '''
class Base:
    """A base."""
    def told(self): "It has one."
    def mute(self): ...
class Derived(Base):
    """Climbs every rung."""
    def told(self): ...
    def mute(self): ...
    def _hidden(self): ...
def alone(): ...
'''
    tree = ast.parse(text)
    assert [name.split()[1] for name in undocumented({"a.py": tree})] == ["Base.mute", "Derived.mute", "alone"]
    assert [PRIVATE.findall(words) for _, words in docstrings(tree) if PRIVATE.search(words)] == [["Climbs", "rung"]]
