"""`trueward studio`: serve it, and its accounts. Nothing is imported before a command needs it."""

from __future__ import annotations

import os
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
    database: Url = "",
) -> None:
    """Serve a page where people compare and write answers, and runs are watched. It prints an address that works once."""
    context.obj = (data or data_directory(), database or os.environ.get("TRUEWARD_DATABASE", ""))
    if context.invoked_subcommand is None:
        require_extra()
        from trueward.studio import serve

        where, base = context.obj
        serve.serve(where, base, runs, host, port, url)


@app.command()
def account(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The account's name.")],
    role: Annotated[str, typer.Option(help="admin, annotator or viewer.")] = "annotator",
    ask: Annotated[bool, typer.Option("--password", help="Ask for a password.")] = False,
) -> None:
    """Make an account, or give one a new password. Without a password it comes in by an invitation."""
    store = _open(context)
    from trueward.studio.store import accounts

    secret = typer.prompt("password", hide_input=True, confirmation_prompt=True) if ask else ""

    def work(connection: Any) -> str:
        known = accounts.by_name(connection, name)
        number = known.id if known is not None else accounts.create(connection, name, role)
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
) -> None:
    """Make a token for scripts: `Authorization: Bearer TOKEN`. It is printed once."""
    store = _open(context)
    from trueward.studio.store import accounts

    with store.reading() as connection:
        known = accounts.by_name(connection, name)
    if known is None:
        raise ValueError(f"there is no account {name!r}")
    print(store.write(lambda connection: accounts.grant(connection, known.id, "token", label)))


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
