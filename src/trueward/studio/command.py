"""`trueward studio`: serve it, and its accounts. Nothing is imported before a command needs it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from trueward.data.snapshots import data_directory
from trueward.extras import missing

app = typer.Typer(help="Serve a page on this machine where people compare and write answers, and runs are watched.")

Data = Annotated[
    Path | None, typer.Option(help="The studio's own directory, with people's answers; $TRUEWARD_STUDIO, else studio/.")
]
Url = Annotated[str, typer.Option("--database", help="PostgreSQL by URL; without it a SQLite file in --data.")]


@app.callback(invoke_without_command=True)
def studio(
    context: typer.Context,
    data: Data = None,
    runs: Annotated[Path, typer.Option(help="The directory of runs to watch.")] = Path("runs"),
    host: Annotated[
        str,
        typer.Option(help="Address to listen at; another one needs an admin with a password."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0: any that is free.")] = 8600,
    url: Annotated[str, typer.Option(help="The public address, if a proxy stands in front: https://...")] = "",
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(help="Its own address or network: it is believed where a request comes from. May be repeated."),
    ] = None,
    database: Url = "",
    allow_runs: Annotated[
        bool, typer.Option("--allow-runs", help="Let admins start shipped recipes on closed rounds from a page.")
    ] = False,
) -> None:
    """Serve a page where people compare and write answers, and runs are watched. It prints an address that works once."""
    context.obj = (data or data_directory(), database or os.environ.get("TRUEWARD_DATABASE", ""))
    if context.invoked_subcommand is None:
        require_extra()
        from trueward.studio import serve

        where, base = context.obj
        serve.serve(where, base, runs, host, port, url, trusted_proxy or (), allow_runs=allow_runs)


@app.command()
def account(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The account's name.")],
    role: Annotated[str, typer.Option(help="admin, annotator or viewer; annotator for a new account.")] = "",
    ask: Annotated[bool, typer.Option("--password", help="Ask for a password.")] = False,
) -> None:
    """Make an account, or give one a new role or password. Without a password it comes in by an invitation.

    A new password ends all sessions, tokens and invitations of the account.
    """
    store = _open(context)
    from trueward.studio.store import accounts

    secret = typer.prompt("password", hide_input=True, confirmation_prompt=True) if ask else ""

    def work(connection: Any) -> str:
        known = accounts.by_name(connection, name)
        number = known.id if known is not None else accounts.create(connection, name, role or "annotator")
        if known is not None and role:
            accounts.set_role(connection, number, role)
        if secret:
            accounts.set_password(connection, number, secret)
        return "" if secret else accounts.grant(connection, number, "invite")

    invite = store.write(work)
    print(f"{name} can sign in" if secret else f"append this to the studio's address, it works once: /#key={invite}")


@app.command()
def token(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The account whose rights the token has.")],
    label: Annotated[str, typer.Option(help="A note of what the token is for.")] = "",
    days: Annotated[int, typer.Option(min=1, max=366, help="Days until it ends.")] = 90,
) -> None:
    """Make a token for scripts: `Authorization: Bearer TOKEN`. It is printed once."""
    store, number = _account(context, name)
    from trueward.studio.store import accounts

    print(store.write(lambda connection: accounts.grant(connection, number, "token", label, days)))


@app.command()
def tokens(
    context: typer.Context, name: Annotated[str, typer.Argument(help="An account; everybody's without one.")] = ""
) -> None:
    """List tokens and sessions that still work: what `revoke` takes, account, kind, when it ends, and its note."""
    store, number = _account(context, name) if name else (_open(context), None)
    from trueward.studio.store import accounts

    with store.reading() as connection:
        rows = accounts.standing(connection, number)
    for row in rows:
        ends = time.strftime("%Y-%m-%d %H:%M", time.gmtime(row.expires))
        print(f"{accounts.handle(row)}  {row.name}  {row.kind}  until {ends} UTC  {_visible(row.label)}".rstrip())
    if not rows:
        print("no tokens and no sessions")


@app.command()
def revoke(
    context: typer.Context,
    which: Annotated[str, typer.Argument(help="One of `trueward studio tokens`; with --all: an account.")],
    everything: Annotated[bool, typer.Option("--all", help="All of an account, and its unused invitations.")] = False,
) -> None:
    """End a token or a session at once, or all of an account."""
    store, number = _account(context, which) if everything else (_open(context), None)
    from trueward.studio.store import accounts

    if number is not None:
        store.write(lambda connection: accounts.revoke_all(connection, number))
        print(f"the sessions, tokens and invitations of {which} have ended")
    elif store.write(lambda connection: accounts.revoke(connection, which)):
        print(f"{which} has ended")
    else:
        raise ValueError(f"there is no token or session {which!r}: see trueward studio tokens")


def _visible(text: str) -> str:
    """A note as a terminal shows it: what it would obey, as escapes."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _account(context: typer.Context, name: str) -> tuple[Any, int]:
    store = _open(context)
    from trueward.studio.store import accounts

    with store.reading() as connection:
        known = accounts.by_name(connection, name)
    if known is None:
        raise ValueError(f"there is no account {name!r}")
    return store, int(known.id)


def _open(context: typer.Context) -> Any:
    require_extra()
    from trueward.studio.store.database import Database

    return Database(*context.obj)


def require_extra() -> None:
    """`ValueError` that names what has to be installed."""
    try:
        import alembic
        import argon2
        import fastapi
        import sqlalchemy
        import uvicorn
    except ImportError as error:
        raise missing(f"the studio needs {error.name}", "studio") from None
    del alembic, argon2, fastapi, sqlalchemy, uvicorn
