"""Verifications of what was billed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from billing_app.database.baseline.pieces import TIMESTAMP, Subject


def _create_verification_table() -> None:
    """Create the verifications. The row is created at the start, so that a verification survives a restart.

    Until a verification finishes, `report` holds its progress. One that fails too often finishes with a
    `fault` instead of a result in `ok`. `attempts` counts those failures across all server processes.
    """
    op.create_table(
        "verification",
        sa.Column("verification_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("finished_at", TIMESTAMP, nullable=True),
        sa.Column("ok", sa.Boolean(), nullable=True),
        sa.Column("report", postgresql.JSONB(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fault", postgresql.JSONB(), nullable=True),
        sa.PrimaryKeyConstraint("verification_id", name=op.f("pk_verification")),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (ok IS NULL AND fault IS NULL)",
            name=op.f("ck_verification_judged_when_ended"),
        ),
        sa.CheckConstraint(
            "finished_at IS NULL OR report IS NOT NULL OR fault IS NOT NULL",
            name=op.f("ck_verification_reported_when_ended"),
        ),
        sa.CheckConstraint("fault IS NULL OR ok IS NULL", name=op.f("ck_verification_fault_when_ended")),
    )


def _create_verification_index() -> None:
    """Allow one running verification. Starting another returns the running one."""
    op.create_index(
        "uq_verification_running",
        "verification",
        [sa.text("(finished_at IS NULL)")],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )


SUBJECT = Subject(
    tables=("verification",),
    steps=(_create_verification_table, _create_verification_index),
)
