"""A JSON document that fits a schema, or equals the answer key."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any, ClassVar, NoReturn

from pydantic import Field, field_validator

from trueward.extras import missing
from trueward.records import Prompt, Score
from trueward.scorers.verifiers.verifier import Options, Verifier, passed

FENCE = re.compile(r"```(?:json)?\s*\n(.*?)\n?```", re.DOTALL)


class SchemaOptions(Options):
    """Options of `json_schema`."""

    json_schema: dict[str, Any] = Field(default_factory=dict)
    """A JSON schema (draft 2020-12) with `examples`, of which the first is the self-test's."""

    @field_validator("json_schema")
    @classmethod
    def _is_one(cls, table: dict[str, Any]) -> dict[str, Any]:
        if table:
            with contextlib.suppress(ImportError):  # reported when the verifier is made
                validator(table)
            if not table.get("examples"):
                raise ValueError("give the schema `examples`, so that it can be tested")
        return table


class JsonSchema(Verifier[SchemaOptions]):
    """Scores 1 for a JSON document that fits the schema, and equals the answer key if there is one."""

    summary = (
        "a JSON document that fits a schema, equals the prompt's answer key, or both (needs the extra `verifiers`)"
    )
    options_type = SchemaOptions
    unique = False
    example_options: ClassVar[dict[str, Any]] = {
        "json_schema": {
            "type": "object",
            "required": ["title", "stars"],
            "properties": {"title": {"type": "string"}, "stars": {"type": "integer", "minimum": 1, "maximum": 5}},
            "additionalProperties": False,
            "examples": [{"title": "Alien", "stars": 5}],
        }
    }
    examples = (
        Prompt(text="Rate a film, as JSON."),
        Prompt(text="Rate Psycho with four stars, as JSON.", answer='{"title": "Psycho", "stars": 4}'),
    )

    def __init__(self, options: SchemaOptions) -> None:
        """`ImportError` if jsonschema is not installed."""
        super().__init__(options)
        self.validator = validator(options.json_schema)

    @property
    def keyed(self) -> bool:
        """Whether there is no schema, so that every prompt needs a key."""
        return not self.options.json_schema

    def check(self, answer: str) -> None:
        """As `Verifier`; the key has to be JSON."""
        super().check(answer)
        if answer.strip() and document(answer) is MISSING:
            raise ValueError(f"expected JSON as the answer key, got {answer[:60]!r}")

    def judge(self, response: str, answer: str) -> Score:
        """1 if the response, or its code fence, is a document that fits."""
        parsed = document(fenced(response))
        if parsed is MISSING:
            return passed(False, "not JSON")
        if answer.strip() and canonical(parsed) != canonical(document(answer)):
            return passed(False, "another document than the key")
        error = next(self.validator.iter_errors(parsed), None)
        return passed(error is None, f"{error.json_path}: {error.message}"[:200] if error else "")

    def right(self, answer: str) -> str:
        """The key, or the schema's first example."""
        return answer if answer.strip() else json.dumps(self.options.json_schema["examples"][0])

    def wrong(self, answer: str) -> dict[str, str]:
        """Two documents, and one that is cut off."""
        right = self.right(answer)
        return {"two documents": f"{right}\n{right}", "cut": right[:-1]} if len(right) > 2 else {}


MISSING: Any = object()


def document(text: str) -> Any:
    """The JSON document in a text; MISSING if it is none. NaN and a repeated key are not JSON here."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("a key twice")
        return dict(pairs)

    try:
        return json.loads(text, parse_constant=refuse, object_pairs_hook=once)
    except (ValueError, RecursionError):
        return MISSING


def fenced(response: str) -> str:
    """The content of the response's only code fence, else the response."""
    fences = FENCE.findall(response)
    return fences[0] if len(fences) == 1 else response


def canonical(value: Any) -> str:
    """A text to compare documents by: the order of keys makes no difference, 1 equals 1.0, and 1 differs from true."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{canonical(v)}" for k, v in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return json.dumps(value)


def validator(schema: dict[str, Any]) -> Any:
    """A compiled validator of the schema; it fetches no references."""
    try:
        import jsonschema
        import referencing
    except ModuleNotFoundError:
        raise ImportError(str(missing("the verifier json_schema needs jsonschema", "verifiers"))) from None
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ValueError(f"not a JSON schema: {error.message}") from None
    return jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
