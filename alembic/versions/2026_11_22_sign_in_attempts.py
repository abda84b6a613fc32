"""Attempts to sign in are counted; the system may make API tokens.

Revision ID: 2026_11_22_sign_in_attempts
Revises: 2026_11_22_append_only

- `sign_in_attempt` counts in the database, so that all processes see one count. A subject is a
  hash: nothing that was typed is kept. Its second index finds what can be forgotten.
- `api_token.created_by` may be empty: the command line and the demo have no account.

Going back takes the tokens that the system made with it: the old column can't hold them.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_22_sign_in_attempts"
down_revision = "2026_11_22_append_only"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sign_in_attempt",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('account', 'address')", name=op.f("ck_sign_in_attempt_kind_known")),
        sa.CheckConstraint("subject ~ '^[0-9a-f]{64}$'", name=op.f("ck_sign_in_attempt_subject_hashed")),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_sign_in_attempt_failures_counted")),
        sa.CheckConstraint("last_at >= first_at", name=op.f("ck_sign_in_attempt_first_before_last")),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("pk_sign_in_attempt")),
    )
    op.create_index("ix_sign_in_attempt_last_at", "sign_in_attempt", ["last_at"])
    op.alter_column("api_token", "created_by", nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM api_token WHERE created_by IS NULL")
    op.alter_column("api_token", "created_by", nullable=False)
    op.drop_table("sign_in_attempt")
