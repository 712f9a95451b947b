"""What can be changed of a project while it lives: what people are told, how many an item takes, who works in it, its end."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, String, cast, delete, func, insert, select, update

from trueward.studio.store import criteria
from trueward.studio.store import tables as t
from trueward.studio.store.tables import DbRow

SKIP_REASONS = ("I can't judge this", "The prompt makes no sense", "Harmful content", "Broken text", "Something else")
MOST_REASONS, LONGEST_REASON = 9, 100
MOST_OVERLAP = 100
# ids of the accounts that are assigned, as one text; none: everybody may work
ASSIGNED = (
    select(func.aggregate_strings(cast(t.assignee.c.account_id, String), ","))
    .where(t.assignee.c.project_id == t.project.c.id)
    .correlate(t.project)
    .scalar_subquery()
)


def change(connection: Connection, project: DbRow, **values: Any) -> None:
    """Change a project. `ValueError` for a value that it can't have.

    instructions, check_rate: as they are given to `projects.create`. overlap: of what is imported from now on, and of the open
    round's items that have the present one. skip_reasons: texts, or None for the usual ones. criteria: the questions beside
    the overall one. archived: whether nobody works in it any more. assigned: names of accounts that work in it; none:
    everybody may.
    """
    if "check_rate" in values:
        check_rate(project.name, values["check_rate"])
    if (overlap := values.get("overlap", project.overlap)) != project.overlap:
        _overlap(connection, project, overlap)
    if "skip_reasons" in values:
        values["skip_reasons"] = _reasons(project, values["skip_reasons"])
    if "criteria" in values:
        values["criteria"] = criteria.written(project.name, values["criteria"])
        if values["criteria"] and project.kind != "compare":
            raise ValueError(
                f"project {project.name}: criteria: people {project.kind} in it, so that there is no pair to ask about"
            )
    if "archived" in values:
        values["archived"] = (project.archived or time.time()) if values["archived"] else None
    if (names := values.pop("assigned", None)) is not None:
        _assign(connection, project, names)
    if values:
        connection.execute(update(t.project).where(t.project.c.id == project.id).values(values))


def check_rate(name: str, rate: float | None) -> None:
    """`ValueError` for a rate of check pairs that isn't 0 to 0.5."""
    if rate is not None and not 0 <= rate <= 0.5:
        raise ValueError(f"project {name}: check_rate: expected 0 to 0.5 of each person's items, got {rate}")


def reasons(project: DbRow) -> list[str]:
    """The reasons for skipping that a project's page offers."""
    return list(json.loads(project.skip_reasons)) if project.skip_reasons else list(SKIP_REASONS)


def assigned(connection: Connection, project_id: int) -> list[DbRow]:
    """The accounts that work in a project, by name; none: everybody may."""
    query = (
        select(t.account)
        .join(t.assignee, t.assignee.c.account_id == t.account.c.id)
        .where(t.assignee.c.project_id == project_id)
        .order_by(t.account.c.name)
    )
    return list(connection.execute(query).all())


def elsewhere(connection: Connection, account_id: int) -> set[int]:
    """The projects that others are assigned to, and this account isn't."""
    mine = select(t.assignee.c.project_id).where(t.assignee.c.account_id == account_id)
    return set(connection.scalars(select(t.assignee.c.project_id).where(t.assignee.c.project_id.not_in(mine))))


def may_work(project: DbRow, account_id: int) -> bool:
    """Whether somebody is assigned, or nobody is. project: of `projects.working`."""
    return not project.assigned or str(account_id) in project.assigned.split(",")


def _overlap(connection: Connection, project: DbRow, overlap: int) -> None:
    """People an item. What has more answers already keeps them all; what has fewer is asked again."""
    if not 1 <= overlap <= MOST_OVERLAP:
        raise ValueError(f"project {project.name}: overlap: expected 1 to {MOST_OVERLAP} people an item, got {overlap}")
    now_open = select(t.round_.c.id).where(t.round_.c.project_id == project.id, t.round_.c.closed.is_(None))
    usual = t.item.c.round_id.in_(now_open) & (t.item.c.needed == project.overlap)
    ids = select(t.item.c.id).where(usual)
    connection.execute(update(t.tally).where(t.tally.c.item_id.in_(ids)).values(needed=overlap))
    spare = t.item.c.spare + (overlap - project.overlap)  # below 0 where more answered than are needed now
    connection.execute(update(t.item).where(usual).values(needed=overlap, spare=spare))


def _reasons(project: DbRow, texts: Sequence[str] | None) -> str | None:
    if texts is None:
        return None
    kept = list(dict.fromkeys(text.strip() for text in texts))
    if not 1 <= len(kept) <= MOST_REASONS or not all(1 <= len(text) <= LONGEST_REASON for text in kept):
        raise ValueError(
            f"project {project.name}: skip_reasons: expected 1 to {MOST_REASONS} texts of at most {LONGEST_REASON} characters"
        )
    return json.dumps(kept, ensure_ascii=False)


def _assign(connection: Connection, project: DbRow, names: Sequence[str]) -> None:
    rows = connection.execute(select(t.account).where(t.account.c.name.in_(list(names)))).all()
    if missing := sorted(set(names) - {row.name for row in rows}):
        raise ValueError(f"project {project.name}: assigned: there is no account {missing[0]!r}")
    if watching := [row.name for row in rows if row.role not in ("annotator", "admin")]:
        raise ValueError(f"project {project.name}: assigned: {watching[0]} can only watch")
    connection.execute(delete(t.assignee).where(t.assignee.c.project_id == project.id))
    if rows:
        connection.execute(insert(t.assignee), [{"project_id": project.id, "account_id": row.id} for row in rows])
