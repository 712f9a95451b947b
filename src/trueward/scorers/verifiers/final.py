"""The final answer in a longer response: the text after its marker, or all of it."""

from __future__ import annotations

import re

MARKERS = re.compile(r"####|\b(?:final )?answer(?: is|:)|\bAnswer(?: is|:)", re.IGNORECASE)
BOXED = r"\boxed{"


def final(response: str, marker: str = "") -> str | None:
    r"""The text in the last \boxed{}, else after the last `####`, "answer is" or "answer:", else the whole response.

    With a `marker`, the text after its last place; None if the response lacks it.
    """
    if marker:
        return response.rpartition(marker)[2].strip() if marker in response else None
    if (inside := boxed(response)) is not None:
        return inside
    last = next(reversed(list(MARKERS.finditer(response))), None)
    return response[last.end() :].strip() if last else response.strip()


def boxed(response: str) -> str | None:
    r"""The content of the last \boxed{}; None without one, "" if several differ."""
    contents, start = [], response.find(BOXED)
    while start >= 0:
        depth, at = 1, start + len(BOXED)
        while at < len(response) and depth:
            depth += {"{": 1, "}": -1}.get(response[at], 0)
            at += 1
        contents.append(response[start + len(BOXED) : at - (depth == 0)].strip())
        start = response.find(BOXED, at)
    if len(set(contents)) > 1:
        return ""  # two answers
    return contents[0] if contents else None


def only_ascii_digits(text: str) -> bool:
    """Whether every character that stands for a number is one of 0 to 9."""
    return not any(c.isnumeric() and not c.isascii() for c in text)
