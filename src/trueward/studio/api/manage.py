"""Projects for admins: create, import, overview, exclude answers, close rounds, export."""

from __future__ import annotations

import csv
import io
import json
import secrets
import tempfile
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Response
from pydantic import Field
from sqlalchemy import Connection

from trueward.data import comparisons as compared
from trueward.data import sheets
from trueward.records import line
from trueward.studio import agreement, demonstration, reading
from trueward.studio.api.place import Admin, Body, Here, Member, Reader
from trueward.studio.api.route import Route
from trueward.studio.api.work import named
from trueward.studio.store import answers, counts, history, labels, projects, queue, rounds
from trueward.studio.store.tables import DbRow

router = APIRouter(prefix="/api", route_class=Route)
Format = Literal["own", "trl", "trl-implicit", "hh", "csv", "events", "demonstrations", "checks", "judges"]


class NewProject(Body):
    """Settings of a new project."""

    name: str = Field(max_length=64)
    kind: Literal["compare", "write"] = "compare"
    instructions: str = Field("", max_length=20_000)
    overlap: int = Field(1, ge=1, le=100)
    check_rate: float | None = None


class Settings(Body):
    """What can be changed of a project: fields that are left out stay. A `check_rate` of null: no rate."""

    instructions: str = Field("", max_length=20_000)
    check_rate: float | None = None


class Imported(Body):
    """A file to import."""

    text: str
    name: str = Field("pasted", max_length=200)
    checks: bool = False
    judge: str = Field("", max_length=200)
    overlap: int | None = Field(None, ge=1, le=100)


class Excluded(Body):
    """An answer to exclude, with the reason."""

    assignment: str = Field(min_length=32, max_length=32)
    reason: str = Field(min_length=1, max_length=500)


@router.get("/projects")
def everything(here: Here, person: Member) -> list[dict[str, Any]]:
    """All projects; for annotators with the number of items left for them."""
    here.take_in()
    with here.database.reading() as connection:
        rows = []
        for project in projects.all_of(connection):
            row = {"name": project.name, "kind": project.kind, "instructions": project.instructions}
            if person.role != "annotator":
                row = counts.short(connection, project)
            if person.role != "viewer":
                row["mine"] = queue.progress(connection, project, person.id)
            rows.append(row)
        return rows


@router.post("/projects")
def make(body: NewProject, here: Here, person: Admin) -> dict[str, Any]:
    """Create a project."""

    def work(connection: Connection) -> None:
        projects.create(
            connection, body.name, body.kind,
            instructions=body.instructions.strip(), overlap=body.overlap, check_rate=body.check_rate,
        )  # fmt: skip

    return _checked(lambda: here.database.write(work)) or {}


@router.post("/projects/{name}/settings")
def change(name: str, body: Settings, here: Here, person: Admin) -> dict[str, Any]:
    """Change a project's instructions or its rate of check pairs."""
    values = body.model_dump(include=body.model_fields_set)
    if not values:
        raise HTTPException(422, "expected instructions or check_rate")
    _checked(lambda: here.database.write(lambda c: projects.change(c, named(c, name), **values)))
    here.overviews.pop(name, None)
    return {}


@router.post("/demonstration")
def demonstrate(here: Here, person: Admin) -> dict[str, Any]:
    """The small project that ships, created if it is not there."""
    return {"name": here.database.write(demonstration.make)}


@router.get("/projects/{name}")
def overview(name: str, here: Here, person: Reader) -> dict[str, Any]:
    """A project's figures; cached until something changes."""
    here.take_in()
    with here.database.reading() as connection:
        project, stamp = named(connection, name), counts.stamp(connection)
        known = here.overviews.get(name)
        if known is None or known[0] != stamp:
            known = here.overviews[name] = (stamp, counts.overview(connection, project))
        return known[1]


@router.post("/projects/{name}/import")
def fill(name: str, body: Imported, here: Here, person: Admin) -> dict[str, Any]:
    """Import pairs, check pairs or prompts into the open round; returns how many were new, and what was left out and why."""
    with here.database.reading() as connection:
        project = named(connection, name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"import.{'json' if body.text.lstrip().startswith('[') else 'jsonl'}"
        path.write_text(body.text, encoding="utf-8")
        read = _checked(lambda: reading.read(path, body.name, project.kind, body.checks, body.judge.strip()))

    def work(connection: Connection) -> tuple[int, int]:
        if project.kind == "write":
            return projects.add_prompts(connection, project, read.prompts, body.overlap), 0
        added = projects.add_pairs(connection, project, read.pairs, body.overlap)
        return added, labels.add(connection, project, read.labels)

    added, labelled = _checked(lambda: here.database.write(work))
    imported = {"read": len(read.pairs) + len(read.prompts), "added": added, "left_out": read.left_out}
    return imported | ({"labels": labelled} if read.labels else {})


@router.get("/projects/{name}/answers")
def latest(name: str, here: Here, person: Admin) -> list[dict[str, Any]]:
    """The last answers of a project, with who gave them."""
    with here.database.reading() as connection:
        return history.latest(connection, named(connection, name))


@router.post("/exclude")
def exclude(body: Excluded, here: Here, person: Admin) -> dict[str, Any]:
    """Stop counting an answer."""
    key = secrets.token_hex(16)
    try:
        done = here.database.write(
            lambda connection: answers.exclude(connection, person.id, body.assignment, key, body.reason)
        )
    except answers.RefusedError as error:
        raise HTTPException(409, str(error)) from None
    return {"excluded": done}


@router.post("/projects/{name}/close")
def close(name: str, here: Here, person: Admin) -> dict[str, Any]:
    """Close the open round; returns its snapshot's manifest without the list of events."""
    manifest: dict[str, Any] = _checked(
        lambda: here.database.write(lambda c: rounds.close(c, here.data, named(c, name)))
    )
    return {key: value for key, value in manifest.items() if key != "events"}


@router.get("/projects/{name}/export")
def export(name: str, here: Here, person: Admin, form: Format = "own") -> Response:
    """All counted answers of a project as a file. A header counts, as JSON, what the format can't hold."""
    with here.database.reading() as connection:
        project = named(connection, name)
        if form == "events":
            return _file(f"{name}.events.jsonl", _lines(rounds.events(connection, project)))
        votes = counts.votes(connection, project.id)
        if form == "csv":
            return _file(f"{name}.csv", _csv(connection, project, votes), "text/csv")
        if (form == "demonstrations") != (project.kind == "write"):
            raise HTTPException(422, f"{form}: not a form for a project to {project.kind}")
        if form == "demonstrations":
            return _file(f"{name}.jsonl", _lines(rounds.records(connection, project, votes)[0]))
        kept = [vote for vote in votes if (vote.check_id is None) == (form != "checks")]
        texts = rounds.responses(connection, kept)
        records = [rounds.comparison(name, vote, texts) for vote in kept]
        if form == "judges":
            kept, records = [], rounds.labelled(connection, project)
    if form in ("checks", "judges"):
        return _file(f"{name}.{form}.jsonl", _lines([line(each) for each in records]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.jsonl"
        dropped = _checked(lambda: compared.write(path, records, form))
        both = sum(vote.both is not None for vote in kept)
        words = sum(vote.text is not None for vote in kept)
        lost = {**dropped, "both good or both bad": both, "rationales": words, "check pairs": len(votes) - len(kept)}
        response = _file(f"{name}.{form}.jsonl", path.read_text(encoding="utf-8"))
    response.headers["x-left-out"] = json.dumps({key: n for key, n in lost.items() if n})
    return response


def _csv(connection: Connection, project: DbRow, votes: list[DbRow]) -> str:
    """One row an item: margin, votes and agreement beside the texts."""
    by_item: dict[int, list[DbRow]] = {}
    for vote in votes:
        if vote.check_id is None:
            by_item.setdefault(vote.item_id, []).append(vote)
    out = io.StringIO()
    table = csv.writer(out)
    if project.kind == "write":
        table.writerow(["prompt", "completion", "account", "at"])
        table.writerows([sheets.quoted(_prompt(v)), sheets.quoted(v.text), v.name, v.at] for v in votes)
        return out.getvalue()
    texts = rounds.responses(connection, [cast[0] for cast in by_item.values()])
    table.writerow(["prompt", "first", "second", "votes", "probability", "margin", "agreement"])
    for cast in by_item.values():
        ps = [counts.probability(v) for v in cast]
        signed = [(v.strength or 1) * (2 * p - 1) for v, p in zip(cast, ps, strict=True)]
        agree = agreement.raw(ps)
        first, second = texts[cast[0].first_id].text, texts[cast[0].second_id].text
        margin, mean = sum(signed) / len(signed), sum(ps) / len(ps)
        cells = [sheets.quoted(_prompt(cast[0])), sheets.quoted(first), sheets.quoted(second)]
        table.writerow([*cells, len(cast), mean, margin, "" if agree is None else agree])
    return out.getvalue()


def _prompt(vote: DbRow) -> str:
    prompt = json.loads(vote.prompt)
    return str(prompt.get("text") or "\n".join(f"{m['role']}: {m['content']}" for m in prompt["messages"]))


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _file(name: str, text: str, kind: str = "application/x-ndjson") -> Response:
    return Response(text, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})


def _checked(work: Any) -> Any:
    """The result of `work`; a `ValueError` becomes the client's error 422, in one line."""
    try:
        return work()
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
