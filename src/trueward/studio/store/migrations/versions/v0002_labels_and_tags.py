"""A judge's labels beside people's votes, tags on runs, and which response of an item is called A.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from trueward.records import Prompt, Response
from trueward.studio import agreement

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the tables of models' labels and of tags."""
    op.add_column("item", sa.Column("turned", sa.Boolean(), nullable=True))
    op.create_table(
        "label",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("judge", sa.String(length=200), nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name="fk_label_item_id"),
        sa.PrimaryKeyConstraint("id", name="pk_label"),
        sa.UniqueConstraint("item_id", "judge", name="uq_label_item_id_judge"),
    )
    op.create_table(
        "tag",
        sa.Column("run", sa.String(length=400), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("run", "name", name="pk_tag"),
    )
    toss_coins(op.get_bind())


def toss_coins(connection: sa.Connection) -> None:
    """Choose for each existing pair which response is called A."""
    pairs = connection.execute(
        sa.text(
            "SELECT item.id, item.prompt, a.text AS one, a.finished AS one_finished, b.text AS two, "
            "b.finished AS two_finished FROM item JOIN response a ON a.id = item.first_id "
            "JOIN response b ON b.id = item.second_id"
        )
    ).all()
    rows = []
    for row in pairs:
        first = Response(id="first", text=row.one, finished=bool(row.one_finished))
        second = Response(id="second", text=row.two, finished=bool(row.two_finished))
        turned = agreement.turned(Prompt.model_validate_json(row.prompt), first, second)
        rows.append({"number": row.id, "turned": turned})
    if rows:
        connection.execute(sa.text("UPDATE item SET turned = :turned WHERE id = :number"), rows)
