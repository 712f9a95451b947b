"""A user's module, imported from the file that its name means now, not from one that an earlier import remembers.

Python keeps a module for as long as its process lives. A notebook edits `mine.py` and runs again, or changes the
directory; the old code would run under the fingerprint of the new file, without a word.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import time
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

BEGUN = time.time()  # a file that is older than the process holds what was imported from it
IMPORTED: dict[str, str] = {}  # SHA-256 of the source that each module here was imported from
OURS: list[str] = []  # the entry of sys.path that `search_here` made


def load(name: str) -> ModuleType:
    """The module, imported unless it is already. Whatever the import raises is raised."""
    search_here()
    if name not in sys.modules:
        file = file_of(name)
        IMPORTED[name] = _digest(file) if file else ""
    return importlib.import_module(name)


def file_of(name: str) -> Path | None:
    """The file of the module of this name; None if there is no such module or it has no file.

    A module that was imported from another file, or before the file was changed, is forgotten: `load` imports it anew.
    """
    search_here()
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        _forget_if_old(".".join(parts[:end]))
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None


def search_here() -> None:
    """Search the current directory first, as `python -m` does and a console script does not."""
    here = str(Path.cwd())
    if sys.path and sys.path[0] in ("", here):
        return
    for old in OURS:
        if old in sys.path:
            sys.path.remove(old)
    OURS[:] = [] if {"", here} & set(sys.path) else [here]
    sys.path[:0] = OURS


def _forget_if_old(name: str) -> None:
    module, spec = sys.modules.get(name), _found(name)
    known = getattr(module, "__file__", None)
    if not module or not known or not spec or not spec.origin or not Path(spec.origin).is_file():
        return
    elsewhere = Path(known).resolve() != Path(spec.origin).resolve()
    if not elsewhere and not _changed(name, Path(spec.origin)):
        return
    for each in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
        del sys.modules[each]
        IMPORTED.pop(each, None)
    if spec.cached:  # bytecode is known by second and size, which an edit of one digit may share
        Path(spec.cached).unlink(missing_ok=True)
    importlib.invalidate_caches()


def _found(name: str) -> ModuleSpec | None:
    """Where the search path has it now, whatever was imported before; None in a package that isn't imported."""
    importlib.invalidate_caches()
    package, _, _ = name.rpartition(".")
    if not package:
        return PathFinder.find_spec(name)
    places = getattr(sys.modules.get(package), "__path__", None)
    return PathFinder.find_spec(name, places) if places else None


def _changed(name: str, file: Path) -> bool:
    if name in IMPORTED:
        return IMPORTED[name] != _digest(file)
    return file.stat().st_mtime > BEGUN  # someone else's import: it may be of what stood there before


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
