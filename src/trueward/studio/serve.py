"""The server: one process, one port, one printed address."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from trueward.studio import app, log
from trueward.studio.api.gate import Names
from trueward.studio.api.place import Studio
from trueward.studio.connections import ACCEPTED, Connection, most_connections
from trueward.studio.runs.library import Library
from trueward.studio.runs.starting import RunStarter
from trueward.studio.store import accounts
from trueward.studio.store.database import Database

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ONE_ADDRESS = (
    "No --trusted-proxy: where tries to sign in are limited, everybody counts as one address. Give the proxy's own."
)
RUNS_ALLOWED = (
    "Runs are allowed: admins can start shipped recipes from a project's page, as this account of the machine."
)


def serve(
    data: Path, database: str, runs: Path, host: str, port: int, url: str = "", proxies: Sequence[str] = (),
    *, allow_runs: bool = False,
) -> None:  # fmt: skip
    """Serve until Ctrl-C.

    proxies: addresses or networks whose word for where a request comes from is believed. allow_runs: admins may start shipped
    recipes from a project's page.
    `ValueError` in one line if the address is in use, or if it is open to others and no admin has a password.
    """
    if url and urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"--url {url}: expected http://... or https://...")
    trusted = [network(each) for each in proxies]
    store = Database(data, database)
    try:
        if host not in LOOPBACK or url:
            with store.reading() as connection:
                if not accounts.open_to_others(connection):
                    raise ValueError(
                        f"{url or host}: others could come in, so an admin with a password comes first: "
                        "trueward studio account NAME --role admin --password"
                    )
        with _bound(host, port) as listening:
            port = listening.getsockname()[1]
            name = f"[{host}]" if ":" in host else host
            here = url.rstrip("/") or f"http://{name}:{port}"
            names = Names.of(port, here)
            starter = RunStarter(runs, data) if allow_runs else None
            secure = here.startswith("https:")
            place = Studio(data, store, Library(runs), secure=secure, lab=app.lab_files(), starter=starter)
            invite = store.write(lambda c: accounts.grant(c, accounts.owner(c), "invite", "printed"))
            print(f"The studio: {here}/#key={invite}", flush=True)
            print(f"Data in {data}, runs from {runs}. Ctrl-C ends it.", file=sys.stderr, flush=True)
            if url and not trusted:
                print(ONE_ADDRESS, file=sys.stderr, flush=True)
            if allow_runs:
                print(RUNS_ALLOWED, file=sys.stderr, flush=True)
            uvicorn.Server(settings(app.make(place, names), trusted)).run(sockets=[listening])
            if starter and (last := starter.now()) and last["lives"]:
                print(
                    f"{last['run']}, started from a page, goes on by itself; the studio finds it again.",
                    file=sys.stderr,
                )
    finally:
        store.close()


def settings(application: ASGIApp, proxies: Sequence[str] = ()) -> uvicorn.Config:
    """How it is served: bounded connections and logs, and nobody's word for an address but that of `proxies`."""
    Connection.most = most_connections()
    return uvicorn.Config(
        application,
        http=Connection,
        ws="none",
        backlog=ACCEPTED,
        log_config=log.settings(),
        access_log=False,
        timeout_graceful_shutdown=1,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),  # never uvicorn's own, which trusts loopback and an environment variable
    )


def network(text: str) -> str:
    """An address or a network of `--trusted-proxy`, as it is; `ValueError` for what is none."""
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False)) if "/" in text else str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"--trusted-proxy {text}: expected an IP address or a network, as 10.0.0.0/8") from None


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with TCP named, asyncio turns off Nagle's algorithm, which would delay every second request of a page by 40 ms
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(512)  # before the address is printed, so that it can be opened at once
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ValueError(f"port {port} is in use; give another one with --port") from None
        raise ValueError(f"{host}:{port}: {error.strerror or error}") from None
    return listening
