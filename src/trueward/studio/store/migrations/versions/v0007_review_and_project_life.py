"""A desk to review on, and the life of a project: tallies of items, who works where, skip reasons, archives, last seen.

Revision ID: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

COUNTS = ("needed", "votes", "for_first", "for_second", "ties", "failed", "skipped", "excluded", "comments")
COUNTED = """
INSERT INTO tally (item_id, project_id, needed, votes, for_first, for_second, ties, failed, skipped, excluded, comments,
                   quickest, last_at)
SELECT i.id, i.project_id, i.needed,
       COALESCE(SUM(CASE WHEN a.state = 'answered' THEN 1 ELSE 0 END), 0),
       COALESCE(SUM(CASE WHEN a.state = 'answered' AND e.kind = 'win' AND e.chosen_id = i.first_id THEN 1 ELSE 0 END), 0),
       COALESCE(SUM(CASE WHEN a.state = 'answered' AND e.kind = 'win' AND e.chosen_id = i.second_id THEN 1 ELSE 0 END), 0),
       COALESCE(SUM(CASE WHEN a.state = 'answered' AND e.kind = 'tie' THEN 1 ELSE 0 END), 0),
       COALESCE(SUM(CASE WHEN a.state = 'answered' AND i.check_id IS NOT NULL
                          AND (e.chosen_id IS NULL OR e.chosen_id <> i.check_id) THEN 1 ELSE 0 END), 0),
       COALESCE(SUM(CASE WHEN a.state = 'skipped' THEN 1 ELSE 0 END), 0),
       COALESCE(SUM(CASE WHEN a.state = 'excluded' THEN 1 ELSE 0 END), 0),
       0,
       MIN(CASE WHEN a.state = 'answered' THEN e.seconds END),
       MAX(e.at)
FROM item i LEFT JOIN assignment a ON a.item_id = i.id LEFT JOIN event e ON e.id = a.answer_id
GROUP BY i.id, i.project_id, i.needed
"""


def upgrade() -> None:
    """Add the tables and columns; what people said already is counted."""
    op.add_column("project", sa.Column("skip_reasons", sa.Text(), nullable=True))
    op.add_column("project", sa.Column("archived", sa.Float(), nullable=True))
    op.add_column("account", sa.Column("seen", sa.Float(), nullable=True))
    op.add_column("account", sa.Column("link_wanted", sa.Float(), nullable=True))
    op.create_table(
        "assignee",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_assignee_project_id"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_assignee_account_id"),
        sa.PrimaryKeyConstraint("project_id", "account_id", name="pk_assignee"),
    )
    op.create_table(
        "tally",
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in COUNTS),
        sa.Column("quickest", sa.Float(), nullable=True),
        sa.Column("last_at", sa.Float(), nullable=True),
        sa.Column("decision_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name="fk_tally_item_id"),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_tally_project_id"),
        sa.ForeignKeyConstraint(["decision_id"], ["event.id"], name="fk_tally_decision_id"),
        sa.PrimaryKeyConstraint("item_id", name="pk_tally"),
    )
    op.create_index("ix_tally_project", "tally", ["project_id", "last_at", "item_id"])
    op.execute(COUNTED)
