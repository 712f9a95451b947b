"""What stands for an account: tokens for scripts, and sessions. They are listed, end and can be revoked."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path
from pydantic import Field

from trueward.studio.api.place import Body, Here, Member, Person
from trueward.studio.api.route import Route
from trueward.studio.store import accounts

router = APIRouter(prefix="/api", route_class=Route)
Handle = Annotated[str, Path(min_length=accounts.HANDLE, max_length=accounts.HANDLE)]
DAYS = int(accounts.LASTS["token"] / accounts.DAY)


class NewToken(Body):
    """A note on what a token is for, and the days until it ends."""

    label: str = Field(max_length=80)
    days: int = Field(DAYS, ge=1, le=accounts.MOST_DAYS)


class Revoked(Body):
    """Nothing: which one it is stands in the address."""


@router.get("/tokens")
def standing(here: Here, person: Member) -> list[dict[str, Any]]:
    """The tokens and sessions of the account, and for an admin everybody's, oldest first. No secret is among them."""
    with here.database.reading() as connection:
        rows = accounts.standing(connection, _whose(person))
    return [
        {
            "id": accounts.handle(row),
            "account": row.name,
            "kind": row.kind,
            "label": row.label,
            "created": row.created,
            "expires": row.expires,
            "this": row.hash == person.hashed,
        }
        for row in rows
    ]


@router.post("/tokens")
def make(body: NewToken, here: Here, person: Member) -> dict[str, Any]:
    """A token for scripts, with the rights of the account. It is returned once and stored as a hash."""
    if person.by == "token":  # one that leaked would otherwise outlive its end
        raise HTTPException(403, "a token can't make another one: sign in")
    secret = here.database.write(lambda c: accounts.grant(c, person.id, "token", body.label, body.days))
    return {"token": secret}


@router.post("/tokens/{name}/revoke")
def revoke(name: Handle, body: Revoked, here: Here, person: Member) -> dict[str, Any]:
    """End a token or a session at once: one's own, and for an admin anybody's."""
    if not here.database.write(lambda c: accounts.revoke(c, name, _whose(person))):
        raise HTTPException(404, "there is no such token")
    return {}


def _whose(person: Person) -> int | None:
    return None if person.role == "admin" else person.id
