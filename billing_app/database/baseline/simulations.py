"""Simulations of a month under other prices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from billing_app.database.baseline.pieces import MINOR_UNITS, TIMESTAMP, Subject, checks


def _create_simulation_tables() -> None:
    """Create the price simulations and what each customer would have paid.

    Both are removed some days after a simulation ends. `attempts` counts the failures since it last made
    progress, across all server processes.
    """
    op.create_table(
        "simulation",
        sa.Column("simulation_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("request", postgresql.JSONB(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("finished_at", TIMESTAMP, nullable=True),
        sa.Column("done_through_customer_ids", sa.ARRAY(sa.BigInteger()), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _SIMULATION_COUNTS),
        sa.Column("before_minor", MINOR_UNITS, nullable=False),
        sa.Column("after_minor", MINOR_UNITS, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fault", postgresql.JSONB(), nullable=True),
        sa.PrimaryKeyConstraint("simulation_id", name=op.f("pk_simulation")),
        *checks(_SIMULATION_CHECKS),
    )
    op.create_table(
        "simulated_customer",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("simulation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("before_minor", MINOR_UNITS, nullable=False),
        sa.Column("after_minor", MINOR_UNITS, nullable=False),
        sa.Column("difference_minor", MINOR_UNITS, nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "simulation_id", name=op.f("pk_simulated_customer")),
        sa.ForeignKeyConstraint(
            ["simulation_id"], ["simulation.simulation_id"], name=op.f("fk_simulated_customer_simulation")
        ),
        sa.CheckConstraint(
            "difference_minor = after_minor - before_minor", name=op.f("ck_simulated_customer_difference")
        ),
    )


_SIMULATION_COUNTS = ("total", "simulated", "other_currency", "no_plan")

_SIMULATION_CHECKS = {
    "ck_simulation_period_start_first_of_month": "extract(day FROM period_start) = 1",
    "ck_simulation_status_known": "status IN ('running', 'done', 'failed')",
    "ck_simulation_fault_when_failed": "(status = 'failed') = (fault IS NOT NULL)",
    "ck_simulation_finished_when_ended": "(status = 'running') = (finished_at IS NULL)",
}


def _create_simulation_indexes() -> None:
    """Create the indexes of simulations. One can run at a time: starting another returns the running one."""
    op.create_index(
        "uq_simulation_running",
        "simulation",
        ["status"],
        unique=True,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index("ix_simulation_finished_at", "simulation", ["finished_at"])
    op.create_index(
        "ix_simulated_customer_difference",
        "simulated_customer",
        ["simulation_id", "difference_minor", "customer_id"],
    )


SUBJECT = Subject(
    tables=("simulation", "simulated_customer"),
    steps=(_create_simulation_tables, _create_simulation_indexes),
)
