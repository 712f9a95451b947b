"""A user's function in a file that is named by its path, `rewards.py:f`, wherever it lies."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from trueward.artifacts import expanded
from trueward.scorers.user_function import described

ENDING = ".py"


class SourceLoader(SourceFileLoader):
    """Compiles what the file says now. Python's cache of compiled files knows a file by its size and the second of its last
    change, so a function that was edited and tried twice within a second would be the old one."""

    def get_code(self, fullname: str) -> CodeType:
        """The file's code, compiled anew."""
        return self.source_to_code(self.get_data(self.path), self.path)


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
    try:
        module = module_in(path)
    except Exception as error:  # whatever a user's file does when it is run, the line says which one it was
        raise ValueError(f"{name}: {place} can't be run: {described(error, str(path))}") from error
    function = getattr(module, attribute, None)
    if function is None:
        raise ValueError(f"{name}: {place} has no {attribute}")
    if not callable(function):
        raise ValueError(f"{name}: expected a function, got {type(function).__name__}")
    return function


def module_in(path: Path) -> ModuleType:
    """The file as a module, which may import what lies beside it; raises whatever the file does when it is run."""
    digest = hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()[:12]
    name = f"{path.stem}_{digest}"  # an edited file is another module
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path, loader=SourceLoader(name, str(path)))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses in it look their module up
        beside = str(path.resolve().parent)
        sys.path.insert(0, beside)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        finally:
            sys.path.remove(beside)
    return sys.modules[name]
