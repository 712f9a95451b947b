"""Runs beside each other over HTTP, and notes on them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import Field

from trueward.studio.api.place import Admin, Body, Here, Reader
from trueward.studio.api.route import Route
from trueward.studio.api.watch import or_404, run_path
from trueward.studio.runs import comparison
from trueward.studio.runs.curves import X
from trueward.studio.store import notes

router = APIRouter(prefix="/api", route_class=Route)
Picked = Annotated[list[Annotated[str, Field(max_length=1000)]], Query(min_length=1, max_length=40)]
Metric = Annotated[str, Query(max_length=200)]


class Noted(Body):
    """A note on a run; an empty one takes it away."""

    text: str = Field(max_length=notes.MOST)


@router.get("/comparison")
def overview(here: Here, person: Reader, run: Picked) -> dict[str, Any]:
    """Runs with their groups, the figures that can be drawn, and the settings in which they differ."""
    result: dict[str, Any] = or_404(lambda: comparison.overview(here.runs, list(dict.fromkeys(run))))
    return result


@router.get("/comparison/curves")
def curves(
    here: Here, person: Reader, run: Picked, metric: Metric, x: X = "step", seeds: bool = False
) -> dict[str, Any]:
    """One figure of several runs, a panel for each set that shares its axes. seeds: those that differ in it are one line."""
    try:
        names = list(dict.fromkeys(run))
        result: dict[str, Any] = or_404(lambda: comparison.figure(here.runs, names, metric, x, seeds))
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    return result


@router.post("/runs/{name:path}/note")
def note(name: str, body: Noted, here: Here, person: Admin) -> dict[str, Any]:
    """Put a note on a run in place of the one that is there; returns it."""
    run_path(name, here)
    return {"note": here.database.write(lambda c: notes.put(c, name, body.text, person.name))}
