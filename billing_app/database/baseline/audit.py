"""The audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from billing_app.database.baseline.append_only import append_only
from billing_app.database.baseline.pieces import TIMESTAMP, Subject


def _create_audit_entry_table() -> None:
    """Create the audit log."""
    op.create_table(
        "audit_entry",
        sa.Column("audit_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", TIMESTAMP, nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("on_behalf_of", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_audit_entry")),
    )


def _create_audit_entry_indexes() -> None:
    """Create the indexes that page through the audit log: all of it, by subject, and by who is responsible.

    Background work counts as done by the user, token or operator who started it.
    """
    op.create_index("ix_audit_entry_at", "audit_entry", ["at", "audit_id"])
    op.create_index("ix_audit_entry_subject", "audit_entry", ["subject", "at", "audit_id"])
    op.create_index(
        "ix_audit_entry_responsible",
        "audit_entry",
        [sa.text("coalesce(on_behalf_of, actor_id)"), "at", "audit_id"],
    )


SUBJECT = Subject(
    tables=("audit_entry",),
    steps=(_create_audit_entry_table, _create_audit_entry_indexes),
    triggers=(append_only("audit_entry"),),
)
