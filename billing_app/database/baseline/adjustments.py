"""What changes a customer's bill beyond the plan: discounts and one-off items."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing_app.database.baseline.append_only import append_only
from billing_app.database.baseline.pieces import ENTERED_NUMBER, PLPGSQL, TIMESTAMP, Subject, checks, digits


def _create_discount_table() -> None:
    """Create the discounts, whose last month can be set later."""
    op.create_table(
        "discount",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("percent", ENTERED_NUMBER, nullable=True),
        sa.Column("amount_minor", ENTERED_NUMBER, nullable=True),
        sa.Column("applies_to", sa.Text(), nullable=False),
        sa.Column("first_period", sa.Date(), nullable=False),
        sa.Column("last_period", sa.Date(), nullable=True),
        sa.Column("recorded_at", TIMESTAMP, nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "number", name=op.f("pk_discount")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.customer_id"], name=op.f("fk_discount_customer")),
        *checks(_DISCOUNT_CHECKS),
    )


_DISCOUNT_CHECKS = {
    "ck_discount_number_positive": "number >= 1",
    "ck_discount_name_trimmed": "name <> '' AND name = btrim(name)",
    "ck_discount_percent_or_amount": "num_nonnulls(percent, amount_minor) = 1",
    "ck_discount_percent_digits": "percent > 0 AND percent <= 100 AND scale(percent) <= 4",
    "ck_discount_amount_minor_positive": "amount_minor > 0",
    "ck_discount_amount_minor_digits": digits("amount_minor", 38, 0),
    "ck_discount_applies_to_known": "applies_to IN ('all', 'base', 'usage')",
    "ck_discount_first_period_first_of_month": "extract(day FROM first_period) = 1",
    "ck_discount_last_period_first_of_month": "extract(day FROM last_period) = 1",
}


def _create_one_off_item_table() -> None:
    """Create the one-off items. One that should not have been billed is reversed by another."""
    op.create_table(
        "one_off_item",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("item_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("quantity", ENTERED_NUMBER, nullable=False),
        sa.Column("unit_price", ENTERED_NUMBER, nullable=False),
        sa.Column("item_date", sa.Date(), nullable=False),
        sa.Column("billing_period", sa.Date(), nullable=False),
        sa.Column("reverses_item_id", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("recorded_at", TIMESTAMP, nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "idempotency_key", name=op.f("pk_one_off_item")),
        sa.UniqueConstraint("customer_id", "item_id", name=op.f("uq_one_off_item_customer_id_item_id")),
        sa.UniqueConstraint(
            "customer_id", "reverses_item_id", name=op.f("uq_one_off_item_customer_id_reverses_item_id")
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.customer_id"], name=op.f("fk_one_off_item_customer")
        ),
        sa.ForeignKeyConstraint(
            ["customer_id", "reverses_item_id"],
            ["one_off_item.customer_id", "one_off_item.item_id"],
            name=op.f("fk_one_off_item_one_off_item"),
        ),
        *checks(_ONE_OFF_ITEM_CHECKS),
    )


_ONE_OFF_ITEM_CHECKS = {
    "ck_one_off_item_idempotency_key_length": "length(idempotency_key) BETWEEN 1 AND 255",
    "ck_one_off_item_description_trimmed": "description <> '' AND description = btrim(description)",
    "ck_one_off_item_quantity_digits": digits("quantity", 14, 6),
    "ck_one_off_item_quantity_positive": "quantity > 0",
    "ck_one_off_item_unit_price_digits": (
        "abs(unit_price) < 1e8 AND scale(unit_price) <= 12 AND unit_price <> 'NaN'"
    ),
    "ck_one_off_item_billing_period_first_of_month": "extract(day FROM billing_period) = 1",
    "ck_one_off_item_billed_no_earlier_than_dated": "billing_period >= date_trunc('month', item_date)",
    "ck_one_off_item_reason_of_reversal": "(reverses_item_id IS NULL) = (reason IS NULL)",
    "ck_one_off_item_reason_given": "btrim(reason) <> ''",
}


def _create_one_off_item_index() -> None:
    op.create_index("ix_one_off_item_billing", "one_off_item", ["billing_period", "customer_id"])


# A discount may not change the bill of a closed month. Its last month is set once: to an open month, or to
# one before its first month, if that is open, so that it never applies.
_CHECK_DISCOUNT_OPEN = f"""
CREATE FUNCTION check_discount_open() RETURNS trigger {PLPGSQL} AS $$
DECLARE
    closed date := (
        SELECT b.closed_through FROM public.customer_billing b WHERE b.customer_id = NEW.customer_id
    );
BEGIN
    IF TG_OP = 'UPDATE' AND (
        OLD.last_period IS NOT NULL
        OR to_jsonb(NEW) - 'last_period' IS DISTINCT FROM to_jsonb(OLD) - 'last_period'
    ) THEN
        RAISE EXCEPTION 'only the last month of a discount can be set, once'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (TG_OP = 'INSERT' AND NEW.first_period <= closed)
       OR (NEW.last_period <= closed AND NOT (NEW.last_period < NEW.first_period AND NEW.first_period > closed))
    THEN
        RAISE EXCEPTION 'a discount cannot change a closed month' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$
"""

_CHECK_NEW_ITEM = f"""
CREATE FUNCTION check_new_item() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    IF EXISTS (
        SELECT FROM public.customer_billing b
        WHERE b.customer_id = NEW.customer_id AND b.closed_through >= NEW.billing_period
    ) THEN
        RAISE EXCEPTION 'a one-off item can only be billed in an open period'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.reverses_item_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM public.one_off_item i
        WHERE i.customer_id = NEW.customer_id AND i.item_id = NEW.reverses_item_id
          AND i.reverses_item_id IS NULL AND i.quantity = NEW.quantity
          AND i.unit_price = -NEW.unit_price AND i.billing_period <= NEW.billing_period
    ) THEN
        RAISE EXCEPTION 'a reversal takes back a whole one-off item, and is billed no earlier'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$
"""


SUBJECT = Subject(
    tables=("discount", "one_off_item"),
    steps=(_create_discount_table, _create_one_off_item_table, _create_one_off_item_index),
    functions={"check_discount_open()": _CHECK_DISCOUNT_OPEN, "check_new_item()": _CHECK_NEW_ITEM},
    triggers=(
        append_only("one_off_item"),
        """
        CREATE TRIGGER months_open BEFORE INSERT OR UPDATE ON discount FOR EACH ROW
        EXECUTE FUNCTION check_discount_open()
        """,
        """
        CREATE TRIGGER stays BEFORE DELETE OR TRUNCATE ON discount
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
        """,
        """
        CREATE TRIGGER period_open BEFORE INSERT ON one_off_item FOR EACH ROW
        EXECUTE FUNCTION check_new_item()
        """,
    ),
)
