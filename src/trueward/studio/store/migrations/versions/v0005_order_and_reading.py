"""An order of their own for annotators, the rate of check pairs, and what an answer says of how it was read.

Revision ID: 0005
"""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add places, positions and the rate; every item gets its place, and older answers have no position."""
    op.add_column("project", sa.Column("check_rate", sa.Float(), nullable=True))
    op.add_column("assignment", sa.Column("position", sa.Integer(), nullable=True))
    op.add_column("event", sa.Column("position", sa.Integer(), nullable=True))
    op.add_column("event", sa.Column("read", sa.Boolean(), nullable=True))
    op.add_column("item", sa.Column("place", sa.Integer(), nullable=False, server_default="0"))
    shuffle(op.get_bind())
    op.drop_index("ix_item_queue", table_name="item")
    free = sa.text("spare > 0")
    columns = ["round_id", "place", "id"]
    op.create_index("ix_item_queue", "item", columns, sqlite_where=free, postgresql_where=free)
    checks = sa.text("spare > 0 AND check_id IS NOT NULL")
    op.create_index("ix_item_checks", "item", columns, sqlite_where=checks, postgresql_where=checks)


def shuffle(connection: sa.Connection) -> None:
    """Give each item its place, by a hash of the project's secret and the item's key."""
    query = "SELECT item.id, item.key, project.secret FROM item JOIN project ON project.id = item.project_id"
    rows = []
    for row in connection.execute(sa.text(query)).all():
        drawn = hashlib.sha256(f"{row.secret}\0place\0{row.key}".encode()).digest()[:8]
        rows.append({"number": row.id, "place": int.from_bytes(drawn) >> 33})
    if rows:
        connection.execute(sa.text("UPDATE item SET place = :place WHERE id = :number"), rows)
