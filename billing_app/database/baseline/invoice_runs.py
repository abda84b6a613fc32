"""Invoice runs, and the customers that a run could not invoice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from billing_app.database.baseline.pieces import TIMESTAMP, Subject, checks


def _create_invoice_run_tables() -> None:
    """Create the invoice runs and the customers that a run could not invoice.

    `attempts` counts the failures since the run last made progress, across all server processes. A
    run that fails too often gets the status `failed` and a `fault` that says why.
    """
    op.create_table(
        "invoice_run",
        sa.Column("run_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("finished_at", TIMESTAMP, nullable=True),
        sa.Column("done_through_customer_ids", sa.ARRAY(sa.BigInteger()), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _INVOICE_RUN_COUNTS),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fault", postgresql.JSONB(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_invoice_run")),
        *checks(_INVOICE_RUN_CHECKS),
    )
    op.create_table(
        "invoice_run_failure",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "customer_id", name=op.f("pk_invoice_run_failure")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["invoice_run.run_id"], name=op.f("fk_invoice_run_failure_invoice_run")
        ),
    )


_INVOICE_RUN_COUNTS = ("total", "created", "existing", "skipped", "failed")

_INVOICE_RUN_CHECKS = {
    "ck_invoice_run_period_start_first_of_month": "extract(day FROM period_start) = 1",
    "ck_invoice_run_status_known": "status IN ('running', 'done', 'cancelled', 'failed')",
    "ck_invoice_run_fault_when_failed": "(status = 'failed') = (fault IS NOT NULL)",
    "ck_invoice_run_finished_when_ended": "(status = 'running') = (finished_at IS NULL)",
}


def _create_invoice_run_index() -> None:
    """Allow one running run per period. Starting another returns the running one."""
    op.create_index(
        "uq_invoice_run_running",
        "invoice_run",
        ["period_start"],
        unique=True,
        postgresql_where=sa.text("status = 'running'"),
    )


SUBJECT = Subject(
    tables=("invoice_run", "invoice_run_failure"),
    steps=(_create_invoice_run_tables, _create_invoice_run_index),
)
