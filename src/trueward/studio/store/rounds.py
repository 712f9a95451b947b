"""Closing a round: its answers become a file with a hash, which training reads. Training never reads the live database."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, exists, insert, select, update

from trueward import artifacts
from trueward.data.snapshots import snapshot_path
from trueward.records import ASSISTANT, Comparison, Prompt, Response, line
from trueward.studio import agreement
from trueward.studio.store import counts, criteria, decisions, edits, labels, projects, rankings
from trueward.studio.store import tables as t
from trueward.studio.store.tables import DbRow

CHUNK = 500
DEMONSTRATIONS = "demonstrations"  # where better versions of answers stand, beside the files of criteria


def close(connection: Connection, data: Path, project: DbRow) -> dict[str, Any]:
    """Write the open round's answers to a file, close it and open the next one; returns the snapshot's manifest.

    Items without an answer move to the next round. `ValueError` if there is no answer yet.
    """
    row = projects.open_round(connection, project.id)
    connection.execute(select(t.round_.c.id).where(t.round_.c.id == row.id).with_for_update())
    cast_votes = counts.votes(connection, project.id, row.id)
    decided = decisions.standing(connection, project.id, row.id)
    rows, unused = records(connection, project, cast_votes, decided)
    better = edited(connection, project, cast_votes, decided, row.id)
    rows += [line(edits.comparison(project.name, each)) for each in better]
    if not rows:
        raise ValueError(f"round {row.number} of {project.name} has no answers to keep yet")
    text = "".join(json.dumps(each, ensure_ascii=False, allow_nan=False) + "\n" for each in rows)
    digest = hashlib.sha256(text.encode()).hexdigest()
    now = time.time()
    path = snapshot_path(data, project.name, row.number)
    units = counts.by_pair([v for v in cast_votes if v.check_id is None]) if project.kind != "write" else {}
    kept = standing(cast_votes, decided)
    manifest = {
        "format": 1,
        "project": project.name,
        "kind": project.kind,
        "round": row.number,
        "opened": row.opened,
        "closed": now,
        "sha256": digest,
        "rows": len(rows),
        "items": len({v.item_id for v in [*cast_votes, *decided]}),
        "check_answers": unused,
        "adjudicated": len({row.item_id for row in decided}),
        "edited": len(better),
        "votes_overruled": len({v.event_id for v in cast_votes} - {v.event_id for v in kept}),
        "events": sorted({v.event_id for v in [*kept, *decided] if v.check_id is None}),
        "alpha": agreement.summary(units)["alpha"],
    }
    if better:
        manifest["demonstrations"] = _close_demonstrations(data, project, better, manifest)
    if by_criterion := _close_criteria(connection, data, project, cast_votes, manifest):
        manifest["criteria"] = by_criterion
    artifacts.write_text(path, text)
    artifacts.write_json(path.with_suffix(".json"), manifest)
    connection.execute(update(t.round_).where(t.round_.c.id == row.id).values(closed=now, digest=digest))
    fresh = connection.execute(
        insert(t.round_).values(project_id=project.id, number=row.number + 1, opened=now).returning(t.round_.c.id)
    ).scalar_one()
    has_answer = exists().where(t.assignment.c.item_id == t.item.c.id, t.assignment.c.state == "answered")
    has_decision = exists().where(t.tally.c.item_id == t.item.c.id, t.tally.c.decision_id.is_not(None))
    unanswered = (t.item.c.round_id == row.id, ~has_answer, ~has_decision)
    connection.execute(update(t.item).where(*unanswered).values(round_id=fresh))
    return manifest


def edited(
    connection: Connection, project: DbRow, cast_votes: list[DbRow], decided: list[DbRow], round_id: int | None = None
) -> list[DbRow]:
    """Better versions of answers that count: on items with a vote or a decision, and never on check pairs."""
    items = {row.item_id for row in [*cast_votes, *decided]}
    rows = edits.standing(connection, project.id, round_id)
    return [row for row in rows if row.item_id in items and row.check_id is None]


def _close_demonstrations(data: Path, project: DbRow, better: list[DbRow], manifest: dict[str, Any]) -> str:
    """Write better versions as demonstrations, beside their manifest; their SHA-256."""
    rows = edits.demonstrations(better)
    return _write(
        snapshot_path(data, project.name, manifest["round"], DEMONSTRATIONS), rows, manifest, {"kind": "write"}
    )


def _write(path: Path, rows: list[dict[str, Any]], manifest: dict[str, Any], more: dict[str, Any]) -> str:
    """Write a further file of a round beside its own manifest; its SHA-256."""
    text = "".join(json.dumps(each, ensure_ascii=False, allow_nan=False) + "\n" for each in rows)
    digest = hashlib.sha256(text.encode()).hexdigest()
    about = {key: manifest[key] for key in ("format", "project", "kind", "round", "opened", "closed")}
    artifacts.write_text(path, text)
    artifacts.write_json(path.with_suffix(".json"), {**about, **more, "sha256": digest, "rows": len(rows)})
    return digest


def _close_criteria(
    connection: Connection, data: Path, project: DbRow, cast_votes: list[DbRow], manifest: dict[str, Any]
) -> dict[str, str]:
    """Write what was said to each further question to a file of its own, beside its manifest; their SHA-256 by name."""
    digests = {}
    votes = [vote for vote in cast_votes if vote.check_id is None]
    for criterion in criteria.of(project):
        rows = [line(each) for each in by_criterion(connection, project, votes, criterion.name)]
        if not rows:
            continue
        path = snapshot_path(data, project.name, manifest["round"], criterion.name)
        more = {"criterion": criterion.name, "question": criterion.question}
        digests[criterion.name] = _write(path, rows, manifest, more)
    return digests


def by_criterion(connection: Connection, project: DbRow, votes: list[DbRow], name: str) -> list[Comparison]:
    """What votes say to one of the further questions, as comparisons; those that say nothing to it are left out.

    A reviewer decides the overall question alone, so no decision is among them.
    """
    texts = responses(connection, votes)
    made = []
    for vote in votes:
        if (value := criteria.said(vote.criteria).get(name)) is not None:
            p, strength = criteria.outcome(value)
            source = f"studio:{project.name}:{name}/{vote.name}"
            changes = {"probability": p, "strength": strength, "source": source}
            made.append(comparison(project.name, vote, texts).model_copy(update=changes))
    return made


def records(
    connection: Connection, project: DbRow, cast_votes: list[DbRow], decided: list[DbRow]
) -> tuple[list[dict[str, Any]], int]:
    """Answers as JSONL rows, comparisons or demonstrations; and how many were to check pairs, which are left out.

    A decision stands in the place of its item's votes.
    """
    if project.kind == "write":
        rows = []
        for vote in cast_votes:
            prompt = json.loads(vote.prompt)
            answer = vote.text if "text" in prompt else [{"role": ASSISTANT, "content": vote.text}]
            tools = {"tools": prompt["tools"]} if prompt.get("tools") else {}
            rows.append({"prompt": prompt.get("text") or prompt["messages"], "completion": answer, **tools})
        return rows, 0
    kept = [vote for vote in standing(cast_votes, decided) if vote.check_id is None]
    checks = sum(vote.check_id is not None for vote in cast_votes)
    return [line(each) for each in comparisons(connection, project, kept, decided)], checks


def standing(cast_votes: list[DbRow], decided: list[DbRow]) -> list[DbRow]:
    """The votes on items that no reviewer has decided."""
    over = {row.item_id for row in decided}
    return [vote for vote in cast_votes if vote.item_id not in over]


def comparisons(
    connection: Connection, project: DbRow, cast_votes: list[DbRow], decided: list[DbRow]
) -> list[Comparison]:
    """Votes and decisions as the comparisons that training reads, in the order in which they were made."""
    texts = responses(connection, [*cast_votes, *decided])
    made = [(vote.event_id, comparison(project.name, vote, texts)) for vote in cast_votes]
    made += [(row.event_id, adjudicated(project.name, row, texts)) for row in decided]
    return [each for _, each in sorted(made, key=lambda pair: pair[0])]


def adjudicated(project: str, row: DbRow, texts: dict[int, Response]) -> Comparison:
    """A reviewer's decision as a comparison; its source says that it is one."""
    return Comparison(
        prompt=Prompt.model_validate_json(row.prompt),
        first=texts[row.first_id],
        second=texts[row.second_id],
        probability=decisions.probability(row),
        strength=row.strength,
        source=f"studio:{project}/{row.name}, adjudicated",  # no account's name has a comma
        annotator=row.name,
        group=_group(project, row),
    )


def comparison(project: str, vote: DbRow, texts: dict[int, Response]) -> Comparison:
    """A vote as the `Comparison` that training reads."""
    return Comparison(
        prompt=Prompt.model_validate_json(vote.prompt),
        first=texts[vote.first_id],
        second=texts[vote.second_id],
        probability=counts.probability(vote),
        strength=vote.strength,
        source=f"studio:{project}/{vote.name}",
        annotator=vote.name,
        group=_group(project, vote),
        check=None if vote.check_id is None else "first" if vote.check_id == vote.first_id else "second",
    )


def _group(project: str, row: DbRow) -> str | None:
    """The ranking that a pair is of, one person's of one item."""
    return None if row.ranks is None else f"studio:{project}/{row.item_id}/{row.name}"


def labelled(connection: Connection, project: DbRow) -> list[Comparison]:
    """Models' labels of the project's pairs, as comparisons that name the model."""
    rows = list(labels.all_of(connection, project.id))
    texts = responses(connection, rows)
    return [
        Comparison(
            prompt=Prompt.model_validate_json(row.prompt),
            first=texts[row.first_id],
            second=texts[row.second_id],
            probability=row.probability,
            source="judge",
            annotator=row.judge,
            check=None if row.check_id is None else "first" if row.check_id == row.first_id else "second",
        )
        for row in rows
    ]


def responses(connection: Connection, pairs: list[DbRow]) -> dict[int, Response]:
    """The responses of rows with `first_id` and `second_id`, by id."""
    ids = sorted({i for pair in pairs for i in (pair.first_id, pair.second_id)})
    texts = {}
    for start in range(0, len(ids), CHUNK):
        query = select(t.response).where(t.response.c.id.in_(ids[start : start + CHUNK]))
        for row in connection.execute(query).all():
            texts[row.id] = Response(id=row.name, text=row.text, finished=row.finished)
    return texts


def events(connection: Connection, project: DbRow) -> list[dict[str, Any]]:
    """The whole log of a project, as it happened, with response ids."""
    chosen = t.response.alias("chosen")
    left, first, second = t.response.alias("left"), t.response.alias("first"), t.response.alias("second")
    query = (
        select(
            t.event.c.id, t.event.c.key, t.event.c.at, t.account.c.name.label("account"), t.event.c.kind,
            t.event.c.item_id.label("item"), t.event.c.assignment_id.label("assignment"), chosen.c.name.label("chosen"),
            left.c.name.label("left"), first.c.name.label("first"), second.c.name.label("second"), t.event.c.strength,
            t.event.c.both, t.event.c.text, t.event.c.reason, t.event.c.seconds, t.event.c.supersedes,
            t.event.c.position, t.event.c.read, t.event.c.criteria, t.event.c.ranks,
            t.assignment.c.account_id.label("shown_to"),
            t.item.c.strategy, t.item.c.propensity, t.item.c.prompt,
            t.sitting.c.participant, t.sitting.c.study, t.sitting.c.session,
        )
        .join(t.item, t.item.c.id == t.event.c.item_id)
        .join(t.account, t.account.c.id == t.event.c.account_id)
        .outerjoin(t.assignment, t.assignment.c.id == t.event.c.assignment_id)  # a reviewer's events have none
        .outerjoin(t.sitting, t.sitting.c.account_id == t.event.c.account_id)
        .outerjoin(chosen, chosen.c.id == t.event.c.chosen_id)
        .outerjoin(left, left.c.id == t.assignment.c.left_id)
        .outerjoin(first, first.c.id == t.item.c.first_id)
        .outerjoin(second, second.c.id == t.item.c.second_id)
        .where(t.item.c.project_id == project.id)
        .order_by(t.event.c.id)
    )  # fmt: skip
    rows = [dict(row._mapping) for row in connection.execute(query).all()]
    ranked = rankings.of_items(connection, {row["item"] for row in rows} if project.kind == "rank" else ())
    for row in rows:
        shown_to, names = row.pop("shown_to"), [each.name for each in ranked.get(row["item"], ())]
        if names:  # the item's answers, in the order in which `ranks` has them, and in the order shown
            row["responses"], row["ranks"] = names, json.loads(row["ranks"]) if row["ranks"] else None
        if names and shown_to:
            order = rankings.shown_order(project.secret, row["item"], shown_to, len(names))
            row["order"] = [names[place] for place in order]
        row["prompt"] = json.loads(row["prompt"])
        row["criteria"] = criteria.said(row["criteria"]) or None
        row["assignment"] = row["assignment"] or None
    return [{key: value for key, value in row.items() if value is not None} for row in rows]
