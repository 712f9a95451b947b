"""A studio that is really served, in this process, and pages that are watched while a test uses them."""

from __future__ import annotations

import fcntl
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import select

from trueward.studio import app, serve
from trueward.studio.api.gate import Names
from trueward.studio.api.place import Studio
from trueward.studio.runs.library import Library
from trueward.studio.store import accounts, counts, projects
from trueward.studio.store import tables as t
from trueward.studio.store.database import Database


@dataclass
class Served:
    """The studio, its address, and the browser contexts of those who came in."""

    studio: Studio
    address: str
    browser: Any
    said: list[str] = field(default_factory=list)
    as_json: list[str] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)

    def enter(self, name: str, role: str = "annotator", path: str = "", **settings: Any) -> Any:
        """A page of somebody who opens their invitation, and then the place `path`."""

        def work(connection: Any) -> str:
            known = accounts.by_name(connection, name)
            number = known.id if known is not None else accounts.create(connection, name, role)
            return accounts.grant(connection, number, "invite")

        invite = self.studio.database.write(work)
        context = self.browser.new_context(**settings)
        context.set_default_timeout(20_000)
        self.contexts.append(context)
        page = context.new_page()
        self.watch(page)
        page.goto(f"{self.address}/#key={invite}")
        page.get_by_role("banner").wait_for()
        assert "key=" not in page.url
        if path:
            page.goto(f"{self.address}{path}")
        return page

    def watch(self, page: Any) -> None:
        def heard(message: Any) -> None:
            lost = "ERR_INTERNET_DISCONNECTED" in message.text or "ERR_CONNECTION" in message.text
            if message.type in ("error", "warning") and not lost:
                self.said.append(f"{message.text} ({page.url})")

        page.on("console", heard)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.as_json.append(request.url))

    def votes(self, project: str = "p") -> list[Any]:
        with self.studio.database.reading() as connection:
            return counts.votes(connection, projects.get(connection, project).id)

    def events(self) -> list[Any]:
        with self.studio.database.reading() as connection:
            return list(connection.execute(select(t.event).order_by(t.event.c.id)).all())

    def until(self, true: Any, seconds: float = 15.0) -> None:
        """Wait for something outside of the page."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "waited too long"
            self.contexts[-1].pages[0].wait_for_timeout(50)  # the browser's own events go on meanwhile


@contextmanager
def serving_studio(folder: Path, browser: Any, url: str = "") -> Iterator[Served]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    database = Database(folder / "studio", url)
    (folder / "runs").mkdir(exist_ok=True)
    studio = Studio(folder / "studio", database, Library(folder / "runs"))
    server = uvicorn.Server(serve.settings(app.make(studio, Names.of(port))))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    served = Served(studio, f"http://127.0.0.1:{port}", browser)
    try:
        yield served
    finally:
        for context in served.contexts:
            context.close()
        server.should_exit = True
        thread.join(timeout=10)
        listening.close()
    assert served.said == [], f"the pages' consoles said {served.said}"
    assert {url for url in served.as_json if not url.startswith(served.address)} <= set()


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """As long as it lasts, a run's lock is held, as by the process that trains it."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
