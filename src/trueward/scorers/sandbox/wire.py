"""Plain values over a pipe: frames of JSON that hold only plain data and numbers of objects.

What comes out of a jail is rebuilt as new data on this side, so no method of the jailed code is ever called here: an `__eq__`
that always returns true has no effect.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

LARGEST = 1 << 20  # bytes of a frame


def send(pipe: int, value: Any) -> None:
    """Write one frame. `ValueError` if it is larger than a megabyte."""
    raw = json.dumps(value).encode()
    if len(raw) > LARGEST:
        raise ValueError("more than a megabyte at once")
    raw = len(raw).to_bytes(4, "big") + raw
    while raw:
        raw = raw[os.write(pipe, raw) :]


def receive(pipe: int) -> Any:
    """The next frame. `EOFError` when the other side has ended, `ValueError` for what is no frame."""
    size = int.from_bytes(_exactly(pipe, 4), "big")
    if size > LARGEST:
        raise ValueError("more than a megabyte at once")
    return json.loads(_exactly(pipe, size))


def _exactly(pipe: int, size: int) -> bytes:
    raw = b""
    while len(raw) < size:
        part = os.read(pipe, size - len(raw))
        if not part:
            raise EOFError
        raw += part
    return raw


def encode(value: Any, keep: Callable[[Any], int]) -> Any:
    """A value as JSON; what is not plain data stays on its side, and is sent as the number that `keep` gives it."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    for plain in (int, float, str):
        if isinstance(value, plain):
            return plain(value)
    for tag, kinds in (("l", list), ("t", tuple), ("s", set), ("f", frozenset)):
        if isinstance(value, kinds):
            return {tag: [encode(item, keep) for item in value]}
    if isinstance(value, dict):
        return {"d": [[encode(k, keep), encode(v, keep)] for k, v in value.items()]}
    if isinstance(value, bytes | bytearray):
        return {"b": bytes(value).hex()}
    if isinstance(value, complex):
        return {"c": [value.real, value.imag]}
    for tag, rational in (("q", Fraction), ("m", Decimal)):
        if isinstance(value, rational):
            return {tag: str(value)}
    return {"r": keep(value)}


def decode(data: Any, thing: Callable[[int], Any]) -> Any:
    """The value from JSON; `thing` gives the stand-in for a numbered object."""
    if not isinstance(data, dict):
        return data
    ((tag, inside),) = data.items()
    makers: dict[str, Callable[[Any], Any]] = {
        "l": list, "t": tuple, "s": set, "f": frozenset,
    }  # fmt: skip
    if tag in makers:
        return makers[tag](decode(item, thing) for item in inside)
    if tag == "d":
        return {decode(k, thing): decode(v, thing) for k, v in inside}
    if tag == "b":
        return bytes.fromhex(inside)
    if tag == "c":
        return complex(*inside)
    if tag == "q":
        return Fraction(inside)
    if tag == "m":
        return Decimal(inside)
    if tag == "r":
        return thing(inside)
    raise ValueError(f"no value: {tag}")
