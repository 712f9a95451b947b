"""Annotators' work: take items, answer, undo. No reply names the writer of an answer or the right one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException
from pydantic import Field
from sqlalchemy import Connection

from trueward.studio.api.place import Body, Here, Worker
from trueward.studio.api.route import Route
from trueward.studio.store import answers, criteria, edits, history, panels, projects, queue, rankings, settings
from trueward.studio.store.tables import DbRow

router = APIRouter(prefix="/api", route_class=Route)
KEY = Field(min_length=8, max_length=64)


class Wanted(Body):
    """How many items to hold."""

    count: int = Field(3, ge=1, le=queue.MOST)


Choice = Annotated[int, Field(ge=-criteria.STRONGEST, le=criteria.STRONGEST)]


Rank = Annotated[int, Field(ge=1, le=rankings.MOST)]
Ranks = Annotated[list[Rank], Field(min_length=rankings.FEWEST, max_length=rankings.MOST)]


class Rated(Body):
    """A rating of both answers."""

    left: int = Field(ge=1, le=criteria.BEST)
    right: int = Field(ge=1, le=criteria.BEST)


class GivenAnswer(Body):
    """An answer to an item."""

    assignment: str = Field(min_length=32, max_length=32)
    key: str = KEY
    kind: Literal["win", "tie", "rank", "skip", "write"]
    side: Literal["left", "right"] | None = None
    strength: Literal[1, 2, 3] | None = None
    both: Literal["good", "bad"] | None = None
    text: str | None = Field(None, max_length=100_000)
    reason: str | None = Field(None, max_length=500)
    seconds: float | None = Field(None, ge=0, le=86400)
    read: bool | None = None
    criteria: dict[Annotated[str, Field(max_length=32)], Choice | Rated] = Field({}, max_length=criteria.MOST)
    ranks: Ranks | None = None


class Edited(Body):
    """A better version of one of an item's answers."""

    assignment: str = Field(min_length=32, max_length=32)
    key: str = KEY
    side: Literal["left", "right"]
    text: str = Field(min_length=1, max_length=100_000)


class Undone(Body):
    """Which answer to take back."""

    key: str = KEY
    target: str | None = Field(None, max_length=64)


def named(connection: Connection, name: str) -> DbRow:
    """The project of that name; error 404 if there is none."""
    try:
        return projects.get(connection, name)
    except LookupError as error:
        raise HTTPException(404, str(error)) from None


@router.post("/projects/{name}/queue")
def take(name: str, body: Wanted, here: Here, person: Worker) -> dict[str, Any]:
    """The items that this account holds, filled up to `count`."""

    def work(connection: Connection) -> tuple[DbRow, list[dict[str, Any]], dict[str, Any]]:
        try:
            project = projects.working(connection, name)
        except LookupError as error:
            raise HTTPException(404, str(error)) from None
        if project.archived:
            raise HTTPException(409, f"{name} is archived: nobody works in it any more")
        if person.role == "annotator" and not settings.may_work(project, person.id):
            raise HTTPException(403, f"others are assigned to {name}")
        if person.role != panels.ROLE:
            return project, queue.take(connection, project, person.id, body.count), {}
        return project, *_panel_turn(connection, project, person.id, body.count)

    here.take_in()
    project, items, end = here.database.write(work, lasting=False)
    with here.database.reading() as connection:  # outside the write transaction, so that counting blocks nobody
        progress = end.pop("progress", None) or queue.progress(connection, project, person.id, here.free)
    here.see(person.id)
    about = {"kind": project.kind, "instructions": project.instructions, "skip_reasons": settings.reasons(project)}
    about["criteria"] = [asdict(each) for each in criteria.of(project)]
    return {**about, "items": items, "progress": progress, **end}


def _panel_turn(
    connection: Connection, project: DbRow, account_id: int, count: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What a panel's member gets: the items up to their part, their progress, and the panel's code when they have done it.

    The part ends early if no items are left; who has done none then gets no code.
    """
    sitting = panels.sitting(connection, account_id)
    if sitting.project != project.name:
        raise HTTPException(404, "this link opens another project")
    done = panels.done(connection, account_id)
    left = max(0, sitting.quota - done)
    items = queue.take(connection, project, account_id, min(count, left))
    end = {"progress": {"done": done, "left": min(left, queue.progress(connection, project, account_id)["left"])}}
    if items:
        return items, end
    if done:
        panels.complete(connection, sitting)
    shown = {"code": sitting.code, "redirect": sitting.redirect} if done else {"code": "", "redirect": ""}
    return items, {**end, "completed": {"items": done, **shown}}


@router.post("/answers")
def answer(body: GivenAnswer, here: Here, person: Worker) -> dict[str, Any]:
    """Store an answer; returns the state of the assignment."""
    given = answers.Answer(**body.model_dump())
    try:
        return {"state": here.database.write(lambda connection: answers.store(connection, person.id, given))}
    except answers.RefusedError as error:
        raise HTTPException(409, str(error)) from None


@router.post("/edits")
def edit(body: Edited, here: Here, person: Worker) -> dict[str, Any]:
    """Keep a better version of an answer: a demonstration, and a comparison with what it was made from."""
    given = (body.assignment, body.key, body.side, body.text)
    try:
        return {"state": here.database.write(lambda connection: edits.store(connection, person.id, *given))}
    except answers.RefusedError as error:
        raise HTTPException(409, str(error)) from None


@router.post("/projects/{name}/undo")
def undo(name: str, body: Undone, here: Here, person: Worker) -> dict[str, Any]:
    """Take back an answer; returns the item, to be judged again."""

    def work(connection: Connection) -> dict[str, Any]:
        project = named(connection, name)
        taken_back = answers.undo(connection, person.id, project, body.key, body.target)
        if taken_back is None:
            raise answers.RefusedError("there is nothing to take back")
        return {"item": queue.show(connection, [taken_back])[0]}

    try:
        return here.database.write(work)
    except answers.RefusedError as error:
        raise HTTPException(409, str(error)) from None


@router.get("/projects/{name}/mine")
def mine(name: str, here: Here, person: Worker) -> list[dict[str, Any]]:
    """This account's latest answers, newest first."""
    with here.database.reading() as connection:
        return history.own(connection, named(connection, name), person.id)
