"""Projects, their rounds and their items."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select

from trueward.records import Prompt, Response, response_id
from trueward.studio import agreement
from trueward.studio.store import order, settings, tallies
from trueward.studio.store import tables as t
from trueward.studio.store.tables import DbRow

NAME = re.compile(
    r"[^\W_](?:[\w.-]| (?=[\w.-])){0,63}"
)  # a recipe names it: `data.snapshots` and `config.schema` have the same one
KINDS = {"compare": "compare", "rank": "rank answers", "write": "write demonstrations"}  # what people do in each
LEASE_SECONDS = 600.0
CHUNK = 2000
LONGEST_ID, LONGEST_WRITER = 200, 200
IMPORTS = 0x7457_0001  # the number of PostgreSQL's lock for imports


@dataclass(frozen=True)
class Pair:
    """Two answers to judge. writers: who wrote the first and the second. better: 0 or 1 makes it a check pair."""

    prompt: Prompt
    first: Response
    second: Response
    writers: tuple[str, str] = ("", "")
    better: int | None = None
    strategy: str = "random"
    propensity: float = 1.0


@dataclass(frozen=True)
class Slate:
    """Two to nine answers to one prompt that are ranked together, each with a text of its own."""

    prompt: Prompt
    responses: tuple[Response, ...]


def create(
    connection: Connection, name: str, kind: str = "compare", *, instructions: str = "", overlap: int = 1,
    lease_seconds: float = LEASE_SECONDS, check_rate: float | None = None,
) -> int:  # fmt: skip
    """A new project with an open first round; returns its id. `ValueError` if the name is taken or invalid."""
    if not NAME.fullmatch(name) or unicodedata.normalize("NFC", name) != name:
        raise ValueError(f"project {name!r}: expected letters, digits, single spaces and . - _, at most 64")
    if kind not in KINDS:
        raise ValueError(f"project {name}: kind: expected {', '.join(KINDS)}, got {kind!r}")
    if not 1 <= overlap <= 100:
        raise ValueError(f"project {name}: overlap: expected 1 to 100 people an item, got {overlap}")
    if find(connection, name) is not None:
        raise ValueError(f"project {name}: there is one of this name already")
    settings.check_rate(name, check_rate)
    now = time.time()
    values = {
        "name": name,
        "kind": kind,
        "instructions": instructions,
        "overlap": overlap,
        "lease_seconds": lease_seconds,
        "check_rate": check_rate,
        "secret": secrets.token_hex(16),
        "created": now,
    }
    made = int(connection.execute(insert(t.project).values(values).returning(t.project.c.id)).scalar_one())
    connection.execute(insert(t.round_).values(project_id=made, number=1, opened=now))
    return made


def find(connection: Connection, name: str) -> DbRow | None:
    """The project of that name; None if there is none."""
    return connection.execute(select(t.project).where(t.project.c.name == name)).first()


def get(connection: Connection, name: str) -> DbRow:
    """The project. `LookupError` if there is none."""
    if (row := find(connection, name)) is None:
        raise LookupError(f"there is no project {name!r}")
    return row


def working(connection: Connection, name: str) -> DbRow:
    """The project with its open round's id as `round_id` and the `assigned` accounts' ids, in one query.

    `LookupError` if there is none.
    """
    query = (
        select(t.project, t.round_.c.id.label("round_id"), settings.ASSIGNED.label("assigned"))
        .join(t.round_, t.round_.c.project_id == t.project.c.id)
        .where(t.project.c.name == name, t.round_.c.closed.is_(None))
    )
    if (row := connection.execute(query).first()) is None:
        raise LookupError(f"there is no project {name!r}")
    return row


def all_of(connection: Connection) -> Sequence[DbRow]:
    """All projects, oldest first."""
    return connection.execute(select(t.project).order_by(t.project.c.created, t.project.c.id)).all()


def open_round(connection: Connection, project_id: int) -> DbRow:
    """The round that takes answers; every project has one."""
    rounds = select(t.round_).where(t.round_.c.project_id == project_id, t.round_.c.closed.is_(None))
    return connection.execute(rounds).one()


def rounds(connection: Connection, project_id: int) -> Sequence[DbRow]:
    """All rounds of a project, in order."""
    return connection.execute(
        select(t.round_).where(t.round_.c.project_id == project_id).order_by(t.round_.c.number)
    ).all()


def add_pairs(connection: Connection, project: DbRow, pairs: Iterable[Pair], overlap: int | None = None) -> int:
    """Add pairs to the open round; returns how many were new. The same two answers to a prompt are in a project once."""
    fresh = _fresh(connection, project, [(key_of(pair), pair) for pair in pairs])
    if not fresh:
        return 0
    ids = _add_responses(
        connection, [each for _, p in fresh for each in zip((p.first, p.second), p.writers, strict=True)]
    )
    items = []
    round_id = open_round(connection, project.id).id
    for i, (key, pair) in enumerate(fresh):
        sides = ids[2 * i : 2 * i + 2]
        items.append(
            {
                **_item(project, round_id, key, pair.prompt, overlap),
                "first_id": sides[0],
                "second_id": sides[1],
                "check_id": None if pair.better is None else sides[pair.better],
                "strategy": pair.strategy,
                "propensity": pair.propensity,
                "turned": agreement.turned(pair.prompt, pair.first, pair.second),
            }
        )
    _insert(connection, t.item, items)
    tallies.begin(connection, project.id)
    return len(items)


def add_slates(connection: Connection, project: DbRow, sets: Iterable[Slate], overlap: int | None = None) -> int:
    """Add answers to be ranked to the open round; returns how many items were new, of which none is there twice."""
    fresh = _fresh(connection, project, [(key_of(each), each) for each in sets])
    if not fresh:
        return 0
    round_id = open_round(connection, project.id).id
    _insert(connection, t.item, [
        {**_item(project, round_id, key, each.prompt, overlap), "strategy": "random", "propensity": 1.0}
        for key, each in fresh
    ])  # fmt: skip
    numbers: dict[str, int] = {}
    keys = [key for key, _ in fresh]
    for start in range(0, len(keys), CHUNK):
        new = (t.item.c.project_id == project.id) & t.item.c.key.in_(keys[start : start + CHUNK])
        numbers |= {row.key: row.id for row in connection.execute(select(t.item.c.key, t.item.c.id).where(new))}
    ids = iter(_add_responses(connection, [(side, "") for _, each in fresh for side in each.responses]))
    _insert(connection, t.candidate, [
        {"item_id": numbers[key], "place": place, "response_id": next(ids)}
        for key, each in fresh for place in range(len(each.responses))
    ])  # fmt: skip
    tallies.begin(connection, project.id)
    return len(fresh)


def _add_responses(connection: Connection, responses: Sequence[tuple[Response, str]]) -> list[int]:
    """Add responses with their writers, in one statement; their ids."""
    # ids go on from the highest one, which the write lock reserves
    base = _next_id(connection, t.response, len(responses))
    rows = []
    for number, (side, writer) in enumerate(responses, base):
        if len(side.id) > LONGEST_ID:
            raise ValueError(f"the id of a response has {len(side.id)} characters, expected at most {LONGEST_ID}")
        about = {"name": side.id, "text": side.text, "finished": side.finished}
        rows.append({"id": number, **about, "writer": writer[:LONGEST_WRITER]})
    _insert(connection, t.response, rows)
    return list(range(base, base + len(rows)))


def add_prompts(connection: Connection, project: DbRow, prompts: Iterable[Prompt], overlap: int | None = None) -> int:
    """Add prompts to be answered to the open round; returns how many were new."""
    fresh = _fresh(connection, project, [(_key(prompt, []), prompt) for prompt in prompts])
    round_id = open_round(connection, project.id).id
    rows = [
        {**_item(project, round_id, key, prompt, overlap), "strategy": "random", "propensity": 1.0}
        for key, prompt in fresh
    ]
    _insert(connection, t.item, rows)
    tallies.begin(connection, project.id)
    return len(rows)


def unknown(connection: Connection, project: DbRow, given: Iterable[Pair | Slate | Prompt]) -> int:
    """How many of these pairs, answers to rank or prompts are not in the project yet."""
    made = [(_key(each, []) if isinstance(each, Prompt) else key_of(each), each) for each in given]
    return len(_fresh(connection, project, made))


def pair(prompt: Prompt, texts: tuple[str, str], writers: tuple[str, str], finished: tuple[bool, bool]) -> Pair:
    """A pair of answers given as texts, without ids."""
    first, second = (
        Response(id=response_id(prompt, text), text=text, finished=done)
        for text, done in zip(texts, finished, strict=True)
    )
    return Pair(prompt, first, second, writers)


def _item(project: DbRow, round_id: int, key: str, prompt: Prompt, overlap: int | None) -> dict[str, Any]:
    needed = overlap or project.overlap
    return {
        "project_id": project.id,
        "round_id": round_id,
        "key": key,
        "place": order.place(project.secret, key),
        "prompt": prompt.model_dump_json(exclude_defaults=True),
        "needed": needed,
        "spare": needed,
    }


def key_of(given: Pair | Slate) -> str:
    """The key that identifies a pair, or answers to rank, in a project. `ValueError` if two responses are equal."""
    responses = (given.first, given.second) if isinstance(given, Pair) else given.responses
    sides = sorted((side.text, side.finished) for side in responses)
    if len(set(sides)) < len(sides):
        raise ValueError("the two responses are identical")
    return _key(given.prompt, sides)


def _key(prompt: Prompt, sides: list[Any]) -> str:
    return hashlib.sha256(json.dumps([prompt.id, sides], ensure_ascii=True).encode()).hexdigest()


def _fresh(connection: Connection, project: DbRow, made: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    unique = dict(made)
    keys = list(unique)
    known: set[str] = set()
    for start in range(0, len(keys), CHUNK):
        some = t.item.c.key.in_(keys[start : start + CHUNK])
        known |= set(connection.scalars(select(t.item.c.key).where(t.item.c.project_id == project.id, some)))
    return [(key, value) for key, value in unique.items() if key not in known]


def _next_id(connection: Connection, table: Any, count: int) -> int:
    """The first of `count` consecutive ids that no other writer takes."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(IMPORTS)))  # two imports take turns
        sequence = func.pg_get_serial_sequence(table.name, "id")
        taken = connection.execute(select(func.nextval(sequence)).select_from(func.generate_series(1, count))).scalars()
        ids = sorted(taken)
        if ids[-1] - ids[0] == count - 1:
            return int(ids[0])
        raise RuntimeError("somebody else is importing at this moment; try again")
    return int(connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one()) + 1


def _insert(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), CHUNK):
        connection.execute(insert(table), rows[start : start + CHUNK])
