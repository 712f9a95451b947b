"""The tabs of a run's page over HTTP: settings, the doctor, files, what happened, the report."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response

from trueward.studio.api.place import Here, Reader
from trueward.studio.api.route import Route
from trueward.studio.api.watch import or_404, run_path
from trueward.studio.runs import diagnosis, events, files, listing, settings
from trueward.studio.runs.contents import Contents

router = APIRouter(prefix="/api", route_class=Route)
# a report is a file that anybody may have put there: it runs nothing, loads nothing, and has no origin
REPORT = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
Against = Annotated[str | None, Query(max_length=100)]
FilePath = Annotated[str, Query(max_length=1000)]


@router.get("/runs/{name:path}/config")
def config(name: str, here: Here, person: Reader, against: Against = None) -> dict[str, Any]:
    """Every setting of a run, beside those of a shipped recipe."""
    run = Contents(run_path(name, here))
    result: dict[str, Any] = or_404(lambda: settings.beside(run, against))
    return result


@router.get("/runs/{name:path}/doctor")
def doctor(name: str, here: Here, person: Reader) -> dict[str, Any]:
    """What the doctor finds in a run, finished or not."""
    result: dict[str, Any] = files.clean(diagnosis.doctor(Contents(run_path(name, here))))
    return result


@router.get("/runs/{name:path}/log")
def log(name: str, here: Here, person: Reader) -> list[dict[str, Any]]:
    """What happened in a run, in order."""
    return events.events(Contents(run_path(name, here)))


@router.get("/runs/{name:path}/files")
def run_files(name: str, here: Here, person: Reader) -> dict[str, Any]:
    """The files of a run, with their sizes."""
    return listing.listing(run_path(name, here))


@router.get("/runs/{name:path}/file")
def run_file(name: str, here: Here, person: Reader, path: FilePath) -> dict[str, Any]:
    """The beginning of a text of a run, named as in the list of its files."""
    run = run_path(name, here)
    result: dict[str, Any] = or_404(lambda: listing.beginning(run, path))
    return result


@router.get("/runs/{name:path}/report.html")
def report(name: str, here: Here, person: Reader) -> Response:
    """The report, as it was written: displayed and never executed."""
    path = run_path(name, here) / "report.html"
    try:
        with files.opened(path) as file:
            raw = file.read(files.TABLE)
    except (OSError, files.DamagedError):
        raise HTTPException(404, f"{name} has no report yet") from None
    return Response(raw, media_type="text/html; charset=utf-8", headers={"content-security-policy": REPORT})
