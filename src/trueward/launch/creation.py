"""Why an actor could not be made: the line of its constructor's error, inside of what Ray says."""

from __future__ import annotations

import re

LINE = re.compile(r"^(?:\x1b\[\d+m)*([A-Za-z_.]*(?:Error|Exception)): (.+)$")
OURS = "ValueError"


def creation_line(error: BaseException) -> str:
    """The last such line; empty for an actor that has simply died.

    >>> creation_line(RuntimeError("The actor died because of an error in its creation task\\nModuleNotFoundError: No x"))
    'ModuleNotFoundError: No x'
    """
    text = str(error)
    if "creation task" not in text:
        return ""
    found = [match for line in text.splitlines() if (match := LINE.match(line.strip()))]
    if not found:
        return ""
    name, what = found[-1].groups()
    return what if name == OURS else f"{name}: {what}"
