"""Figures that are counted in the background."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from billing_app.database.baseline.pieces import MINOR_UNITS, QUANTITY, TIMESTAMP, Subject


def _create_figures_tables() -> None:
    """Create the figures for sorted customer lists and the dashboard, computed in the background.

    Every customer has a row, so that a list sorted by a figure is complete. `month` is empty until
    the customer's figures are first computed. The dashboard has a single row that is replaced.
    """
    op.create_table(
        "customer_figures",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("month", sa.Date(), nullable=True),
        sa.Column("meter_id", sa.SmallInteger(), nullable=True),
        sa.Column("usage_quantity", QUANTITY, nullable=False),
        sa.Column("outstanding_minor", MINOR_UNITS, nullable=False),
        sa.Column("overdue_minor", MINOR_UNITS, nullable=False),
        sa.Column("invoiced_minor", MINOR_UNITS, nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer_figures")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.customer_id"], name=op.f("fk_customer_figures_customer")
        ),
        sa.CheckConstraint(
            "extract(day FROM month) = 1", name=op.f("ck_customer_figures_month_first_of_month")
        ),
    )
    op.create_table(
        "dashboard_figures",
        sa.Column("figures_id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("as_of", TIMESTAMP, nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("document", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("figures_id", name=op.f("pk_dashboard_figures")),
        sa.CheckConstraint("figures_id = 1", name=op.f("ck_dashboard_figures_only_one")),
    )


def _create_figures_indexes() -> None:
    """Create the indexes that page through customers by usage and by outstanding amount.

    They slow down only the background count, not recording usage.
    """
    op.create_index("ix_customer_figures_usage", "customer_figures", ["usage_quantity", "customer_id"])
    op.create_index(
        "ix_customer_figures_outstanding", "customer_figures", ["outstanding_minor", "customer_id"]
    )


SUBJECT = Subject(
    tables=("customer_figures", "dashboard_figures"),
    steps=(_create_figures_tables, _create_figures_indexes),
)
