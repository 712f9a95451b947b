"""The desk of reviewers over HTTP: items with their votes, decisions over them, exclusions, comments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self, TypeVar

from fastapi import APIRouter, HTTPException, Query
from pydantic import Field, model_validator
from sqlalchemy import Connection

from trueward.studio.api.place import MOST_ID, Admin, Body, Here, Reader, Studio
from trueward.studio.api.route import Route
from trueward.studio.api.work import KEY, Ranks, named
from trueward.studio.store import decisions, desk, exclusions
from trueward.studio.store.answers import RefusedError
from trueward.studio.store.tables import DbRow

router = APIRouter(prefix="/api", route_class=Route)
T = TypeVar("T")
Assignment = Annotated[str, Field(min_length=32, max_length=32)]
ItemId = Annotated[int, Field(ge=1, le=MOST_ID)]
MOST_EXCLUDED = 1000


class Wish(Body):
    """Which items to show: the fields are those of `store.desk.Filter`."""

    find: str = Field("", max_length=500)
    status: desk.Status = ""
    annotator: str = Field("", max_length=80)
    round: int = Field(0, ge=0, le=1_000_000)
    since: float | None = Field(None, ge=0, le=1e11)
    until: float | None = Field(None, ge=0, le=1e11)
    under: float | None = Field(None, ge=0, le=1e6)
    item: int | None = Field(None, ge=1, le=MOST_ID)
    sort: desk.Sort = "newest"
    page: int = Field(1, ge=1, le=1_000_000)


class Verdicts(Body):
    """A decision on an item; `withdraw` takes the one that stands back.

    ranks: of an item that is ranked, one for each of its `answers`, in place of a choice.
    """

    item: ItemId
    key: str = KEY
    choice: Literal["first", "second", "tie", "withdraw"] | None = None
    ranks: Ranks | None = None
    strength: Literal[1, 2, 3] | None = None
    reason: str = Field("", max_length=2000)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.choice is None) == (self.ranks is None):
            raise ValueError("expected either a choice or ranks")
        return self


class Commented(Body):
    """A comment on an item."""

    item: ItemId
    key: str = KEY
    text: str = Field(min_length=1, max_length=5000)


class Several(Body):
    """Answers by their ids, or all of an annotator's; the reason holds for each."""

    key: str = KEY
    reason: str = Field("", max_length=500)
    assignments: list[Assignment] = Field([], max_length=MOST_EXCLUDED)
    annotator: str = Field("", max_length=80)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.assignments) == bool(self.annotator):
            raise ValueError("expected either assignments or an annotator")
        return self


@router.get("/projects/{name}/desk")
def items(name: str, here: Here, person: Reader, wish: Annotated[Wish, Query()]) -> dict[str, Any]:
    """A page of the project's items with their votes; who wrote an answer is not among it."""
    wanted = desk.Filter(**wish.model_dump(exclude={"page"}))
    with here.database.reading() as connection:
        project = named(connection, name)
        shown = desk.page(connection, project, wanted, wish.page)
        return {"kind": project.kind, "annotators": desk.annotators(connection, project.id), **shown}


@router.post("/projects/{name}/adjudicate")
def adjudicate(name: str, body: Verdicts, here: Here, person: Admin) -> dict[str, Any]:
    """Decide an item over its votes, or take the decision back; returns the item as it is then."""

    def work(connection: Connection, project: DbRow) -> dict[str, Any]:
        if body.choice == "withdraw":
            decisions.withdraw(connection, person.id, project, body.item, body.key)
        else:
            given = decisions.Decision(body.item, body.key, body.choice, body.strength, body.reason, body.ranks)
            decisions.adjudicate(connection, person.id, project, given)
        return desk.items(connection, [body.item])[0]

    return _work(here, name, work)


@router.post("/projects/{name}/comment")
def comment(name: str, body: Commented, here: Here, person: Admin) -> dict[str, Any]:
    """Add a comment to an item; returns the item as it is then."""

    def work(connection: Connection, project: DbRow) -> dict[str, Any]:
        decisions.comment(connection, person.id, project, body.item, body.key, body.text)
        return desk.items(connection, [body.item])[0]

    return _work(here, name, work)


@router.post("/projects/{name}/exclude")
def exclude(name: str, body: Several, here: Here, person: Admin) -> dict[str, Any]:
    """Stop counting several answers at once, for a reason; how many that were."""

    def work(connection: Connection, project: DbRow) -> dict[str, Any]:
        ids = _ids(connection, project, body, "answered")
        return {"excluded": exclusions.exclude(connection, person.id, project, ids, body.key, body.reason)}

    return _work(here, name, work)


@router.post("/projects/{name}/include")
def include(name: str, body: Several, here: Here, person: Admin) -> dict[str, Any]:
    """Take exclusions back; how many answers count again, and how many others have replaced since."""

    def work(connection: Connection, project: DbRow) -> dict[str, Any]:
        ids = _ids(connection, project, body, "excluded")
        states = exclusions.include(connection, person.id, project, ids, body.key, body.reason)
        return {"included": states["answered"], "surplus": states["surplus"]}

    return _work(here, name, work)


def _ids(connection: Connection, project: DbRow, body: Several, state: str) -> list[str]:
    if body.assignments:
        return list(body.assignments)
    return exclusions.of_annotator(connection, project, body.annotator, state)


def _work(here: Studio, name: str, work: Callable[[Connection, DbRow], T]) -> T:
    """Do something to a project in a transaction; error 409 if it is refused."""
    try:
        return here.database.write(lambda connection: work(connection, named(connection, name)))
    except RefusedError as error:
        raise HTTPException(409, str(error)) from None
