"""Runs over HTTP: a table, one run, its series and samples, and a stream of new rows."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import Field
from sqlalchemy.exc import DBAPIError as DatabaseError
from starlette.concurrency import run_in_threadpool

from trueward.records import Prompt
from trueward.studio.api import place
from trueward.studio.api.place import MOST_NUMBER, MOST_STREAMS, Admin, Body, Here, Person, Reader, Studio
from trueward.studio.api.route import Route
from trueward.studio.api.work import named
from trueward.studio.runs import files, frontiers, log, state, sweeps
from trueward.studio.runs.library import STAGES, pipeline_stages
from trueward.studio.store import notes, projects, tags

router = APIRouter(prefix="/api", route_class=Route)
EVALUATIONS = "policy/evaluations"
LOGS = {**{f"{stage}/metrics": f"{stage}/metrics.jsonl" for stage in STAGES}, EVALUATIONS: "policy/evaluations.jsonl"}
PICTURE = "default-src 'none'; style-src 'unsafe-inline'"  # a chart has inline styles and loads nothing
EVERY, BATCH = 0.5, 500
Several = Annotated[list[str], Query(min_length=2, max_length=40)]
Limit = Annotated[int, Query(ge=10, le=20_000)]
Step = Annotated[int | None, Query(ge=0, le=MOST_NUMBER)]
Cursor = Annotated[str, Query(max_length=500)]
LastEvent = Annotated[str | None, Header(max_length=500)]
MANY_STREAMS = f"at most {MOST_STREAMS} pages of one account can follow runs at a time"


class Sent(Body):
    """A pair from a run's samples, by its step and index."""

    project: str = Field(max_length=64)
    step: int = Field(ge=0, le=MOST_NUMBER)
    index: int = Field(ge=0, le=MOST_NUMBER)


class Tagged(Body):
    """Tags to add to a run and to remove."""

    add: list[Annotated[str, Field(max_length=40)]] = Field([], max_length=20)
    remove: list[Annotated[str, Field(max_length=40)]] = Field([], max_length=20)


def or_404(work: Any) -> Any:
    """The result of `work`; a `LookupError` becomes error 404."""
    try:
        return work()
    except LookupError as error:
        raise HTTPException(404, str(error)) from None


@router.get("/runs")
def table(here: Here, person: Reader) -> list[dict[str, Any]]:
    """A row for each run, with its tags and its note."""
    with here.database.reading() as connection:
        tagged, noted = tags.all_of(connection), notes.all_of(connection)
    rows = here.runs.table()
    return [{**row, "tags": tagged.get(row["name"], []), "note": noted.get(row["name"])} for row in rows]


@router.get("/frontier")
def frontier(here: Here, person: Reader, run: Several) -> dict[str, Any]:
    """The headline and notes of the frontier of several finished runs; or why they share no axis."""
    try:
        result: dict[str, Any] = or_404(lambda: frontiers.summary(here.runs, run))
    except ValueError as error:
        return {"problem": str(error)}
    return result


@router.get("/frontier.svg")
def frontier_picture(here: Here, person: Reader, run: Several, narrow: bool = False) -> Response:
    """The chart of `trueward frontier`."""
    try:
        drawn: str = or_404(lambda: frontiers.picture(here.runs, run, narrow))
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    return Response(drawn, media_type="image/svg+xml", headers={"content-security-policy": PICTURE})


@router.get("/sweeps")
def all_sweeps(here: Here, person: Reader) -> list[dict[str, Any]]:
    """A row for each sweep."""
    return sweeps.all_of(here.runs.home)


@router.get("/sweeps/{name:path}/{kind}.svg")
def picture(name: str, kind: sweeps.Picture, here: Here, person: Reader, narrow: bool = False) -> Response:
    """A chart of a sweep's page as an SVG file, which is displayed and never executed."""
    drawn: str = or_404(lambda: sweeps.picture(here.runs.home, name, kind, narrow))
    return Response(drawn, media_type="image/svg+xml", headers={"content-security-policy": PICTURE})


@router.get("/sweeps/{name:path}")
def one_sweep(name: str, here: Here, person: Reader) -> dict[str, Any]:
    """The contents of a sweep's page."""
    result: dict[str, Any] = or_404(lambda: sweeps.one(here.runs.home, name))
    return result


@router.get("/runs/{name:path}/series/{stage}")
def series(name: str, stage: str, here: Here, person: Reader, most: Limit = 1500) -> dict[str, Any]:
    """A stage's metrics in buckets."""
    result: dict[str, Any] = or_404(lambda: here.runs.series(name, stage, most))
    return result


@router.get("/runs/{name:path}/samples")
def samples(name: str, here: Here, person: Reader, step: Step = None) -> dict[str, Any]:
    """The samples of a step, the last one if none is given."""
    result: dict[str, Any] = or_404(lambda: here.runs.samples(name, step))
    return result


def run_path(name: str, here: Here) -> Path:
    """A run's directory; error 404 if there is none."""
    path: Path = or_404(lambda: here.runs.path(name))
    return path


async def one_stream(here: Here, person: Reader) -> AsyncIterator[None]:
    """Counts an account's open event streams; error 429 for too many."""
    if here.streams[person.id] >= MOST_STREAMS:
        raise HTTPException(429, MANY_STREAMS)
    here.streams[person.id] += 1
    try:
        yield
    finally:
        here.streams[person.id] -= 1


@router.get("/runs/{name:path}/events", response_class=EventSourceResponse, dependencies=[Depends(one_stream)])
async def events(
    here: Here,
    person: Reader,
    path: Annotated[Path, Depends(run_path)],
    start: Cursor = "{}",
    last_event_id: LastEvent = None,
) -> AsyncIterator[ServerSentEvent]:
    """What a run writes, as it writes it. The id of an event holds the offsets in all logs, so a lost stream can resume.

    It ends when its viewer's session or token does, or may no longer watch.
    """
    following = Following(path, _cursor(last_event_id or start))
    while (still := await run_in_threadpool(may_watch, here, person)) is not False:
        if still:
            for event in await run_in_threadpool(following.poll):
                yield event
        await asyncio.sleep(EVERY)


def may_watch(here: Studio, person: Person) -> bool | None:
    """Whether a stream's viewer still stands and may watch; None while the database doesn't answer, which shows nothing new."""
    try:
        now = place.holder(here, person.hashed, person.by)
    except DatabaseError:
        return None
    return now is not None and now.role != "annotator"


@router.post("/runs/{name:path}/pairs")
def send(name: str, body: Sent, here: Here, person: Admin) -> dict[str, Any]:
    """Put the two answers of a sample, the SFT policy's and the policy's, into a project's open round."""
    rows = or_404(lambda: here.runs.samples(name, body.step))["samples"]
    if body.index >= len(rows) or not {"prompt", "reference", "response"} <= rows[body.index].keys():
        raise HTTPException(404, "there is no such pair")
    row = rows[body.index]
    texts = (str(row["reference"]), str(row["response"]))
    writers = (f"{name}/sft", f"{name}/policy@{body.step}")
    ended = (bool(row.get("reference_finished", True)), bool(row.get("finished", True)))
    made = projects.pair(Prompt(text=str(row["prompt"])), texts, writers, ended)
    try:
        added = here.database.write(lambda c: projects.add_pairs(c, named(c, body.project), [made]))
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    return {"added": added}


@router.post("/runs/{name:path}/tags")
def tag(name: str, body: Tagged, here: Here, person: Admin) -> dict[str, Any]:
    """Add tags to a run and remove others; returns its tags."""
    run_path(name, here)
    try:
        return {"tags": here.database.write(lambda c: tags.change(c, name, body.add, body.remove))}
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


@router.get("/runs/{name:path}")
def one(name: str, here: Here, person: Reader) -> dict[str, Any]:
    """All of a run but its metrics, with its tags and its note."""
    result: dict[str, Any] = or_404(lambda: here.runs.run(name))
    with here.database.reading() as connection:
        return {**result, "tags": tags.of(connection, name), "note": notes.of(connection, name)}


class Following:
    """Reads a run's logs as they grow.

    Events: `rows` (new rows of a log), `again` (the log was truncated: discard its rows) and `state` (state and stages).
    """

    def __init__(self, path: Path, cursor: dict[str, int]) -> None:
        self.path, self.cursor, self.last_state = path, cursor, ""

    def poll(self) -> list[ServerSentEvent]:
        """The events since the last call."""
        sent = []
        for key, file in LOGS.items():
            new = log.new_rows(self.path / file, self.cursor.get(key, 0))
            if new is None:
                self.cursor.pop(key, None)
                sent.append(self._event("again", {"log": key}))
                new = log.new_rows(self.path / file, 0) or ([], 0)
            for start in range(
                0, len(new[0]), BATCH
            ):  # the offset moves with the last part: a part may be sent twice, and is never lost
                if start + BATCH >= len(new[0]):
                    self.cursor[key] = new[1]
                sent.append(self._event("rows", {"log": key, "rows": _cleaned(new[0][start : start + BATCH])}))
        stages = pipeline_stages(self.path)
        now = {"state": state.state(self.path, stages, state.held()), "stages": stages}
        if (text := json.dumps(now)) != self.last_state:
            self.last_state = text
            sent.append(self._event("state", now))
        return sent

    def _event(self, kind: str, data: dict[str, Any]) -> ServerSentEvent:
        return ServerSentEvent(event=kind, data=data, id=json.dumps(self.cursor))


def _cleaned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that can be sent; one that is nested too deeply is left out."""
    sent = []
    for row in rows:
        with contextlib.suppress(RecursionError):
            sent.append(files.clean(row))
    return sent


def _cursor(text: str) -> dict[str, int]:
    """The offsets in the logs, from an event's id; the start if it is invalid."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(table, dict):
        return {}
    return {key: n for key, n in table.items() if key in LOGS and type(n) is int and 0 <= n <= MOST_NUMBER}
