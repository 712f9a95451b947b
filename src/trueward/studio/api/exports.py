"""What people said in a project, as files: in every form that is imported, and in some that only a studio has."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Response
from sqlalchemy import Connection

from trueward.data import comparisons as compared
from trueward.data import sheets
from trueward.records import Comparison, line
from trueward.studio import agreement
from trueward.studio.api.manage import checked
from trueward.studio.api.place import Admin, Here
from trueward.studio.api.route import Route
from trueward.studio.api.work import named
from trueward.studio.store import counts, criteria, decisions, edits, rounds
from trueward.studio.store.tables import DbRow

router = APIRouter(prefix="/api", route_class=Route)
Format = Literal[
    "own", "trl", "trl-conversational", "trl-implicit", "hh", "rankings", "table", "parquet", "csv", "votes", "events",
    "demonstrations", "checks", "judges",
]  # fmt: skip
OVER = "votes that a reviewer's decision stands for"
JSONL = "application/x-ndjson"
# ending, kind of content, and what `comparisons.write` calls it, where that is another name
FILES = {
    "table": ("table.csv", "text/csv", "csv"),
    "parquet": ("parquet", "application/vnd.apache.parquet", "parquet"),
}


@router.get("/projects/{name}/export")
def export(
    name: str, here: Here, person: Admin, form: Format = "own", criterion: Annotated[str, Query(max_length=32)] = ""
) -> Response:
    """All counted answers of a project as a file. A header counts, as JSON, what the format can't hold.

    criterion: of one of its further questions, in the forms of comparisons.
    A reviewer's decision stands in the place of its item's votes, and its source says so; `votes` are as they were cast.
    """
    with here.database.reading() as connection:
        project = named(connection, name)
        if form == "events":
            return file(f"{name}.events.jsonl", _lines(rounds.events(connection, project)))
        votes, decided = counts.votes(connection, project.id), decisions.standing(connection, project.id)
        if form == "csv":
            return file(f"{name}.csv", _csv(connection, project, votes, decided), "text/csv")
        if form != "demonstrations" and project.kind == "write":
            raise HTTPException(422, f"{form}: not a form for a project to write")
        better = rounds.edited(connection, project, votes, decided)
        if form == "demonstrations":
            written = rounds.records(connection, project, votes, [])[0] if project.kind == "write" else None
            return file(f"{name}.{form}.jsonl", _lines(edits.demonstrations(better) if written is None else written))
        if form == "judges":
            return _whole(name, form, rounds.labelled(connection, project))
        wanted = [vote for vote in votes if (vote.check_id is None) == (form != "checks")]
        if form in ("checks", "votes"):
            return _whole(name, form, rounds.comparisons(connection, project, wanted, []))
        if criterion:
            records = _of_criterion(connection, project, wanted, criterion)
            response, lost = _written(f"{name}.{criterion}", form, records)
            lost["answers that say nothing to it"] = len(wanted) - len(records)
            response.headers["x-left-out"] = json.dumps({key: n for key, n in lost.items() if n})
            return response
        kept = rounds.standing(wanted, decided)
        records = rounds.comparisons(connection, project, kept, decided)
        records += [edits.comparison(name, row) for row in better]
    response, lost = _written(name, form, records)
    lost["both good or both bad"] = sum(vote.both is not None for vote in kept)
    lost["rationales"] = len({vote.event_id for vote in kept if vote.text is not None})
    lost["check pairs"] = len(votes) - len(wanted)
    lost[OVER] = len({vote.event_id for vote in wanted} - {vote.event_id for vote in kept})
    response.headers["x-left-out"] = json.dumps({key: n for key, n in lost.items() if n})
    return response


def _of_criterion(connection: Connection, project: DbRow, votes: list[DbRow], criterion: str) -> list[Comparison]:
    names = [each.name for each in criteria.of(project)]
    if criterion not in names:
        raise HTTPException(
            422, f"criterion: expected {', '.join(names) or 'none, the project has none'}, got {criterion!r}"
        )
    return rounds.by_criterion(connection, project, votes, criterion)


def _whole(name: str, form: str, records: list[Comparison]) -> Response:
    return file(f"{name}.{form}.jsonl", _lines([line(each) for each in records]))


def _written(name: str, form: str, records: list[Comparison]) -> tuple[Response, dict[str, int]]:
    ending, kind, called = FILES.get(form, (f"{form}.jsonl", JSONL, form))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"export.{ending}"
        dropped = checked(lambda: compared.write(path, records, called))
        return file(f"{name}.{ending}", path.read_bytes(), kind), dict(dropped)


def _csv(connection: Connection, project: DbRow, votes: list[DbRow], decided: list[DbRow]) -> str:
    """One row a pair: margin, votes and agreement beside the texts, and what a reviewer decided."""
    by_pair: dict[Any, list[DbRow]] = {_pair_of(row): [] for row in decided}
    for vote in votes:
        if vote.check_id is None:
            by_pair.setdefault(_pair_of(vote), []).append(vote)
    out = io.StringIO()
    table = csv.writer(out)
    if project.kind == "write":
        table.writerow(["prompt", "completion", "account", "at"])
        table.writerows([sheets.quoted(_prompt(v)), sheets.quoted(v.text), v.name, v.at] for v in votes)
        return out.getvalue()
    over = {_pair_of(row): row for row in decided}
    rows = {item: (cast or [over[item]])[0] for item, cast in by_pair.items()}
    texts = rounds.responses(connection, list(rows.values()))
    table.writerow(["prompt", "first", "second", "votes", "probability", "margin", "agreement", "adjudicated"])
    for item, cast in by_pair.items():
        ps = [counts.probability(v) for v in cast]
        signed = [(v.strength or 1) * (2 * p - 1) for v, p in zip(cast, ps, strict=True)]
        agree = agreement.raw(ps)
        first, second = texts[rows[item].first_id].text, texts[rows[item].second_id].text
        figures = (sum(ps) / len(ps), sum(signed) / len(signed)) if cast else ("", "")
        decision = decisions.probability(over[item]) if item in over else ""
        cells = [sheets.quoted(_prompt(rows[item])), sheets.quoted(first), sheets.quoted(second)]
        table.writerow([*cells, len(cast), *figures, "" if agree is None else agree, decision])
    return out.getvalue()


def _pair_of(row: DbRow) -> tuple[int, int, int]:
    """An item and two of its answers; a ranked one has several such pairs."""
    return row.item_id, row.first_id, row.second_id


def _prompt(vote: DbRow) -> str:
    prompt = json.loads(vote.prompt)
    return str(prompt.get("text") or "\n".join(f"{m['role']}: {m['content']}" for m in prompt["messages"]))


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def file(name: str, content: str | bytes, kind: str = JSONL) -> Response:
    """A file to save, by its name in any script."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    header = f'attachment; filename="{plain}"'
    if plain != name:
        header += f"; filename*=UTF-8''{quote(name)}"
    return Response(content, media_type=kind, headers={"content-disposition": header})
