"""The role of the first jail: it runs the model's code, and calls its functions for the examiner.

The code can change anything in this process, so nothing is decided here: it holds no test, no answer key and no token.
"""

from __future__ import annotations

import types
from typing import Any

from . import wire

OPERATIONS = {
    "call": lambda thing, args, kwargs: thing(*args, **kwargs),
    "get": lambda thing, args, kwargs: getattr(thing, args[0]),
    "set": lambda thing, args, kwargs: setattr(thing, args[0], args[1]),
    "len": lambda thing, args, kwargs: len(thing),
    "item": lambda thing, args, kwargs: thing[args[0]],
    "has": lambda thing, args, kwargs: args[0] in thing,
    "list": lambda thing, args, kwargs: list(thing),
    "str": lambda thing, args, kwargs: str(thing),
}


def serve(code: str, incoming: int, outgoing: int) -> None:
    """Run the code, say which names it defines, then answer calls until the other side is gone.

    The code waits until the examiner's jail stands: nothing that it does can get in the way of that.
    """
    try:
        wire.receive(incoming)
    except EOFError:
        return
    things: list[Any] = []

    def keep(value: Any) -> int:
        things.append(value)
        return len(things) - 1

    module = types.ModuleType("answer")
    try:
        exec(compile(code, "<answer>", "exec"), module.__dict__)  # noqa: S102 (that is what the jail is for)
    except BaseException as error:
        wire.send(outgoing, {"names": {}, "error": f"{type(error).__name__}: {error}"[:200]})
        return
    names = {n: v for n, v in vars(module).items() if not n.startswith("_") and not isinstance(v, types.ModuleType)}
    wire.send(outgoing, {"names": {n: wire.encode(v, keep) for n, v in names.items()}, "error": ""})
    while True:
        try:
            request = wire.receive(incoming)
        except EOFError:
            return
        try:
            args = [wire.decode(a, things.__getitem__) for a in request["args"]]
            kwargs = {k: wire.decode(v, things.__getitem__) for k, v in request["kwargs"].items()}
            value = OPERATIONS[request["do"]](things[request["thing"]], args, kwargs)
            answer = {"value": wire.encode(value, keep)}
            wire.send(outgoing, answer)
        except BaseException as error:
            wire.send(outgoing, {"raise": type(error).__name__, "text": str(error)[:200]})
