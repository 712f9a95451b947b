"""The role of the second jail: it runs the tests on stand-ins that call the model's code in the first jail.

The model's code is in another process, so there is nothing of these tests that it could read, patch or end. The report
goes through a pipe that the other jail does not have, with a token that it has never seen.
"""

from __future__ import annotations

import builtins
import keyword
from typing import Any

from . import wire

LONGEST_NOTE = 200
ODD = (AssertionError, UnicodeDecodeError, UnicodeEncodeError, UnicodeTranslateError)
"""Errors that the code may raise and a test doesn't get: its own, and those that can't be made from a text."""


class Failed(Exception):  # noqa: N818 (what a test sees when the model's code has none of Python's own errors to raise)
    """The model's code has ended, or its answer can't be read."""


class Link:
    """The pipes to the other jail."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        """incoming, outgoing: file descriptors."""
        self.incoming, self.outgoing = incoming, outgoing

    def ask(self, do: str, number: int, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """The value of an operation on an object in the other jail: `do` names it, `number` the object.

        Raises the built-in exception that the code raised; `Failed` if there is no answer, or for any other exception.
        """
        encoded = [wire.encode(a, _number) for a in args]
        named = {k: wire.encode(v, _number) for k, v in (kwargs or {}).items()}
        try:
            wire.send(self.outgoing, {"do": do, "thing": number, "args": encoded, "kwargs": named})
            answer = wire.receive(self.incoming)
            if "raise" not in answer:
                return wire.decode(answer["value"], self.thing)
            name, text = str(answer["raise"]), str(answer.get("text", ""))
        except (OSError, EOFError):
            raise Failed("the code ended") from None
        except Exception as error:
            raise Failed(f"no answer: {type(error).__name__}") from None
        kind = getattr(builtins, name, None)
        if (
            isinstance(kind, type)
            and issubclass(kind, Exception)
            and kind not in (AssertionError, *UnicodeError.__subclasses__())
        ):
            raise kind(text)
        raise Failed(f"{name}: {text}")

    def thing(self, number: int) -> Any:
        """The stand-in for the object with this number."""
        return Thing(self, int(number))


class Thing:
    """A stand-in for a function, class or object of the model's code.

    Two are equal only if they are the same stand-in: the code's own `__eq__` is never called.
    """

    def __init__(self, link: Link, number: int) -> None:
        """number: of the object in the other jail."""
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_number", number)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the object in the other jail."""
        return self._link.ask("call", self._number, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._link.ask("get", self._number, (name,))

    def __setattr__(self, name: str, value: Any) -> None:
        self._link.ask("set", self._number, (name, value))

    def __len__(self) -> int:
        return int(self._link.ask("len", self._number))

    def __bool__(self) -> bool:
        raise Failed("an object of the code's own is neither true nor false here; compare a value")

    def __getitem__(self, key: Any) -> Any:
        return self._link.ask("item", self._number, (key,))

    def __contains__(self, value: Any) -> bool:
        return self._link.ask("has", self._number, (value,)) is True

    def __iter__(self) -> Any:
        return iter(self._link.ask("list", self._number))

    def __str__(self) -> str:
        return str(self._link.ask("str", self._number))


def _number(value: Any) -> int:
    if isinstance(value, Thing):
        return int(object.__getattribute__(value, "_number"))
    raise Failed(f"a test can't hand over a {type(value).__name__}: only plain data and the code's own objects")


def examine(setup: str, tests: list[str], token: str, incoming: int, outgoing: int, report: int) -> None:
    """Run every test in a namespace of its own, and write a report of which passed, with the token. The last three: pipes."""
    link = Link(incoming, outgoing)
    passed: list[bool] = []
    note = ""
    try:
        wire.send(outgoing, "begin")
        hello = wire.receive(incoming)
        note = str(hello["error"])[:LONGEST_NOTE]
        names = {n: wire.decode(v, link.thing) for n, v in hello["names"].items() if allowed(n)}
    except (OSError, EOFError):
        names, note = {}, "the code ended before it was asked anything"
    except Exception as error:
        names, note = {}, f"no answer: {type(error).__name__}"
    for number, test in enumerate(tests, 1):
        try:
            exec(compile(f"{setup}\n{test}", "<test>", "exec"), {**names, "__name__": "test"})  # noqa: S102
            passed.append(True)
        except BaseException as error:
            passed.append(False)
            note = note or f"test {number}: {type(error).__name__}: {error}"[:LONGEST_NOTE].rstrip(": ")
    wire.send(report, {"token": token, "passed": passed, "note": note})


def allowed(name: str) -> bool:
    """Whether the code may define this name for a test: `all`, `len` and `__builtins__` keep their own meaning."""
    return (
        name.isidentifier() and not name.startswith("_") and not hasattr(builtins, name) and not keyword.iskeyword(name)
    )
