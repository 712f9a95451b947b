"""The tables. Times are seconds since 1970 in UTC, because SQLite keeps no time zones."""

from __future__ import annotations

from typing import Any, TypeAlias

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from trueward.studio.store.exact_text import ExactText

DbRow: TypeAlias = Row[*tuple[Any, ...]]  # a row of any query

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# A person, or the owner of the machine. `password`: Argon2, none until one is chosen. `seen`: when they last asked for work or
# opened a page, to about a minute. `link_wanted`: since when they ask for a new link.
account = Table(
    "account",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("password", String(200)),
    Column("active", Boolean, nullable=False),
    Column("created", Float, nullable=False),
    Column("seen", Float),
    Column("link_wanted", Float),
)

# Secrets that stand for an account, by their SHA-256: `session` (a cookie), `invite` (works once), `token` (scripts).
credential = Table(
    "credential",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("label", String(80), nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("used", Float),
)
Index("ix_credential_account_id", credential.c.account_id)

# `kind`: compare, rank or write. `secret` decides which answer stands on which side, and who gets which item when.
# `check_rate`: of each person's items, how many are check pairs; none: they come as they are spread among the others.
# `skip_reasons`: a list as JSON; none: the usual ones. `criteria`: questions beside the overall one, as JSON. `archived`:
# since when nobody works in it.
project = Table(
    "project",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("instructions", Text, nullable=False),
    Column("overlap", Integer, nullable=False),
    Column("lease_seconds", Float, nullable=False),
    Column("check_rate", Float),
    Column("secret", String(64), nullable=False),
    Column("created", Float, nullable=False),
    Column("skip_reasons", Text),
    Column("criteria", Text),
    Column("archived", Float),
)

round_ = Table(
    "round",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("opened", Float, nullable=False),
    Column("closed", Float),
    Column("digest", String(64)),
    UniqueConstraint("project_id", "number"),
)

# `name` is the response's id as records know it; `writer` is the model or the person, and no annotator sees it.
response = Table(
    "response",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("text", ExactText, nullable=False),
    Column("finished", Boolean, nullable=False),
    Column("writer", String(200), nullable=False),
)

# A prompt with two responses (compare), or none of its own (rank, write). `spare`: how many people may still take it.
# `check_id`: the response that is known to be better. `key`: what it was made from, so that importing twice adds nothing.
# `turned`: whether a vote for the first counts as one for B where agreement is measured. `place`: in the shuffled order of
# its project.
item = Table(
    "item",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("round_id", ForeignKey("round.id"), nullable=False),
    Column("key", String(64), nullable=False),
    Column("prompt", Text, nullable=False),
    Column("first_id", ForeignKey("response.id")),
    Column("second_id", ForeignKey("response.id")),
    Column("check_id", ForeignKey("response.id")),
    Column("needed", Integer, nullable=False),
    Column("spare", Integer, nullable=False),
    Column("strategy", String(16), nullable=False),
    Column("propensity", Float, nullable=False),
    Column("turned", Boolean),
    Column("place", Integer, nullable=False, server_default="0"),
    UniqueConstraint("project_id", "key"),
)
_PLACES = (item.c.round_id, item.c.place, item.c.id)
Index("ix_item_queue", *_PLACES, sqlite_where=text("spare > 0"), postgresql_where=text("spare > 0"))
_CHECKS = text("spare > 0 AND check_id IS NOT NULL")
Index("ix_item_checks", *_PLACES, sqlite_where=_CHECKS, postgresql_where=_CHECKS)

# The answers of an item that people rank: two to nine, in the order of the import. Such an item has no first and no second.
candidate = Table(
    "candidate",
    metadata,
    Column("item_id", ForeignKey("item.id"), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("response_id", ForeignKey("response.id"), nullable=False),
)

# One person's turn at one item. `state`: leased, released, answered, skipped, surplus (came when no more were needed),
# excluded. `answer_id`: the event that counts now. `position`: it was the so-manieth item of the project for this person.
assignment = Table(
    "assignment",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("item_id", ForeignKey("item.id"), nullable=False),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("left_id", ForeignKey("response.id")),
    Column("state", String(16), nullable=False),
    Column("leased_until", Float, nullable=False),
    Column("answer_id", ForeignKey("event.id")),
    Column("position", Integer),
    UniqueConstraint("item_id", "account_id"),
)
Index("ix_assignment_leases", assignment.c.leased_until, sqlite_where=text("state = 'leased'"),
      postgresql_where=text("state = 'leased'"))  # fmt: skip
Index("ix_assignment_account", assignment.c.account_id, assignment.c.state)

# What happened: appended and never changed (a trigger refuses). `kind`: win, tie, rank, skip, write, undo, exclude, include; a
# reviewer's adjudicate (no `chosen_id`: a tie), withdraw and comment, which belong to no `assignment_id`. `supersedes`: the
# event that no longer counts. `key`: the same click sent twice is one event. `seconds`: from seeing to answering. `position`:
# the assignment's at that time. `read`: whether all answers were on the screen to their ends. `criteria`, `ranks`: see there.
event = Table(
    "event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(64), nullable=False, unique=True),
    Column("at", Float, nullable=False),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("item_id", ForeignKey("item.id"), nullable=False),
    Column("assignment_id", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("chosen_id", ForeignKey("response.id")),
    Column("strength", Integer),
    Column("both", String(8)),
    Column("text", Text),
    Column("reason", Text),
    Column("seconds", Float),
    Column("supersedes", ForeignKey("event.id")),
    Column("position", Integer),
    Column("read", Boolean),
    Column("criteria", Text),
    Column("ranks", Text),
)
Index("ix_event_account", event.c.account_id, event.c.id)
Index("ix_event_item", event.c.item_id)

# What people said of an item, counted, so that a desk with thousands of items finds and sorts them at once: written again in
# the transaction of each event (`tallies`). `for_first`, `for_second`, `ties`: of the `votes` that count. `failed`: votes that
# missed a check pair's outcome. `quickest`: seconds of the quickest vote. `decision_id`: the decision that
# stands. `alike`: of rankings, the share of equal choices.
tally = Table(
    "tally",
    metadata,
    Column("item_id", ForeignKey("item.id"), primary_key=True),
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("needed", Integer, nullable=False),
    Column("votes", Integer, nullable=False),
    Column("for_first", Integer, nullable=False),
    Column("for_second", Integer, nullable=False),
    Column("ties", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("skipped", Integer, nullable=False),
    Column("excluded", Integer, nullable=False),
    Column("comments", Integer, nullable=False),
    Column("quickest", Float),
    Column("last_at", Float),
    Column("decision_id", ForeignKey("event.id")),
    Column("alike", Float),
)
Index("ix_tally_project", tally.c.project_id, tally.c.last_at, tally.c.item_id)

# Who works in a project; where nobody is named, everybody may.
assignee = Table(
    "assignee",
    metadata,
    Column("project_id", ForeignKey("project.id"), primary_key=True),
    Column("account_id", ForeignKey("account.id"), primary_key=True),
)

# A link that many people of a panel open. `hash`: of its key. `quota`: items that each of them judges. `places`: people.
# `code`, `redirect`: what they are shown at the end.
panel = Table(
    "panel",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("quota", Integer, nullable=False),
    Column("places", Integer, nullable=False),
    Column("code", String(100), nullable=False),
    Column("redirect", String(500), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created", Float, nullable=False),
)

# One member of a panel at work, with an account that was made for it. `participant`, `study`, `session`: what the panel calls
# them (Prolific's PROLIFIC_PID, STUDY_ID, SESSION_ID); no participant if the link named none. `completed`: when it was done.
sitting = Table(
    "sitting",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("panel_id", ForeignKey("panel.id"), nullable=False),
    Column("account_id", ForeignKey("account.id"), nullable=False, unique=True),
    Column("participant", String(200)),
    Column("study", String(200), nullable=False),
    Column("session", String(200), nullable=False),
    Column("began", Float, nullable=False),
    Column("completed", Float),
    UniqueConstraint("panel_id", "participant"),
)

# A model's label of a pair, beside people's votes and never among them. `judge`: its name. `probability`: that the item's
# first response is the better one.
label = Table(
    "label",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("item_id", ForeignKey("item.id"), nullable=False),
    Column("judge", String(200), nullable=False),
    Column("probability", Float, nullable=False),
    Column("at", Float, nullable=False),
    UniqueConstraint("item_id", "judge"),
)

# A word that somebody put on a run; runs themselves are files, which the studio never writes.
tag = Table(
    "tag",
    metadata,
    Column("run", String(400), primary_key=True),
    Column("name", String(40), primary_key=True),
)

# Some sentences on a run. `by`: the name of whoever wrote them last.
run_note = Table(
    "run_note",
    metadata,
    Column("run", String(400), primary_key=True),
    Column("text", ExactText, nullable=False),
    Column("by", String(200), nullable=False),
    Column("at", Float, nullable=False),
)
