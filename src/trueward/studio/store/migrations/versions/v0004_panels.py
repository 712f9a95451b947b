"""Links for panels, and the sittings of those who open them.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the tables of panels and of their sittings."""
    op.create_table(
        "panel",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("quota", sa.Integer(), nullable=False),
        sa.Column("places", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=100), nullable=False),
        sa.Column("redirect", sa.String(length=500), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_panel_project_id"),
        sa.PrimaryKeyConstraint("id", name="pk_panel"),
        sa.UniqueConstraint("hash", name="uq_panel_hash"),
    )
    op.create_table(
        "sitting",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("panel_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("participant", sa.String(length=200), nullable=True),
        sa.Column("study", sa.String(length=200), nullable=False),
        sa.Column("session", sa.String(length=200), nullable=False),
        sa.Column("began", sa.Float(), nullable=False),
        sa.Column("completed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["panel_id"], ["panel.id"], name="fk_sitting_panel_id"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_sitting_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_sitting"),
        sa.UniqueConstraint("account_id", name="uq_sitting_account_id"),
        sa.UniqueConstraint("panel_id", "participant", name="uq_sitting_panel_id_participant"),
    )
