"""The application: its handlers, its pages, and the gate that checks requests."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import importlib.resources
import importlib.util
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

from trueward.studio import bundle
from trueward.studio.api import (
    compare_runs,
    desk,
    exports,
    imports,
    inspect_run,
    learned,
    manage,
    panels,
    people,
    start_run,
    tokens,
    watch,
    work,
)
from trueward.studio.api.gate import BROKEN, Gate, Names
from trueward.studio.api.place import Studio

PAGE = Path(str(importlib.resources.files("trueward.studio") / "page"))
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "json": "application/json"}
PACKED_FROM = 500  # bytes of a file that is sent compressed; answers of the API, which hold what people sent, are not
PLACES = ("", "compare", "rank", "write", "runs", "sweeps", "people", "projects", "desk", "panel", "welcome")


class Static(StaticFiles):
    """Files that browsers revalidate at every request; 304 if they have not changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, with a header that makes browsers revalidate it."""
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def make(studio: Studio, names: Names) -> ASGIApp:
    """The studio as an ASGI application; the database is closed with it."""

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=studio.runs.table, daemon=True).start()  # read before anybody asks
        yield
        studio.database.close()

    app = FastAPI(title="trueward studio", docs_url=None, redoc_url=None, openapi_url=None, lifespan=living)
    app.state.studio = studio
    for module in (
        people,
        panels,
        tokens,
        work,
        manage,
        imports,
        exports,
        desk,
        inspect_run,
        compare_runs,
        learned,
        start_run,
        watch,
    ):
        app.include_router(module.router)
    explain(app)
    serve_bundle(app)
    app.mount("/page", GZipMiddleware(Static(directory=PAGE), minimum_size=PACKED_FROM))
    if studio.lab is not None:
        serve_lab(app, studio.lab)

    document = bundle.index(PAGE)

    @app.get("/{path:path}", include_in_schema=False)
    def page(path: str) -> Response:
        """One page for every address; its script reads which, and says of an unknown one that it is none."""
        place = path.split("/")[0]
        if place == "api" or path.endswith((".ico", ".txt", ".map", ".json")):  # asked for by programs, not by people
            raise HTTPException(404, "there is nothing here")
        status = 200 if place in PLACES else 404
        return HTMLResponse(document, status, headers={"cache-control": "no-cache"})

    return Gate(app, names)


def explain(app: FastAPI) -> None:
    """What the errors of handlers become: an answer that repeats nothing of what was sent."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        detail = [{"loc": list(each["loc"]), "msg": each["msg"], "type": each["type"]} for each in error.errors()]
        return JSONResponse({"detail": detail}, 422)

    @app.exception_handler(DataError)
    async def unkept(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "the database can't keep a value: too long, or with a NUL character"}, 422)

    async def away(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "the database doesn't answer; try again"}, 503, {"Retry-After": "2"})

    for kind in (OperationalError, InterfaceError, PoolTimeoutError):
        app.add_exception_handler(kind, away)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": BROKEN}, 500)


def serve_bundle(app: FastAPI) -> None:
    """Serve the joined modules; browsers revalidate them at every request."""
    files = bundle.whole(PAGE)
    packed = {name: gzip.compress(text.encode(), mtime=0) for name, text in files.items()}
    marks = {name: f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"' for name, text in files.items()}

    @app.get("/page/bundle/{name}", include_in_schema=False)
    def part(name: str, request: Request) -> Response:
        if name not in files:
            raise HTTPException(404, "there is nothing here")
        headers = {"cache-control": "no-cache", "etag": marks[name], "vary": "accept-encoding"}
        if request.headers.get("if-none-match") == marks[name]:
            return Response(status_code=304, headers=headers)
        kind = TYPES[name.rsplit(".", 1)[-1]]
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed[name], media_type=kind, headers={**headers, "content-encoding": "gzip"})
        return Response(files[name], media_type=kind, headers=headers)


def serve_lab(app: FastAPI, files: dict[str, str]) -> None:
    """Serve the lab's page by the names of its files, with its own content security policy."""
    policy = str(getattr(importlib.import_module("trueward.lab.page"), "POLICY", ""))
    headers = {"cache-control": "no-cache", **({"content-security-policy": policy} if policy else {})}

    @app.get("/lab", include_in_schema=False)
    def redirect() -> RedirectResponse:
        return RedirectResponse("/lab/")

    packed = {name: gzip.compress(text.encode(), mtime=0) for name, text in files.items()}

    @app.get("/lab/{name}", include_in_schema=False)
    def lab(name: str, request: Request) -> Response:
        if name not in files:
            raise HTTPException(404, "there is nothing here")
        kind = TYPES.get(name.rsplit(".", 1)[-1], "text/plain")
        if "gzip" in request.headers.get("accept-encoding", ""):
            more = {"content-encoding": "gzip", "vary": "accept-encoding"}
            return Response(packed[name], media_type=kind, headers=headers | more)
        return Response(files[name], media_type=kind, headers=headers)

    @app.get("/lab/", include_in_schema=False)
    def index(request: Request) -> Response:
        return lab("index.html", request)


def lab_files() -> dict[str, str] | None:
    """The lab's page by file name; None if this installation lacks it."""
    if importlib.util.find_spec("trueward.lab") is None:
        return None
    return dict(importlib.import_module("trueward.lab.page").files())
