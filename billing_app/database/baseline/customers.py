"""Customers, and where the billing of each of them stands."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing_app.database.baseline.pieces import MINOR_UNITS, PLPGSQL, TIMESTAMP, Subject


def _create_customer_table() -> None:
    """Create the directory of customers.

    `uq_customer_customer_id_currency` is the target of the foreign keys that keep a customer's
    subscriptions and invoices in the customer's currency.
    """
    op.create_table(
        "customer",
        sa.Column("customer_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("billing_address", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer")),
        sa.UniqueConstraint("customer_id", "currency", name=op.f("uq_customer_customer_id_currency")),
        # A key must not look like a public customer ID (cus_12): callers can refer to a customer by either.
        sa.CheckConstraint(
            "key ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' AND lower(key) !~ '^cus_'",
            name=op.f("ck_customer_key_form"),
        ),
        sa.CheckConstraint("name <> '' AND name = btrim(name)", name=op.f("ck_customer_name_trimmed")),
        sa.CheckConstraint("email ~ '^[^@[:space:]]+@[^@[:space:]]+$'", name=op.f("ck_customer_email_form")),
        sa.CheckConstraint("email_key <> ''", name=op.f("ck_customer_email_key_given")),
    )


def _create_customer_billing_table() -> None:
    """Create the billing row of each customer: its closed periods, its last invoice number and its credit.

    Triggers on invoices, payments and refunds keep the credit in the same transaction that gives or takes it.
    The CHECK refuses to take more than there is, however many do so at once, because each locks the row.
    """
    op.create_table(
        "customer_billing",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("closed_through", sa.Date(), nullable=False),
        sa.Column("settled_through", sa.Date(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.Column("last_sha256", sa.Text(), nullable=True),
        sa.Column("credit_minor", MINOR_UNITS, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer_billing")),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.customer_id"], name=op.f("fk_customer_billing_customer")
        ),
        sa.CheckConstraint(
            "extract(day FROM closed_through) = 1",
            name=op.f("ck_customer_billing_closed_through_first_of_month"),
        ),
        sa.CheckConstraint(
            "extract(day FROM settled_through) = 1",
            name=op.f("ck_customer_billing_settled_through_first_of_month"),
        ),
        sa.CheckConstraint(
            "settled_through <= closed_through", name=op.f("ck_customer_billing_settled_within_closed")
        ),
        sa.CheckConstraint("credit_minor >= 0", name=op.f("ck_customer_billing_credit_not_negative")),
        sa.CheckConstraint("last_number >= 0", name=op.f("ck_customer_billing_last_number_counts")),
        sa.CheckConstraint(
            "(last_number = 0) = (last_sha256 IS NULL)", name=op.f("ck_customer_billing_number_with_hash")
        ),
    )


def _create_customer_indexes() -> None:
    """Create the indexes that make keys and emails unique, order lists and speed up search.

    Each list order needs its own index, so that a page reads only the customers it shows.

    `ix_customer_search` finds customers by any part of the name, email or key. With 100,000
    customers, a search for three or more letters that few customers contain takes 1 ms instead of
    30 ms. Creating one customer takes no longer than without it. Inserting 20,000 customers in one
    statement takes 0.5 s instead of 0.2 s.
    """
    op.create_index("uq_customer_key", "customer", [sa.text("lower(key)")], unique=True)
    # Partial, although the condition always holds: PostgreSQL treats the columns of other unique
    # indexes as keys, and a change to one would wait for everything that refers to the customer.
    op.create_index(
        "uq_customer_email",
        "customer",
        ["email_key"],
        unique=True,
        postgresql_where=sa.text("email_key <> ''"),
    )
    op.create_index(
        "ix_customer_billing_credit",
        "customer_billing",
        ["customer_id"],
        postgresql_where=sa.text("credit_minor > 0"),
    )
    op.create_index("ix_customer_name", "customer", [sa.text("lower(name)"), "customer_id"])
    op.create_index("ix_customer_created_at", "customer", ["created_at", "customer_id"])
    op.create_index(
        "ix_customer_search",
        "customer",
        [sa.text(f"lower({column}) gin_trgm_ops") for column in ("name", "email", "key")],
        postgresql_using="gin",
    )


_REFUSE_CUSTOMER_REMOVAL = f"""
CREATE FUNCTION refuse_customer_removal() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    RAISE EXCEPTION 'a customer cannot be deleted, and its ID cannot change'
        USING ERRCODE = 'restrict_violation';
END
$$
"""

_REFUSE_REOPENING = f"""
CREATE FUNCTION refuse_reopening() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    RAISE EXCEPTION 'a billing row cannot change its customer, reopen a period or reuse an invoice number'
        USING ERRCODE = 'restrict_violation';
END
$$
"""


SUBJECT = Subject(
    tables=("customer", "customer_billing"),
    steps=(_create_customer_table, _create_customer_billing_table, _create_customer_indexes),
    functions={
        "refuse_customer_removal()": _REFUSE_CUSTOMER_REMOVAL,
        "refuse_reopening()": _REFUSE_REOPENING,
    },
    triggers=(
        """
        CREATE TRIGGER stays BEFORE DELETE OR TRUNCATE ON customer
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_customer_removal()
        """,
        """
        CREATE TRIGGER keeps_its_id BEFORE UPDATE ON customer FOR EACH ROW
        WHEN (NEW.customer_id <> OLD.customer_id)
        EXECUTE FUNCTION refuse_customer_removal()
        """,
        """
        CREATE TRIGGER only_onwards BEFORE UPDATE ON customer_billing FOR EACH ROW
        WHEN (NEW.closed_through < OLD.closed_through
              OR NEW.settled_through < OLD.settled_through
              OR NEW.last_number < OLD.last_number
              OR NEW.customer_id <> OLD.customer_id)
        EXECUTE FUNCTION refuse_reopening()
        """,
    ),
)
