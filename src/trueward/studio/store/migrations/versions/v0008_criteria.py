"""Several questions about a pair, and what people said to each.

Revision ID: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the questions of a project and the answers of an event."""
    op.add_column("project", sa.Column("criteria", sa.Text(), nullable=True))
    op.add_column("event", sa.Column("criteria", sa.Text(), nullable=True))
