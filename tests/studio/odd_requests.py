"""Values that a parser takes and a database, a file or a page doesn't; and requests made from the routes' own schema."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# fragments of JSON, or of what a lenient parser takes for it; 422 in every field of every route
FRAGMENTS = {
    "half of a character": b'"a\\ud800b"',
    "the other half": b'"\\udfff"',
    "NaN": b"NaN",
    "infinity": b"Infinity",
    "minus infinity": b"-Infinity",
    "1e999": b"1e999",
    "40 nines": b"9" * 40,
    "5,000 nines": b"9" * 5000,
    "NUL": b'"long enough\\u0000long enough long enough"',
    "a raw NUL": b'"long\0 enough"',
    "depth": b"[" * 5000 + b"]" * 5000,
    "tables in tables": b'{"a":' * 3000 + b"1" + b"}" * 3000,
    "not UTF-8": b'"\xff\xfe"',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
}
IN_ADDRESSES = {
    "NUL": "%00", "NUL inside": "a%00b", "a surrogate": "%ED%A0%80", "not UTF-8": "%FF", "40 nines": "9" * 40,
    "long": "a" * 5000, "lines": "a%0D%0Aset-cookie:b", "NaN": "NaN", "infinity": "Infinity", "1e999": "1e999",
    "up": "..%2F..%2Fetc%2Fpasswd", "minus": "-1", "nothing": "%20", "depth": "%5B" * 3000, "percent": "%25",
    "emoji": "%F0%9F%A7%80",
}  # fmt: skip


def schema(application: Any) -> dict[str, Any]:
    """The OpenAPI document of a studio, which it doesn't serve."""
    made: dict[str, Any] = application.app.openapi()
    return made


def routes(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def body(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    """The schema of a route's body; {} if it has none."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    return resolved(document, content)


def resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in part:
        return resolved(document, document["components"]["schemas"][part["$ref"].rsplit("/", 1)[1]])
    return part


def plain(part: dict[str, Any]) -> Any:
    """A value of a field that is as plain as can be."""
    for each in part.get("anyOf", ()):
        return plain(each)
    if "enum" in part or "const" in part:
        return part.get("enum", [part.get("const")])[0]
    kind = part.get("type")
    if kind == "string":
        return "x" * max(1, part.get("minLength", 1))
    if kind in ("integer", "number"):
        return max(1, part.get("minimum", 1))
    return {"boolean": False, "array": [], "object": {}}[kind or "object"]


def whole(fields: dict[str, Any], odd: str, fragment: bytes) -> bytes:
    """A body with plain values in all fields but one."""
    parts = [
        json.dumps(name).encode() + b": " + (fragment if name == odd else json.dumps(plain(part)).encode())
        for name, part in fields.items()
    ]
    return b"{" + b", ".join(parts) + b"}"


def filled(path: str, name: str = "", value: str = "x") -> str:
    """An address with a plain value for each of its parameters, and `value` for one."""
    parts = path.split("{")
    made = parts[0]
    for part in parts[1:]:
        parameter, rest = part.split("}", 1)
        parameter = parameter.split(":")[0]
        usual = (
            "1"
            if parameter.endswith("_id")
            else "p"
            if parameter == "name"
            else "value"
            if parameter == "kind"
            else "x"
        )
        made += (value if parameter == name else usual) + rest
    return made


def finished(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine, in a thread of its own: a browser's tests leave an event loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
