"""Accounts, passwords, and secrets that stand for an account: stored only as hashes, they end and can be revoked."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from trueward.studio.store import account_names
from trueward.studio.store import tables as t
from trueward.studio.store.tables import DbRow

ROLES = ("viewer", "annotator", "admin")
PANELIST = "panelist"  # a role that only links for panels give: they judge in one project and see nothing else
DAY = 86400.0
LASTS = {"session": 30 * DAY, "invite": 7 * DAY, "token": 90 * DAY}
MOST_DAYS = 366  # that a token lasts, and a session however often it is renewed
RENEWED_AFTER = DAY  # of a session's age
KEPT = 30 * DAY  # how long an invitation that has ended is still known, so that its owner can ask for another one
LONGEST_LABEL = 80
HANDLE = 12  # digits of a hash that name a credential in lists
SHORTEST_PASSWORD = 10
OWNER = "owner"

_hasher = PasswordHasher()
_NOBODY = _hasher.hash(secrets.token_hex(16))  # so that an unknown name takes as long as a wrong password


def create(connection: Connection, name: str, role: str, password: str = "") -> int:
    """A new account's id. `ValueError` if the name is taken, or name, role or password are not valid."""
    if wrong := account_names.mistake(name):
        raise ValueError(f"account {name!r}: {wrong}")
    if role not in (*ROLES, PANELIST):
        raise ValueError(f"account {name}: role: expected viewer, annotator or admin, got {role!r}")
    if by_name(connection, name) is not None:
        raise ValueError(f"account {name}: there is one of this name already")
    if other := next((row.name for row in all_of(connection) if account_names.alike(name, row.name)), ""):
        raise ValueError(f"account {name}: looks like {other}, which is there already")
    values = {"name": name, "role": role, "active": True, "created": time.time(), "password": None}
    if password:
        values["password"] = _hash(password)
    return int(connection.execute(insert(t.account).values(values).returning(t.account.c.id)).scalar_one())


def by_name(connection: Connection, name: str) -> DbRow | None:
    """The account of that name; None if there is none."""
    return connection.execute(select(t.account).where(t.account.c.name == name)).first()


def all_of(connection: Connection) -> Sequence[DbRow]:
    """All accounts, oldest first."""
    return connection.execute(select(t.account).order_by(t.account.c.id)).all()


def owner(connection: Connection) -> int:
    """The id of the account of whoever started the studio on this machine."""
    known = by_name(connection, OWNER)
    return int(known.id) if known is not None else create(connection, OWNER, "admin")


def open_to_others(connection: Connection) -> bool:
    """Whether an admin has a password, which is required to serve other addresses than loopback."""
    query = select(t.account.c.id).where(
        t.account.c.role == "admin", t.account.c.active.is_(True), t.account.c.password.is_not(None)
    )
    return connection.execute(query).first() is not None


def set_password(connection: Connection, account_id: int, password: str) -> None:
    """Set a password; ends all that stood for the account before: sessions, tokens and invitations."""
    hashed = _hash(password)
    connection.execute(update(t.account).where(t.account.c.id == account_id).values(password=hashed))
    revoke_all(connection, account_id)


def set_active(connection: Connection, account_id: int, active: bool) -> None:
    """Allow or forbid an account to sign in; forbidding ends its sessions, tokens and invitations for good."""
    connection.execute(update(t.account).where(t.account.c.id == account_id).values(active=active))
    if not active:
        revoke_all(connection, account_id)


def set_role(connection: Connection, account_id: int, role: str) -> None:
    """Give an account another role, from its next request on. `ValueError` for one that isn't."""
    if role not in ROLES:
        raise ValueError(f"role: expected viewer, annotator or admin, got {role!r}")
    connection.execute(update(t.account).where(t.account.c.id == account_id).values(role=role))


def check_password(account: DbRow | None, password: str) -> bool:
    """Whether it is the account's password; takes as long for an unknown account."""
    stored = account.password if account is not None and account.password else _NOBODY
    try:
        right = _hasher.verify(stored, password)
    except (Argon2Error, InvalidHashError):
        return False
    return right and account is not None and stored is not _NOBODY and bool(account.active)


def grant(connection: Connection, account_id: int, kind: str, label: str = "", days: float | None = None) -> str:
    """A new secret for the account, in clear; only its hash is stored.

    kind: session, invite or token. days: until it expires, by its kind if none. What has expired is deleted on the way.
    `ValueError` for a label that is too long.
    """
    if len(label) > LONGEST_LABEL:
        raise ValueError(f"a label has at most {LONGEST_LABEL} characters")
    secret = f"tw_{secrets.token_urlsafe(32)}"
    now = time.time()
    kept = (t.credential.c.kind == "invite") & (t.credential.c.expires >= now - KEPT)
    connection.execute(delete(t.credential).where(t.credential.c.expires < now, ~kept))
    row = {
        "hash": digest(secret),
        "account_id": account_id,
        "kind": kind,
        "label": label,
        "created": now,
        "expires": now + (LASTS[kind] if days is None else days * DAY),
    }
    connection.execute(insert(t.credential).values(row))
    return secret


def who(connection: Connection, secret: str, kind: str) -> DbRow | None:
    """The active account of a session's cookie or a token; None if there is none."""
    return holder(connection, digest(secret), kind)


def holder(connection: Connection, hashed: str, kind: str) -> DbRow | None:
    """The same by the secret's hash: whether it still stands for somebody."""
    query = (
        select(t.account)
        .join(t.credential, t.credential.c.account_id == t.account.c.id)
        .where(
            t.credential.c.hash == hashed,
            t.credential.c.kind == kind,
            t.credential.c.expires > time.time(),
            t.account.c.active.is_(True),
        )
    )
    return connection.execute(query).first()


def enter(connection: Connection, invite: str) -> str | None:
    """A session for an invite, which works once; None if it was used, has expired, or is unknown."""
    now = time.time()
    used = (
        update(t.credential)
        .where(
            t.credential.c.hash == digest(invite),
            t.credential.c.kind == "invite",
            t.credential.c.used.is_(None),
            t.credential.c.expires > now,
        )
        .values(used=now)
        .returning(t.credential.c.account_id)
    )
    account_id = connection.execute(used).scalar()
    return None if account_id is None else grant(connection, account_id, "session")


def invite(connection: Connection, account_id: int) -> str:
    """A new invitation for an account, which may have asked for it."""
    connection.execute(update(t.account).where(t.account.c.id == account_id).values(link_wanted=None))
    return grant(connection, account_id, "invite")


def spent(connection: Connection, invite: str) -> str:
    """Why an invitation lets nobody in: `used`, `old`, or `unknown`."""
    row = connection.execute(select(t.credential).where(_is_invite(invite))).first()
    return "unknown" if row is None else "used" if row.used is not None else "old"


def want_link(connection: Connection, invite: str) -> bool:
    """Note that the owner of a spent invitation asks for another one; False if it isn't known, or they may not come in."""
    mine = select(t.credential.c.account_id).where(_is_invite(invite)).scalar_subquery()
    changed = (
        update(t.account).where(t.account.c.id == mine, t.account.c.active.is_(True)).values(link_wanted=time.time())
    )
    return connection.execute(changed.returning(t.account.c.id)).first() is not None


def _is_invite(invite: str) -> ColumnElement[bool]:
    return (t.credential.c.hash == digest(invite)) & (t.credential.c.kind == "invite")


def renewal(connection: Connection, hashed: str) -> float | None:
    """Until when a session that is in use lasts now, 30 days and in all a year at most; None if that is no change."""
    mine = (t.credential.c.hash == hashed) & (t.credential.c.kind == "session")
    row = connection.execute(select(t.credential).where(mine)).first()
    now = time.time()
    if row is None or row.expires - now > LASTS["session"] - RENEWED_AFTER:
        return None
    expires = min(now + LASTS["session"], row.created + MOST_DAYS * DAY)
    return float(expires) if expires > row.expires else None


def renew(connection: Connection, hashed: str, expires: float) -> None:
    """Let a session last until then."""
    connection.execute(update(t.credential).where(t.credential.c.hash == hashed).values(expires=expires))


def see(connection: Connection, account_id: int) -> None:
    """Note that somebody is here."""
    connection.execute(update(t.account).where(t.account.c.id == account_id).values(seen=time.time()))


def leave(connection: Connection, session: str) -> None:
    """End a session."""
    connection.execute(delete(t.credential).where(t.credential.c.hash == digest(session)))


def standing(connection: Connection, account_id: int | None = None) -> Sequence[DbRow]:
    """Tokens and sessions that still work, of one account or of all, oldest first, with their handle and account's name."""
    query = (
        select(t.credential, t.account.c.name)
        .join(t.account, t.account.c.id == t.credential.c.account_id)
        .where(t.credential.c.kind.in_(("token", "session")), t.credential.c.expires > time.time())
        .order_by(t.credential.c.created, t.credential.c.hash)
    )
    if account_id is not None:
        query = query.where(t.credential.c.account_id == account_id)
    return connection.execute(query).all()


def handle(row: DbRow) -> str:
    """What names a credential in lists: the beginning of its hash, which says nothing about the secret."""
    return str(row.hash)[:HANDLE]


def revoke(connection: Connection, name: str, account_id: int | None = None) -> bool:
    """End the token or session of this handle; False if there is none, or if it is not the account's."""
    rows = [row for row in standing(connection, account_id) if handle(row) == name]
    for row in rows:
        connection.execute(delete(t.credential).where(t.credential.c.hash == row.hash))
    return bool(rows)


def revoke_all(connection: Connection, account_id: int) -> None:
    """End all that stands for an account: sessions, tokens, and invitations that nobody has used."""
    connection.execute(delete(t.credential).where(t.credential.c.account_id == account_id))


def digest(secret: str) -> str:
    """SHA-256 of a secret, as it is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _hash(password: str) -> str:
    if len(password) < SHORTEST_PASSWORD:
        raise ValueError(f"a password has at least {SHORTEST_PASSWORD} characters")
    return _hasher.hash(password)
