"""The application: its handlers, its pages, the gate in front of them."""

from __future__ import annotations

import importlib.resources
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

from trueward.studio.api import manage, people, watch, work
from trueward.studio.api.gate import Gate, Names
from trueward.studio.api.place import Studio

PAGE = Path(str(importlib.resources.files("trueward.studio") / "page"))
LAB = Path(str(importlib.resources.files("trueward"))) / "lab" / "web"
PLACES = ("", "compare", "write", "runs", "people", "projects", "welcome")


class Static(StaticFiles):
    """Files that are asked for anew each time, and answered with 304 if they haven't changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def make(studio: Studio, names: Names) -> ASGIApp:
    """The studio as an ASGI application; the database closes with it."""

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        yield
        studio.database.close()

    app = FastAPI(title="trueward studio", docs_url=None, redoc_url=None, openapi_url=None, lifespan=living)
    app.state.studio = studio
    for module in (people, work, manage, watch):
        app.include_router(module.router)
    app.mount("/page", Static(directory=PAGE))
    if (LAB / "index.html").is_file():
        app.mount("/lab", Static(directory=LAB, html=True))

    @app.get("/{path:path}", include_in_schema=False)
    def page(path: str) -> FileResponse:
        """One page for every place; it looks at its address itself."""
        if path.split("/")[0] not in PLACES:
            raise HTTPException(404, "there is nothing here")
        return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})

    return Gate(app, names)
