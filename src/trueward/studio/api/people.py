"""Signing in and out; accounts and invitations."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response
from pydantic import Field
from sqlalchemy import Connection

from trueward.studio.api import limits
from trueward.studio.api.place import COOKIE, MOST_ID, Admin, Body, Here, Member, Person, Role, Studio, whoever
from trueward.studio.api.route import Route
from trueward.studio.api.sessions import address_of, attempt, entering, set_cookie
from trueward.studio.store import accounts, panels

router = APIRouter(prefix="/api", route_class=Route)
SPENT = {
    "used": "this link was used before, and works once",
    "old": "this link is too old: it worked for a week",
    "unknown": "this link isn't known here: it may be cut off, or very old",
}
AccountId = Annotated[int, Path(ge=1, le=MOST_ID)]


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


@router.get("/me")
def me(
    here: Here, person: Annotated[Person | None, Depends(whoever)], request: Request, response: Response
) -> dict[str, Any]:
    """The account of the request, if any, and whether the lab is there. A session that is in use lasts longer by it."""
    if person is None:
        return {"account": None, "lab": here.lab is not None}
    account: dict[str, Any] = {"name": person.name, "role": person.role}
    with here.database.reading() as connection:
        if person.role == panels.ROLE:  # whose page is the one project of the link
            row = panels.sitting(connection, person.id)
            account |= {"project": row.project, "kind": row.kind}
        else:
            known = accounts.by_name(connection, person.name)
            account["password"] = known is not None and bool(known.password)
        until = accounts.renewal(connection, person.hashed) if person.by == "session" else None
    here.see(person.id)
    if until is not None:
        here.database.write(lambda connection: accounts.renew(connection, person.hashed, until))
        set_cookie(here, response, request.cookies[COOKIE])
    return {"account": account, "lab": here.lab is not None}


@router.post("/enter")
def enter(body: Enter, here: Here, request: Request, response: Response) -> dict[str, Any]:
    """Exchange a one-time token for a session."""

    def work(connection: Connection) -> tuple[str | None, str]:
        session = accounts.enter(connection, body.token)
        return session, "" if session else accounts.spent(connection, body.token)

    with attempt(here, entering(request)) as right:
        session, why = here.database.write(work)
        right(session is not None)
    if session is None:
        raise HTTPException(401, SPENT[why])
    set_cookie(here, response, session)
    return {}


@router.post("/enter/again")
def ask_again(body: Enter, here: Here, request: Request) -> dict[str, Any]:
    """Whoever holds a link that is spent asks for another one; admins see that on the page People."""
    with attempt(here, entering(request)) as right:
        known = here.database.write(lambda connection: accounts.want_link(connection, body.token))
        right(known)
    if not known:
        raise HTTPException(404, SPENT["unknown"])
    return {}


@router.post("/login")
def login(body: Login, here: Here, request: Request, response: Response) -> dict[str, Any]:
    """Sign in with name and password."""
    with here.database.reading() as connection:
        account = accounts.by_name(connection, body.name)
    if not _is_right(here, limits.sign_in(body.name, address_of(request)), account, body.password) or account is None:
        raise HTTPException(401, "wrong name or password")
    set_cookie(
        here, response, here.database.write(lambda connection: accounts.grant(connection, account.id, "session"))
    )
    return {}


@router.post("/logout")
def logout(here: Here, request: Request, response: Response) -> dict[str, Any]:
    """End the session."""
    if session := request.cookies.get(COOKIE):
        here.database.write(lambda connection: accounts.leave(connection, session))
    response.delete_cookie(COOKIE)
    return {}


@router.post("/password")
def password(body: Password, here: Here, person: Member, request: Request, response: Response) -> dict[str, Any]:
    """Set or change the password.

    All sessions, tokens and invitations of the account end, and a new session starts.
    """
    if person.by == "token":
        raise HTTPException(403, "a token can't change the password: sign in")
    with here.database.reading() as connection:
        account = accounts.by_name(connection, person.name)
    if account is not None and account.password:
        tries = {f"password {person.name.casefold()}": limits.PAIR}
        if not _is_right(here, tries, account, body.current):
            raise HTTPException(403, "the present password is another one")

    def work(connection: Any) -> str:
        accounts.set_password(connection, person.id, body.password)
        return accounts.grant(connection, person.id, "session")

    try:
        session = here.database.write(work)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    set_cookie(here, response, session)
    return {}


@router.get("/accounts")
def everyone(here: Here, person: Admin) -> list[dict[str, Any]]:
    """All accounts, without those that links for panels made."""
    with here.database.reading() as connection:
        return [
            {
                **{name: getattr(row, name) for name in ("id", "name", "role", "active", "seen", "link_wanted")},
                "password": bool(row.password),
            }
            for row in accounts.all_of(connection)
            if row.role != panels.ROLE
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
def invite(account_id: AccountId, here: Here, person: Admin) -> dict[str, Any]:
    """Another one-time token for an account, for example after the first was lost."""
    if account_id not in {row["id"] for row in everyone(here, person)}:
        raise HTTPException(404, "there is no such account")
    return {"token": here.database.write(lambda connection: accounts.invite(connection, account_id))}


@router.post("/accounts/{account_id}/active")
def active(account_id: AccountId, body: Active, here: Here, person: Admin) -> dict[str, Any]:
    """Allow or forbid an account to sign in; forbidding ends its sessions, tokens and invitations."""
    if account_id == person.id:
        raise HTTPException(422, "you can't lock yourself out")
    here.database.write(lambda connection: accounts.set_active(connection, account_id, body.active))
    return {}


def _is_right(here: Studio, tries: dict[str, int], account: Any, password: str) -> bool:
    """Whether it is the account's password. The attempt counts before anything is hashed; error 429 if there were too many."""
    with attempt(here, tries) as right, here.hashing.place() as ours:
        if not ours:
            right(True)  # nothing was tried
            raise HTTPException(429, "many are signing in; try again in a moment", {"Retry-After": "2"})
        known = accounts.check_password(account, password)
        right(known)
    return known
