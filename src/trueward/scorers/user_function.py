"""A function of the user's that scores: how it is called, in trueward's form or TRL's, and what it raises, in one line."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from trueward.records import ASSISTANT, Completion, Prompt

Columns = Mapping[str, Mapping[str, Any]]
"""Columns of the prompts' rows, by the prompt's id."""
TAKES = "expected a function of a list of completions, or of prompts and completions, as TRL calls it"
PROMPTS, COMPLETIONS = "prompts", "completions"
ELSEWHERE = (
    "completion_ids",
    "completions_ids",
    "prompt_ids",
    "trainer_state",
    "log_extra",
    "log_metric",
    "environments",
)
"""What some of TRL's trainers hand over beside columns; scorers here read text."""


class UserFunction:
    """The function, called with completions: `f(completions)`, or `f(prompts, completions, **columns)` by keyword.

    A function that takes `completions` and anything else that has no default is of TRL's form: texts, or lists of messages
    where the prompts are conversations. It's handed the columns of the prompts' rows that it names, or with `**columns` all.
    """

    def __init__(self, name: str, function: Callable[..., Any], columns: Columns) -> None:
        """name: as errors call it. columns: of the prompts' rows. `ValueError` if it can't be called in either form."""
        self.name, self.function, self.columns = name, function, columns
        self.names: list[str] = []
        self.needed: list[str] = []
        self.takes_all = False
        self.is_trl = False
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_method(function)):
            raise ValueError(f"{name}: {TAKES}; this one is async")
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # of a builtin, which doesn't tell
            return
        self._read(signature)

    def _read(self, signature: inspect.Signature) -> None:
        parameters = signature.parameters.values()
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        self.takes_all = any(p.kind == p.VAR_KEYWORD for p in parameters)
        self.names = [p.name for p in named]
        others = [p.name for p in named if p.default is p.empty and p.name not in (PROMPTS, COMPLETIONS)]
        self.is_trl = not any(p.kind == p.POSITIONAL_ONLY for p in parameters) and (
            (COMPLETIONS in self.names and (self.takes_all or PROMPTS in self.names or bool(others)))
            or (not self.names and self.takes_all and not any(p.kind == p.VAR_POSITIONAL for p in parameters))
        )
        if self.is_trl:
            self.needed = others
            return
        try:
            signature.bind([])
        except TypeError as error:
            raise ValueError(f"{self.name}: {TAKES}; this one is {_shown(self.name, signature)} ({error})") from None

    def check(self, prompts: Iterable[Prompt], where: str) -> None:
        """`ValueError` if it needs a column that no row of the prompts has. where: what the error calls the setting."""
        if not self.needed:
            return
        known: dict[str, None] = {}
        for prompt in prompts:
            known |= dict.fromkeys(self._columns(prompt))
        if missing := [name for name in self.needed if name not in known]:
            raise ValueError(f"{where}: {self._lacks(missing[0], known)}")

    def _lacks(self, name: str, known: Iterable[str]) -> str:
        if name in ELSEWHERE:
            return f"{self.name} needs {name}, and scorers are handed texts and columns alone; give it a default"
        there = ", ".join(known) or "none beside the prompt"
        return f"{self.name} needs the column {name!r}, which no row of the prompts has; there are: {there}"

    def _columns(self, prompt: Prompt) -> dict[str, Any]:
        columns = dict(prompt.columns or self.columns.get(prompt.whole or prompt.id, {}))
        if prompt.answer:
            columns.setdefault("answer", prompt.answer)
        return columns

    def __call__(self, completions: Sequence[Completion]) -> Any:
        """What it returns, a generator as the list of its values. `ValueError` in one line for whatever it raises."""
        arguments = self._arguments(completions) if self.is_trl else None
        try:
            values = self.function(list(completions)) if arguments is None else self.function(**arguments)
            return list(values) if hasattr(values, "__next__") else values
        except Exception as error:
            raise raised(self.name, self.function, error) from error

    def _arguments(self, completions: Sequence[Completion]) -> dict[str, Any]:
        rows = [self._columns(c.prompt) for c in completions]
        there = dict.fromkeys(name for row in rows for name in row)
        wanted = [n for n in there if n not in (PROMPTS, COMPLETIONS) and (self.takes_all or n in self.names)]
        wanted += [n for n in self.needed if n not in there]  # in no row of this batch
        arguments: dict[str, Any] = {name: [row.get(name) for row in rows] for name in wanted}
        for name, values in (
            (PROMPTS, [_asked(c.prompt) for c in completions]),
            (COMPLETIONS, [_answered(c) for c in completions]),
        ):
            if self.takes_all or name in self.names:
                arguments[name] = values
        return arguments


def _asked(prompt: Prompt) -> Any:
    """As TRL has it: a text, or a list of messages."""
    return prompt.text or [{"role": m.role, "content": m.content} for m in prompt.messages]


def _answered(completion: Completion) -> Any:
    if completion.prompt.text:
        return completion.response
    return [{"role": ASSISTANT, "content": completion.response}]


def raised(name: str, function: Any, error: BaseException) -> ValueError:
    """What a user's function raised, as one line: what, and where in its own file."""
    inner = inspect.unwrap(function) if callable(function) else function
    code = getattr(inner, "__code__", None) or getattr(_method(inner), "__code__", None)
    return ValueError(f"{name} raised {described(error, getattr(code, 'co_filename', ''))}")


def _method(function: Any) -> Any:
    """What calling an object calls."""
    return vars(type(function)).get("__call__")


def described(error: BaseException, file: str = "") -> str:
    """An error's type and first line, and the last place in that file that it passed, else the last of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == file] or frames
    lines = str(error).strip().splitlines()
    place = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}{f': {lines[0]}' if lines else ''}{place}"


def _shown(name: str, signature: inspect.Signature) -> str:
    return f"{name.rpartition(':')[2]}({', '.join(signature.parameters)})"
