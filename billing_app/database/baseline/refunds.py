"""Refunds of customers' credit, and their reversals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing_app.database.baseline.append_only import append_only
from billing_app.database.baseline.pieces import ENTERED_NUMBER, PLPGSQL, TIMESTAMP, Subject, digits


def _create_refund_table() -> None:
    """Create the refunds, which pay back a customer's credit."""
    op.create_table(
        "refund",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("refund_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("amount_minor", ENTERED_NUMBER, nullable=False),
        sa.Column("refunded_on", sa.Date(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("recorded_at", TIMESTAMP, nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "refund_id", name=op.f("pk_refund")),
        sa.UniqueConstraint(
            "customer_id", "idempotency_key", name=op.f("uq_refund_customer_id_idempotency_key")
        ),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.customer_id"], name=op.f("fk_refund_customer")),
        sa.CheckConstraint(digits("amount_minor", 38, 0), name=op.f("ck_refund_amount_minor_digits")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_refund_amount_minor_positive")),
        sa.CheckConstraint(
            "length(idempotency_key) BETWEEN 1 AND 255", name=op.f("ck_refund_idempotency_key_length")
        ),
        sa.CheckConstraint(
            "refunded_on <= (recorded_at AT TIME ZONE 'UTC' + interval '14 hours')::date",
            name=op.f("ck_refund_not_dated_ahead"),
        ),
    )


def _create_refund_reversal_table() -> None:
    """Create the reversals. A refund can be reversed once, as a whole."""
    op.create_table(
        "refund_reversal",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("refund_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("recorded_at", TIMESTAMP, nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "refund_id", name=op.f("pk_refund_reversal")),
        sa.ForeignKeyConstraint(
            ["customer_id", "refund_id"],
            ["refund.customer_id", "refund.refund_id"],
            name=op.f("fk_refund_reversal_refund"),
        ),
        sa.CheckConstraint("btrim(reason) <> ''", name=op.f("ck_refund_reversal_reason_given")),
    )


# These two keep the customer's credit: see `_create_customer_billing_table`.
_TAKE_CREDIT = f"""
CREATE FUNCTION take_credit() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    UPDATE public.customer_billing b SET credit_minor = b.credit_minor - a.amount_minor
    FROM (SELECT customer_id, sum(amount_minor) AS amount_minor FROM added GROUP BY customer_id) a
    WHERE b.customer_id = a.customer_id;
    RETURN NULL;
END
$$
"""

_GIVE_BACK_REFUND = f"""
CREATE FUNCTION give_back_refund() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    UPDATE public.customer_billing b SET credit_minor = b.credit_minor + a.amount_minor
    FROM (
        SELECT r.customer_id, sum(r.amount_minor) AS amount_minor
        FROM added JOIN public.refund r USING (customer_id, refund_id) GROUP BY r.customer_id
    ) a
    WHERE b.customer_id = a.customer_id;
    RETURN NULL;
END
$$
"""


SUBJECT = Subject(
    tables=("refund", "refund_reversal"),
    steps=(_create_refund_table, _create_refund_reversal_table),
    functions={"take_credit()": _TAKE_CREDIT, "give_back_refund()": _GIVE_BACK_REFUND},
    triggers=(
        append_only("refund"),
        append_only("refund_reversal"),
        """
        CREATE TRIGGER credit_paid_back AFTER INSERT ON refund REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION take_credit()
        """,
        """
        CREATE TRIGGER credit_returned AFTER INSERT ON refund_reversal REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION give_back_refund()
        """,
    ),
)
