"""Signing in and out; accounts, invitations and tokens."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import Field

from trueward.studio.api.place import COOKIE, Admin, Anyone, Body, Here, Person, Role, Studio, whoever
from trueward.studio.store import accounts

router = APIRouter(prefix="/api")


class Enter(Body):
    """A one-time token."""

    token: str = Field(max_length=200)


class Login(Body):
    """Name and password."""

    name: str = Field(max_length=80)
    password: str = Field(max_length=1000)


class NewAccount(Body):
    """Name and role of a new account."""

    name: str = Field(max_length=80)
    role: Role = "annotator"


class Password(Body):
    """A new password, and the present one."""

    password: str = Field(max_length=1000)
    current: str = Field("", max_length=1000)


class Active(Body):
    """Whether an account may sign in."""

    active: bool


class TokenLabel(Body):
    """A note on what a token is for."""

    label: str = Field(max_length=80)


@router.get("/me")
def me(here: Here, person: Annotated[Person | None, Depends(whoever)]) -> dict[str, Any]:
    """The account of the request, if any, and whether the lab is there."""
    account = None if person is None else {"name": person.name, "role": person.role}
    return {"account": account, "lab": here.lab is not None}


@router.post("/enter")
def enter(body: Enter, here: Here, request: Request, response: Response) -> dict[str, Any]:
    """Exchange a one-time token for a session."""
    address = f"enter {request.client.host if request.client else ''}"
    _wait(here, address)
    session = here.database.write(lambda connection: accounts.enter(connection, body.token))
    if session is None:
        here.limiter.failed(address)
        raise HTTPException(401, "this link has been used, or is too old")
    _cookie(here, response, session)
    return {}


@router.post("/login")
def login(body: Login, here: Here, request: Request, response: Response) -> dict[str, Any]:
    """Sign in with name and password."""
    address = request.client.host if request.client else ""
    keys = (f"{address} {body.name.lower()}",)
    _wait(here, *keys)
    with here.database.reading() as connection:
        account = accounts.by_name(connection, body.name)
    if not accounts.check_password(account, body.password) or account is None:
        here.limiter.failed(*keys)
        raise HTTPException(401, "wrong name or password")
    _cookie(here, response, here.database.write(lambda connection: accounts.grant(connection, account.id, "session")))
    return {}


@router.post("/logout")
def logout(here: Here, request: Request, response: Response) -> dict[str, Any]:
    """End the session."""
    if session := request.cookies.get(COOKIE):
        here.database.write(lambda connection: accounts.leave(connection, session))
    response.delete_cookie(COOKIE)
    return {}


@router.post("/password")
def password(body: Password, here: Here, person: Anyone, request: Request, response: Response) -> dict[str, Any]:
    """Set or change the password; ends all sessions of the account and starts a new one."""
    key = f"password {person.name.lower()}"
    _wait(here, key)
    with here.database.reading() as connection:
        account = accounts.by_name(connection, person.name)
    if account is not None and account.password and not accounts.check_password(account, body.current):
        here.limiter.failed(key)
        raise HTTPException(403, "the present password is another one")
    try:
        here.database.write(lambda connection: accounts.set_password(connection, person.id, body.password))
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    _cookie(here, response, here.database.write(lambda connection: accounts.grant(connection, person.id, "session")))
    return {}


@router.get("/accounts")
def everyone(here: Here, person: Admin) -> list[dict[str, Any]]:
    """All accounts."""
    with here.database.reading() as connection:
        return [
            {"id": row.id, "name": row.name, "role": row.role, "active": row.active, "password": bool(row.password)}
            for row in accounts.all_of(connection)
        ]


@router.post("/accounts")
def add(body: NewAccount, here: Here, person: Admin) -> dict[str, Any]:
    """Create an account; returns the one-time token of its invitation."""

    def work(connection: Any) -> dict[str, Any]:
        made = accounts.create(connection, body.name, body.role)
        return {"id": made, "token": accounts.grant(connection, made, "invite")}

    try:
        return here.database.write(work)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


@router.post("/accounts/{account_id}/invite")
def invite(account_id: int, here: Here, person: Admin) -> dict[str, Any]:
    """Another one-time token for an account, for example after the first was lost."""
    if account_id not in {row["id"] for row in everyone(here, person)}:
        raise HTTPException(404, "there is no such account")
    return {"token": here.database.write(lambda connection: accounts.grant(connection, account_id, "invite"))}


@router.post("/accounts/{account_id}/active")
def active(account_id: int, body: Active, here: Here, person: Admin) -> dict[str, Any]:
    """Allow or forbid an account to sign in."""
    if account_id == person.id:
        raise HTTPException(422, "you can't lock yourself out")
    here.database.write(lambda connection: accounts.set_active(connection, account_id, body.active))
    return {}


@router.post("/tokens")
def token(body: TokenLabel, here: Here, person: Anyone) -> dict[str, Any]:
    """A token for scripts, with the rights of the account. It is returned once and stored as a hash."""
    return {"token": here.database.write(lambda connection: accounts.grant(connection, person.id, "token", body.label))}


def _wait(here: Studio, *keys: str) -> None:
    if seconds := here.limiter.wait(*keys):
        raise HTTPException(429, f"too many tries; wait {seconds} seconds", {"Retry-After": str(seconds)})


def _cookie(here: Studio, response: Response, session: str) -> None:
    response.set_cookie(
        COOKIE, session, max_age=int(accounts.LASTS["session"]), httponly=True, samesite="strict", secure=here.secure
    )
