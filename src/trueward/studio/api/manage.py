"""Projects for admins: create, import, overview, exclude answers, close rounds, export."""

from __future__ import annotations

import secrets
from typing import Any, Literal

from fastapi import APIRouter, HTTPException
from pydantic import Field
from sqlalchemy import Connection

from trueward.studio import demonstration
from trueward.studio.api.place import Admin, Body, Here, Member, Reader
from trueward.studio.api.route import Route
from trueward.studio.api.work import named
from trueward.studio.store import annotators, answers, counts, criteria, history, projects, queue, rounds, settings

router = APIRouter(prefix="/api", route_class=Route)


class NewProject(Body):
    """Settings of a new project."""

    name: str = Field(max_length=64)
    kind: Literal["compare", "rank", "write"] = "compare"
    instructions: str = Field("", max_length=20_000)
    overlap: int = Field(1, ge=1, le=100)
    check_rate: float | None = None


class Question(Body):
    """A question about a pair beside the overall one."""

    name: str = Field(max_length=32)
    question: str = Field(max_length=criteria.LONGEST_QUESTION)
    kind: Literal["choice", "rating"] = "choice"


class Settings(Body):
    """What can be changed of a project: fields that are left out stay.

    A `check_rate` of null: no rate; `skip_reasons` of null: the usual ones; nobody `assigned`: everybody may work in it.
    """

    instructions: str = Field("", max_length=20_000)
    check_rate: float | None = None
    overlap: int = Field(1, ge=1, le=settings.MOST_OVERLAP)
    skip_reasons: list[str] | None = Field(None, max_length=settings.MOST_REASONS)
    criteria: list[Question] = Field([], max_length=criteria.MOST)
    archived: bool = False
    assigned: list[str] = Field([], max_length=1000)


class Excluded(Body):
    """An answer to exclude, with the reason."""

    assignment: str = Field(min_length=32, max_length=32)
    reason: str = Field(min_length=1, max_length=500)


@router.get("/projects")
def everything(here: Here, person: Member) -> list[dict[str, Any]]:
    """All projects; for annotators those that they may work in, with the number of items left for them."""
    here.take_in()
    with here.database.reading() as connection:
        others = settings.elsewhere(connection, person.id) if person.role == "annotator" else set()
        rows = []
        for project in projects.all_of(connection):
            if person.role == "annotator" and (project.archived or project.id in others):
                continue
            row = {"name": project.name, "kind": project.kind, "instructions": project.instructions}
            if person.role != "annotator":
                row = counts.short(connection, project)
            if person.role != "viewer" and not project.archived:
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

    return checked(lambda: here.database.write(work)) or {}


@router.post("/projects/{name}/settings")
def change(name: str, body: Settings, here: Here, person: Admin) -> dict[str, Any]:
    """Change a project: what people are told, how many an item takes, who works in it, whether it is archived."""
    values = body.model_dump(include=body.model_fields_set)
    if "criteria" in values:
        values["criteria"] = [criteria.PairCriterion(**each.model_dump()) for each in body.criteria]
    if not values:
        raise HTTPException(422, f"expected {', '.join(Settings.model_fields)}, or some of them")
    checked(lambda: here.database.write(lambda c: settings.change(c, named(c, name), **values)))
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
        people = annotators.now(connection, project, known[1]["annotators"])
        return {**counts.about(connection, project), **known[1], "annotators": people}


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
    manifest: dict[str, Any] = checked(
        lambda: here.database.write(lambda c: rounds.close(c, here.data, named(c, name)))
    )
    return {key: value for key, value in manifest.items() if key != "events"}


def checked(work: Any) -> Any:
    """The result of `work`; a `ValueError` becomes the client's error 422, in one line."""
    try:
        return work()
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
