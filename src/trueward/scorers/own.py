"""A user's own scorer, named `module:function`: any function from completions to verdicts, or to numbers."""

from __future__ import annotations

import importlib
import importlib.util
import math
import numbers
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trueward.records import Completion, Verdict

PREFIXES = ("people", "model", "verifier", "reasoning-gym")


class Own:
    """The function behind the one shape of scorers; what it returns is checked every time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.function = _function(name)

    def __call__(self, completions: Sequence[Completion]) -> list[Verdict]:
        found = self.function(list(completions))
        if isinstance(found, str | bytes | dict) or not hasattr(found, "__iter__"):
            raise ValueError(f"{self.name} returned {_kind(found)}; expected a list of numbers or of Verdicts")
        verdicts = [self._verdict(value, i) for i, value in enumerate(found)]
        if len(verdicts) != len(completions):
            raise ValueError(
                f"{self.name} returned {len(verdicts)} scores for {len(completions)} completions; expected one each"
            )
        return verdicts

    def _verdict(self, value: Any, at: int) -> Verdict:
        if isinstance(value, Verdict):
            verdict = value
        elif isinstance(value, numbers.Real) or (hasattr(value, "item") and getattr(value, "ndim", 1) == 0):
            verdict = Verdict(score=float(value))
        else:
            raise ValueError(f"{self.name} returned {_kind(value)} for completion {at}; expected a number or a Verdict")
        if not all(math.isfinite(x) for x in (verdict.score, *verdict.parts.values())):
            raise ValueError(f"{self.name} returned a score that is not a finite number for completion {at}")
        return verdict


def is_own(name: str) -> bool:
    """Whether a name is of the form module:function, and none of the kinds that have a prefix of their own."""
    module, colon, function = name.partition(":")
    return (
        bool(colon)
        and module not in PREFIXES
        and function.isidentifier()
        and all(p.isidentifier() for p in module.split("."))
    )


def source(name: str) -> list[Path]:
    """The file that holds the function, to be fingerprinted; none if it has no file."""
    _here()
    try:
        spec = importlib.util.find_spec(name.partition(":")[0])
    except (ImportError, ValueError):
        return []
    return [Path(spec.origin)] if spec and spec.origin and Path(spec.origin).is_file() else []


def _function(name: str) -> Callable[[list[Completion]], Any]:
    module, _, attribute = name.partition(":")
    _here()
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != module and not module.startswith(f"{error.name}."):
            raise ValueError(f"{name}: {module} can't be imported: {error}") from None
        raise ValueError(
            f"{name}: there is no module {module}; it is looked for in the current directory and on PYTHONPATH"
        ) from None
    except AttributeError:
        raise ValueError(f"{name}: the module {module} has no {attribute}") from None
    except Exception as error:  # whatever a user's module does when it's imported, the line says which one it was
        raise ValueError(f"{name}: {module} can't be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ValueError(f"{name}: expected a function, got {_kind(found)}")
    return found  # type: ignore[no-any-return]


def _here() -> None:
    """The console script does not look in the current directory; `python -m` does."""
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))


def _kind(value: Any) -> str:
    return "None" if value is None else f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__}"
