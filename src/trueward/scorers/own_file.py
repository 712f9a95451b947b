"""A user's function in a file that is named by its path, `rewards.py:f`, wherever it lies."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from typing import Any

from trueward.artifacts import expanded
from trueward.scorers.user_function import described

ENDING = ".py"


def is_in_file(name: str) -> bool:
    """Whether a name has the form `PATH.py:function`."""
    path, colon, function = name.rpartition(":")
    return bool(colon) and path.endswith(ENDING) and function.isidentifier()


def function_in(name: str) -> Any:
    """The function that `PATH.py:function` names. Its file may import what lies beside it. `ValueError` in one line if it isn't
    there, or is no function."""
    place, _, attribute = name.rpartition(":")
    path = expanded(place)
    if not path.is_file():
        raise ValueError(f"{name}: there is no file {place}")
    digest = hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()[:12]
    module_name = f"{path.stem}_{digest}"  # an edited file is another module
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        beside = str(path.resolve().parent)
        sys.path.insert(0, beside)
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # whatever a user's file does when it is run, the line says which one it was
            del sys.modules[module_name]
            raise ValueError(f"{name}: {place} can't be run: {described(error, str(path))}") from error
        finally:
            sys.path.remove(beside)
    function = getattr(sys.modules[module_name], attribute, None)
    if function is None:
        raise ValueError(f"{name}: {place} has no {attribute}")
    if not callable(function):
        raise ValueError(f"{name}: expected a function, got {type(function).__name__}")
    return function
