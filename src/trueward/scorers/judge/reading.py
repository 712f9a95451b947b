"""Reads a service's answer: as log-probs of the choices, as the choice that it names, or as an error."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from trueward.scorers.judge.question import Reply

AROUND = " \t\r\n\"'`*_()[]{}.,:;!“”‘’"  # what may stand around a choice
LONGEST = 1 << 20  # characters of an answer
LEAST, ROUNDING = -(10**6), 1e-3  # nats
FLOOR = -25.0  # nats; below it services write stand-ins such as −9999


def read(choice: Any, choices: Sequence[str], reasons: bool) -> Reply:
    """The reply in an element of a chat completion's `choices`. reasons: whether reasons come before the choice.

    The text has to name one choice and no other, whatever the log-probs are; then the log-probs at the token that names it are
    taken, if they are there. A choice that isn't among the listed tokens gets the log-prob of the last of them, an upper
    bound.
    """
    message = choice.get("message") if isinstance(choice, dict) else None
    text = message.get("content") if isinstance(message, dict) else None
    if not isinstance(text, str):
        return Reply(wrong="an answer without text")
    if len(text) > LONGEST:
        return Reply(wrong=f"not an answer: a text of {len(text):,} characters")
    words = [c.strip() for c in choices]
    named = parse(text, words, reasons)
    if named is None:
        return Reply(wrong=f"not an answer: {shortened(text)!r}")
    listed = choice.get("logprobs")
    logps = _logps(listed.get("content") if isinstance(listed, dict) else None, words, named)
    return Reply(logps=logps, named=named)


def parse(text: str, words: Sequence[str], reasons: bool) -> int | None:
    """The index of the choice that a text names; None if it names none, or more than one.

    The text is the choice alone, or ends with a line `Answer: choice`; after reasons only the latter counts.
    """
    lines = re.findall(r"^[^\w\n]*answer[^\w\n]*?:(.*)$", text, re.MULTILINE | re.IGNORECASE)
    if lines:
        named = {line.strip(AROUND) for line in lines} if not reasons else {lines[-1].strip(AROUND)}
    elif reasons:
        return None
    else:
        named = {text.strip(AROUND)}
    if len(named) != 1:
        return None
    (one,) = named
    return words.index(one) if one in words else None


def read_ranking(choice: Any, letters: Sequence[str], reasons: bool) -> Reply:
    """The ranking in an element of a chat completion's `choices`: all letters once, from the best to the worst.

    The text is the letters alone, or ends with a line `Answer: …`; after reasons only the latter counts.
    """
    message = choice.get("message") if isinstance(choice, dict) else None
    text = message.get("content") if isinstance(message, dict) else None
    if not isinstance(text, str):
        return Reply(wrong="an answer without text")
    lines = re.findall(r"^[^\w\n]*answer[^\w\n]*?:(.*)$", text, re.MULTILINE | re.IGNORECASE)
    line = lines[-1] if lines else "" if reasons else text
    named = [word.strip(AROUND) for word in re.split(r"[>,\s]+", line) if word.strip(AROUND)]
    if sorted(named) != sorted(letters):
        return Reply(wrong=f"not a ranking of {len(letters)} answers: {shortened(text)!r}")
    return Reply(ranking=tuple(list(letters).index(word) for word in named))


def _logps(content: Any, words: Sequence[str], named: int) -> tuple[float, ...] | None:
    """Log-probs of the choices at the last token that is the named one; None if there is no such token."""
    if not isinstance(content, list):
        return None
    for token in reversed(content):
        if not isinstance(token, dict) or str(token.get("token", "")).strip(AROUND) != words[named]:
            continue
        tops = token.get("top_logprobs")
        listed = [t for t in tops if _is_listed(t)] if isinstance(tops, list) else []
        if not listed:
            return None
        lowest = min(_logprob(t) for t in listed)
        logps = []
        for word in words:
            own = [_logprob(t) for t in listed if t["token"].strip(AROUND) == word]
            logps.append(max(FLOOR, _logsumexp(own) if own else lowest))
        return tuple(logps)
    return None


def _is_listed(t: Any) -> bool:
    """A token with the logarithm of a probability: a number, not above 0 but for rounding; −∞ of none."""
    if not isinstance(t, dict) or not isinstance(t.get("token"), str):
        return False
    logprob = t.get("logprob")
    return isinstance(logprob, int | float) and not isinstance(logprob, bool) and logprob < ROUNDING


def _logprob(t: Any) -> float:
    return float(max(LEAST, t["logprob"]))  # an integer may have more digits than a float has room for


def _logsumexp(values: Sequence[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def shortened(text: str, most: int = 60) -> str:
    """The text, cut to `most` characters with an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"
