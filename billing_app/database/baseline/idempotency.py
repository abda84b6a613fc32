"""Responses to requests with an `Idempotency-Key`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from billing_app.database.baseline.pieces import TIMESTAMP, Subject


def _create_idempotent_request_table() -> None:
    """Create the responses to requests with an `Idempotency-Key`, which are kept for about a day."""
    op.create_table(
        "idempotent_request",
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("answer", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("actor_id", "idempotency_key", name=op.f("pk_idempotent_request")),
        sa.CheckConstraint(
            "fingerprint ~ '^[0-9a-f]{64}$'", name=op.f("ck_idempotent_request_fingerprint_form")
        ),
    )


def _create_idempotent_request_index() -> None:
    """Create the index that finds expired responses."""
    op.create_index("ix_idempotent_request_created_at", "idempotent_request", ["created_at"])


SUBJECT = Subject(
    tables=("idempotent_request",),
    steps=(_create_idempotent_request_table, _create_idempotent_request_index),
)
