"""Payments of invoices, and their reversals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing_app.database.baseline.append_only import append_only
from billing_app.database.baseline.pieces import ENTERED_NUMBER, PLPGSQL, TIMESTAMP, Subject, checks, digits


def _create_payment_table() -> None:
    """Create the payments: of money received, or of the customer's credit."""
    op.create_table(
        "payment",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payment_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("amount_minor", ENTERED_NUMBER, nullable=False),
        sa.Column("received_on", sa.Date(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("recorded_at", TIMESTAMP, nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), server_default="received", nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "payment_id", name=op.f("pk_payment")),
        sa.UniqueConstraint(
            "customer_id", "idempotency_key", name=op.f("uq_payment_customer_id_idempotency_key")
        ),
        sa.ForeignKeyConstraint(
            ["customer_id", "period_start"],
            ["invoice.customer_id", "invoice.period_start"],
            name=op.f("fk_payment_invoice"),
        ),
        *checks(_PAYMENT_CHECKS),
    )


_PAYMENT_CHECKS = {
    "ck_payment_source_known": "source IN ('received', 'credit')",
    "ck_payment_key_of_source": "(source = 'credit') = (idempotency_key IS NULL)",
    "ck_payment_amount_minor_digits": digits("amount_minor", 38, 0),
    "ck_payment_amount_minor_positive": "amount_minor > 0",
    "ck_payment_idempotency_key_length": "length(idempotency_key) BETWEEN 1 AND 255",
    "ck_payment_not_dated_ahead": (
        "received_on <= (recorded_at AT TIME ZONE 'UTC' + interval '14 hours')::date"
    ),
}


def _create_payment_reversal_table() -> None:
    """Create the reversals. A payment can be reversed once, as a whole."""
    op.create_table(
        "payment_reversal",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("recorded_at", TIMESTAMP, nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "payment_id", name=op.f("pk_payment_reversal")),
        sa.ForeignKeyConstraint(
            ["customer_id", "payment_id"],
            ["payment.customer_id", "payment.payment_id"],
            name=op.f("fk_payment_reversal_payment"),
        ),
        sa.CheckConstraint("btrim(reason) <> ''", name=op.f("ck_payment_reversal_reason_given")),
    )


def _create_payment_index() -> None:
    op.create_index("ix_payment_invoice", "payment", ["customer_id", "period_start"])


# These two keep the customer's credit: see `_create_customer_billing_table`.
_TAKE_APPLIED_CREDIT = f"""
CREATE FUNCTION take_applied_credit() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    UPDATE public.customer_billing b SET credit_minor = b.credit_minor - a.amount_minor
    FROM (
        SELECT customer_id, sum(amount_minor) AS amount_minor FROM added WHERE source = 'credit'
        GROUP BY customer_id
    ) a
    WHERE b.customer_id = a.customer_id;
    RETURN NULL;
END
$$
"""

_GIVE_BACK_APPLIED_CREDIT = f"""
CREATE FUNCTION give_back_applied_credit() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    UPDATE public.customer_billing b SET credit_minor = b.credit_minor + a.amount_minor
    FROM (
        SELECT p.customer_id, sum(p.amount_minor) AS amount_minor
        FROM added JOIN public.payment p USING (customer_id, payment_id)
        WHERE p.source = 'credit' GROUP BY p.customer_id
    ) a
    WHERE b.customer_id = a.customer_id;
    RETURN NULL;
END
$$
"""

# These three maintain open_invoice: see `open_new_invoices` in invoices.py.
_SETTLE_INVOICE = f"""
CREATE FUNCTION settle_invoice(customer bigint, period date) RETURNS void {PLPGSQL} AS $$
BEGIN
    DELETE FROM public.open_invoice o WHERE o.customer_id = customer AND o.period_start = period;
    INSERT INTO public.open_invoice (customer_id, period_start, due_on, paid_minor)
    SELECT i.customer_id, i.period_start, i.due_on, paid.minor
    FROM public.invoice i
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(p.amount_minor), 0) AS minor FROM public.payment p
        WHERE p.customer_id = i.customer_id AND p.period_start = i.period_start
          AND NOT EXISTS (SELECT FROM public.payment_reversal r
                          WHERE r.customer_id = p.customer_id AND r.payment_id = p.payment_id)
    ) paid
    WHERE paid.minor < i.total_minor
    AND i.customer_id = customer AND i.period_start = period;
END
$$
"""

_SETTLE_PAID_INVOICE = f"""
CREATE FUNCTION settle_paid_invoice() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    PERFORM public.settle_invoice(NEW.customer_id, NEW.period_start);
    RETURN NULL;
END
$$
"""

_SETTLE_REVERSED_INVOICE = f"""
CREATE FUNCTION settle_reversed_invoice() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    PERFORM public.settle_invoice(p.customer_id, p.period_start) FROM public.payment p
    WHERE p.customer_id = NEW.customer_id AND p.payment_id = NEW.payment_id;
    RETURN NULL;
END
$$
"""


SUBJECT = Subject(
    tables=("payment", "payment_reversal"),
    steps=(_create_payment_table, _create_payment_reversal_table, _create_payment_index),
    functions={
        "take_applied_credit()": _TAKE_APPLIED_CREDIT,
        "give_back_applied_credit()": _GIVE_BACK_APPLIED_CREDIT,
        "settle_invoice(bigint, date)": _SETTLE_INVOICE,
        "settle_paid_invoice()": _SETTLE_PAID_INVOICE,
        "settle_reversed_invoice()": _SETTLE_REVERSED_INVOICE,
    },
    triggers=(
        append_only("payment"),
        append_only("payment_reversal"),
        """
        CREATE TRIGGER credit_applied AFTER INSERT ON payment REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION take_applied_credit()
        """,
        """
        CREATE TRIGGER credit_returned AFTER INSERT ON payment_reversal REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION give_back_applied_credit()
        """,
        """
        CREATE TRIGGER settled AFTER INSERT ON payment FOR EACH ROW
        EXECUTE FUNCTION settle_paid_invoice()
        """,
        """
        CREATE TRIGGER settled AFTER INSERT ON payment_reversal FOR EACH ROW
        EXECUTE FUNCTION settle_reversed_invoice()
        """,
    ),
)
