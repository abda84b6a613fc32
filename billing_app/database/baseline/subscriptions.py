"""The plan of each customer by day, and the intervals in which usage is rejected."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing_app.database.baseline.pieces import PLPGSQL, TIMESTAMP, Subject


def _create_subscription_tables() -> None:
    """Create the plan of each customer by day, and the intervals in which usage is rejected."""
    op.create_table(
        "subscription",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("effective_from", sa.Date(), nullable=False),
        sa.Column("plan_id", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "effective_from", name=op.f("pk_subscription")),
        sa.ForeignKeyConstraint(
            ["customer_id", "currency"],
            ["customer.customer_id", "customer.currency"],
            name=op.f("fk_subscription_customer"),
        ),
        sa.ForeignKeyConstraint(
            ["plan_id", "currency"], ["plan.plan_id", "plan.currency"], name=op.f("fk_subscription_plan")
        ),
    )
    op.create_table(
        "suspension",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("ended_at", TIMESTAMP, nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "started_at", name=op.f("pk_suspension")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.customer_id"], name=op.f("fk_suspension_customer")
        ),
        sa.CheckConstraint("ended_at >= started_at", name=op.f("ck_suspension_ends_after_start")),
    )


def _create_subscription_indexes() -> None:
    op.create_index("ix_subscription_plan_id", "subscription", ["plan_id"])
    # A customer can't be suspended twice at the same time.
    op.create_index(
        "uq_suspension_open",
        "suspension",
        ["customer_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )


_CHECK_SUBSCRIPTION_OPEN = f"""
CREATE FUNCTION check_subscription_open() RETURNS trigger {PLPGSQL} AS $$
DECLARE touched record := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'a subscription row cannot be updated: delete it and insert a new one'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (
        SELECT FROM public.customer_billing b
        WHERE b.customer_id = touched.customer_id
          AND b.closed_through >= date_trunc('month', touched.effective_from)
    ) THEN
        RAISE EXCEPTION 'the subscription of a closed period cannot be changed'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN touched;
END
$$
"""


SUBJECT = Subject(
    tables=("subscription", "suspension"),
    steps=(_create_subscription_tables, _create_subscription_indexes),
    functions={"check_subscription_open()": _CHECK_SUBSCRIPTION_OPEN},
    triggers=(
        """
        CREATE TRIGGER period_open BEFORE INSERT OR UPDATE OR DELETE ON subscription FOR EACH ROW
        EXECUTE FUNCTION check_subscription_open()
        """,
    ),
)
