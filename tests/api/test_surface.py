"""The public surface of the package: exactly these names, each explained, and nothing heavy behind the import."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trueward

ROOT = Path(__file__).parents[2]
FUNCTIONS = [
    "audit",
    "audit_reward",
    "compare",
    "doctor",
    "evaluate",
    "fit_reward_model",
    "frontier",
    "load_policy",
    "load_reward_model",
    "optimize",
    "run",
    "sft",
    "sweep",
]
RECORDS = ["Comparison", "Completion", "Demonstration", "Message", "Prompt", "Score"]
RESULTS = [
    "Audit",
    "ComparisonSet",
    "Doctor",
    "Frontier",
    "HeadToHead",
    "LearnedReward",
    "OptimizedPolicy",
    "Policy",
    "RewardAudit",
    "Run",
    "SupervisedPolicy",
    "Sweep",
]
NAMES = [*FUNCTIONS, *RECORDS, *RESULTS]
HEAVY = ("torch", "transformers", "numpy", "pandas", "pydantic", "typer", "rich")


def test_the_public_names_are_these() -> None:
    """A name that goes is deprecated for one release first; one that comes is explained in docs/api.md."""
    assert sorted(trueward.__all__) == sorted([*NAMES, "__version__"])
    assert set(trueward.__all__) <= set(dir(trueward))


def test_names_are_loaded_from_where_type_checkers_look() -> None:
    tree = ast.parse((ROOT / "src/trueward/__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {str(node.module).removeprefix("trueward."): tuple(alias.name for alias in node.names) for node in imports}
    assert seen == trueward.PLACES
    assert sorted(name for names in trueward.PLACES.values() for name in names) == sorted(NAMES)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'trueward' has no attribute 'train'"):
        _ = trueward.train


# What is said of them.


def arguments(docstring: str) -> list[str]:
    """The names under "Args:", as they are written: **settings with its stars."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", docstring, re.MULTILINE | re.DOTALL)
    return re.findall(r"^ {4}(\*{0,2}\w+): \S", section[1], re.MULTILINE) if section else []


def parameters(function: Any) -> list[str]:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    given = inspect.signature(function).parameters.values()
    return [stars.get(p.kind, "") + p.name for p in given if p.name != "self"]


def methods() -> Iterator[tuple[str, Any]]:
    """The public methods and properties that results have of their own, and the constructor that users call."""
    for name in RESULTS:
        kind = getattr(trueward, name)
        for member, value in vars(kind).items():
            if not member.startswith("_"):
                yield f"{name}.{member}", value
    yield "Run.__init__", trueward.Run.__init__


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_explained(name: str) -> None:
    value = getattr(trueward, name)
    assert value.__name__ == name
    assert len(inspect.getdoc(value) or "") > 20
    if name in FUNCTIONS:
        assert arguments(inspect.getdoc(value) or "") == parameters(value)
        assert "Returns:" in value.__doc__


def test_every_method_and_property_is_explained() -> None:
    listed = dict(methods())
    assert {"Policy.generate", "Run.verdict", "SupervisedPolicy.answers", "Sweep.best"} <= set(listed)
    for name, value in listed.items():
        function = getattr(value, "fget", None) or getattr(value, "func", None) or value
        said = inspect.getdoc(function) or ""
        assert len(said) > 10, f"{name} has no docstring"
        for parameter in parameters(function) if inspect.isfunction(value) else []:
            assert parameter in arguments(said) or f"`{parameter}`" in said, f"{name}: {parameter}"


def test_every_field_of_a_record_is_explained() -> None:
    tree = ast.parse((ROOT / "src/trueward/records.py").read_text(encoding="utf-8"))
    kinds = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for name in RECORDS:
        body = kinds[name].body
        fields = [i for i, node in enumerate(body) if isinstance(node, ast.AnnAssign)]
        assert len(fields) == len(getattr(trueward, name).model_fields)
        for i in fields:
            after = body[i + 1] if i + 1 < len(body) else None
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            assert is_text, f"{name}: {ast.unparse(body[i])} has no docstring under it"


def test_every_name_has_its_place_in_the_reference() -> None:
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^::: trueward\.(\w+)$", page, re.MULTILINE)
    assert sorted(listed) == sorted(NAMES)


def test_results_name_themselves() -> None:
    """In a notebook, where a result is the last line of a cell."""
    from trueward.evaluation.doctor import Diagnosis, Finding

    finding = Finding("sft", "what", {}, "because", {})
    assert repr(trueward.Frontier({"runs": [{"run": "one"}, {"run": "two"}]})) == "Frontier(one, two)"
    assert repr(trueward.Doctor(Diagnosis([finding], [], {}))) == "Doctor(sft)"
    assert repr(trueward.Doctor(Diagnosis([], [], {}))) == "Doctor(nothing found)"
    for name in RESULTS:
        assert getattr(trueward, name).__repr__ is not object.__repr__, name


# What an import costs.


def python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_importing_it_loads_nothing_heavy() -> None:
    program = f"import sys, trueward; dir(trueward); print([name for name in {HEAVY} if name in sys.modules])"
    assert python(program).strip() == "[]"


def test_records_come_without_torch() -> None:
    program = "import sys, trueward; trueward.Score(score=1); print('torch' in sys.modules)"
    assert python(program).strip() == "False"


def test_importing_it_is_instant() -> None:
    """Under 0.2 s; a few hundredths on an idle core. The best of five, each a process of its own."""
    program = "import time; start = time.perf_counter(); import trueward; print(time.perf_counter() - start)"
    assert min(float(python(program)) for _ in range(5)) < 0.2
