"""Files that come into a project: looked at first, then imported, in every layout that `trueward comparisons import` reads."""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
from pathlib import Path
from typing import Any, Literal, Self

from fastapi import APIRouter
from pydantic import Field, model_validator
from sqlalchemy import Connection

from trueward.data import options
from trueward.data.options import ReadOptions
from trueward.records import line
from trueward.studio import reading
from trueward.studio.api.manage import checked
from trueward.studio.api.place import Admin, Body, Here
from trueward.studio.api.route import Route
from trueward.studio.api.work import named
from trueward.studio.reading import Read
from trueward.studio.store import labels, projects

router = APIRouter(prefix="/api", route_class=Route)
EXAMPLES, LONGEST_CELL = 3, 400  # pairs of a preview, and characters of a cell of it


class Imported(Body):
    """A file to import: its text, or its bytes as Base64. `columns` and `roles` are written as on the command line."""

    text: str = ""
    base64: str = ""
    name: str = Field("pasted", max_length=200)
    checks: bool = False
    judge: str = Field("", max_length=200)
    overlap: int | None = Field(None, ge=1, le=100)
    format: str = Field("", max_length=40)
    columns: str = Field("", max_length=2000)
    roles: str = Field("", max_length=2000)
    order: Literal["", "best-first"] = ""
    contradictions: Literal["stop", "drop"] = "stop"

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.text and self.base64:
            raise ValueError("expected either text or base64, got both")
        return self

    def content(self) -> bytes:
        """The file's bytes. `ValueError` for what is no Base64."""
        if not self.base64:
            return self.text.encode()
        try:
            return base64.b64decode(self.base64, validate=True)
        except binascii.Error as error:
            raise ValueError(f"base64: {error}") from None

    def read_options(self) -> ReadOptions:
        """How the file is read."""
        return ReadOptions(
            columns=options.pairs([self.columns] if self.columns else [], "columns"),
            roles=options.pairs([self.roles] if self.roles else [], "roles"),
            order=self.order,
            contradictions=self.contradictions,
        )


@router.post("/projects/{name}/preview")
def preview(name: str, body: Imported, here: Here, person: Admin) -> dict[str, Any]:
    """What an import would do: the columns and first rows of the file, the first pairs as they are understood, the counts.

    `problem`: why it can't be read so.
    """
    with here.database.reading() as connection:
        project = named(connection, name)
    table: dict[str, Any] = {"columns": [], "rows": []}
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = reading.save(Path(folder), body.name, body.content())
            rows = reading.first_rows(path, body.name, body.format)
            table["columns"] = list(dict.fromkeys(column for row in rows for column in row))
            table["rows"] = [{column: _short(value) for column, value in row.items()} for row in rows]
            read = _read(path, body, project.kind)
        except ValueError as error:
            return {**table, "problem": str(error)}
    with here.database.reading() as connection:
        new = projects.unknown(connection, project, read.pairs or read.slates or read.prompts)
    examples: list[dict[str, Any]] = [{"prompt": line(prompt)} for prompt in read.prompts[:EXAMPLES]]
    for pair in read.pairs[:EXAMPLES]:
        sides = {"first": pair.first.text, "second": pair.second.text}
        examples.append({"prompt": line(pair.prompt), **sides, "better": pair.better})
    for each in read.slates[:EXAMPLES]:
        examples.append({"prompt": line(each.prompt), "answers": [side.text for side in each.responses]})
    return {**table, **_counts(read), "new": new, "examples": examples, "problem": None}


@router.post("/projects/{name}/import")
def fill(name: str, body: Imported, here: Here, person: Admin) -> dict[str, Any]:
    """Import pairs, check pairs or prompts into the open round; returns how many were new, and what was left out and why."""
    with here.database.reading() as connection:
        project = named(connection, name)
    with tempfile.TemporaryDirectory() as folder:
        path = checked(lambda: reading.save(Path(folder), body.name, body.content()))
        read = checked(lambda: _read(path, body, project.kind))

    def work(connection: Connection) -> tuple[int, int]:
        if project.kind == "write":
            return projects.add_prompts(connection, project, read.prompts, body.overlap), 0
        if project.kind == "rank":
            return projects.add_slates(connection, project, read.slates, body.overlap), 0
        added = projects.add_pairs(connection, project, read.pairs, body.overlap)
        return added, labels.add(connection, project, read.labels)

    added, labelled = checked(lambda: here.database.write(work))
    imported = {**_counts(read), "added": added}
    return imported | ({"labels": labelled} if read.labels else {})


def _read(path: Path, body: Imported, kind: str) -> Read:
    return reading.read(path, body.name, kind, body.checks, body.judge.strip(), body.format, body.read_options())


def _counts(read: Read) -> dict[str, Any]:
    """How many, what was left out and why, and columns that nothing reads."""
    counts = {"read": len(read.pairs) + len(read.slates) + len(read.prompts), "left_out": read.left_out}
    return counts | ({"ignored": read.ignored} if read.ignored else {})


def _short(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"
