"""Tokens end: those of before lasted ten years. What stands for an account is looked up by it.

Revision ID: 0003
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

YEAR = 366 * 86400.0


def upgrade() -> None:
    """Let tokens end within a year from now, and index credentials by account."""
    op.create_index("ix_credential_account_id", "credential", ["account_id"], unique=False)
    op.get_bind().execute(
        sa.text("UPDATE credential SET expires = :latest WHERE kind = 'token' AND expires > :latest"),
        {"latest": time.time() + YEAR},
    )
