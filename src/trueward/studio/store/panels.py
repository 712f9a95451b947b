"""Links for panels: whoever opens one gets an account of their own, judges so many items, and is shown the panel's code."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, func, insert, select, update

from trueward.studio.store import accounts, queue
from trueward.studio.store import tables as t
from trueward.studio.store.tables import DbRow

ROLE = accounts.PANELIST


@dataclass(frozen=True)
class Participant:
    """What a panel calls a member, a study and a session; empty where the link names none."""

    participant: str = ""
    study: str = ""
    session: str = ""


def create(
    connection: Connection, project_id: int, items: int, places: int, code: str = "", redirect: str = ""
) -> tuple[int, str]:
    """A new link for at most `places` people, who judge `items` items each: its id and its key, of which a hash is stored.

    `ValueError` for a redirect that is no https address.
    """
    address = urlsplit(redirect)
    if redirect and (address.scheme != "https" or not address.hostname or address.username or address.password):
        raise ValueError("redirect: expected an address such as https://app.prolific.com/submissions/complete?cc=CODE")
    key = secrets.token_urlsafe(18)
    row = {
        "project_id": project_id,
        "hash": accounts.digest(key),
        "quota": items,
        "places": places,
        "code": code.strip(),
        "redirect": redirect,
        "active": True,
        "created": time.time(),
    }
    return int(connection.execute(insert(t.panel).values(row).returning(t.panel.c.id)).scalar_one()), key


def enter(connection: Connection, key: str, who: Participant, account_id: int | None) -> str | None:
    """A session for a member who opened the link; None if there is no such link.

    account_id: the account that asks, if it has one: a page that is loaded again goes on. So does the same participant with
    the same session. `ValueError` for a link that is closed or full, and for a participant who has another session.
    """
    query = select(t.panel).where(t.panel.c.hash == accounts.digest(key)).with_for_update()
    panel = connection.execute(query).first()
    if panel is None:
        return None
    known = _known(connection, panel.id, who, account_id)
    if known is not None:
        return accounts.grant(connection, known, "session")
    if not panel.active:
        raise ValueError("this study is closed")
    begun = connection.scalar(select(func.count()).where(t.sitting.c.panel_id == panel.id))
    if int(begun or 0) >= panel.places:
        raise ValueError("this study is full")
    made = accounts.create(connection, f"panel {panel.id}-{secrets.token_hex(4)}", ROLE)
    row = {
        "panel_id": panel.id,
        "account_id": made,
        "participant": who.participant or None,
        "study": who.study,
        "session": who.session,
        "began": time.time(),
    }
    connection.execute(insert(t.sitting).values(row))
    return accounts.grant(connection, made, "session")


def _known(connection: Connection, panel_id: int, who: Participant, account_id: int | None) -> int | None:
    mine = t.sitting.c.panel_id == panel_id
    mine &= t.sitting.c.participant == who.participant if who.participant else t.sitting.c.account_id == account_id
    row = connection.execute(select(t.sitting).where(mine)).first()
    if row is None:
        return None
    if row.session != who.session and row.account_id != account_id:
        raise ValueError("this participant has begun in another session")
    return int(row.account_id)


def sitting(connection: Connection, account_id: int) -> DbRow:
    """A panelist's sitting, with its panel's `quota`, `code` and `redirect`, and the project's name."""
    query = (
        select(
            t.sitting,
            t.panel.c.quota,
            t.panel.c.code,
            t.panel.c.redirect,
            t.project.c.name.label("project"),
            t.project.c.kind,
        )
        .join(t.panel, t.panel.c.id == t.sitting.c.panel_id)
        .join(t.project, t.project.c.id == t.panel.c.project_id)
        .where(t.sitting.c.account_id == account_id)
    )
    return connection.execute(query).one()


def done(connection: Connection, account_id: int) -> int:
    """How many items an account has judged or skipped, in rounds that are closed, too."""
    query = select(func.count()).where(t.assignment.c.account_id == account_id, t.assignment.c.state.in_(queue.DONE))
    return int(connection.execute(query).scalar_one())


def complete(connection: Connection, row: DbRow) -> None:
    """Note that a sitting came to its end."""
    if row.completed is None:
        connection.execute(update(t.sitting).where(t.sitting.c.id == row.id).values(completed=time.time()))


def all_of(connection: Connection, project_id: int) -> list[dict[str, Any]]:
    """The links of a project, oldest first, with how many people began and completed."""
    query = (
        select(
            *(t.panel.c[name] for name in ("id", "places", "code", "redirect", "active", "created")),
            t.panel.c.quota.label("items"),
            func.count(t.sitting.c.id).label("begun"),
            func.count(t.sitting.c.completed).label("completed"),
        )
        .outerjoin(t.sitting, t.sitting.c.panel_id == t.panel.c.id)
        .where(t.panel.c.project_id == project_id)
        .group_by(t.panel.c.id)
        .order_by(t.panel.c.id)
    )
    return [dict(row._mapping) for row in connection.execute(query).all()]


def set_active(connection: Connection, panel_id: int, active: bool) -> bool:
    """Open or close a link for new people; those who have begun go on. False if there is no such link."""
    changed = update(t.panel).where(t.panel.c.id == panel_id).values(active=active)
    return connection.execute(changed.returning(t.panel.c.id)).first() is not None
