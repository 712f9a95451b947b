"""Several answers to a prompt, which people rank.

Revision ID: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the answers of an item that is ranked, the ranks of an event, and how far they agree."""
    op.create_table(
        "candidate",
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("response_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name="fk_candidate_item_id_item"),
        sa.ForeignKeyConstraint(["response_id"], ["response.id"], name="fk_candidate_response_id_response"),
        sa.PrimaryKeyConstraint("item_id", "place", name="pk_candidate"),
    )
    op.add_column("event", sa.Column("ranks", sa.Text(), nullable=True))
    op.add_column("tally", sa.Column("alike", sa.Float(), nullable=True))
