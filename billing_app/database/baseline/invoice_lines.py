"""The lines of invoices, and the arithmetic that each must satisfy."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from billing_app.database.baseline.append_only import append_only
from billing_app.database.baseline.invoice_line_rules import ARITHMETIC, COLUMNS_OF_KINDS
from billing_app.database.baseline.pieces import (
    ENTERED_NUMBER,
    EXACT_AMOUNT,
    MINOR_UNITS,
    PLPGSQL,
    QUANTITY,
    Subject,
    checks,
)


def _create_invoice_line_table() -> None:
    """Create the invoice lines. What only some kinds of lines have is null in the others."""
    op.create_table(
        "invoice_line",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("line_number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("currency_exponent", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("usage_period", sa.Date(), nullable=True),
        sa.Column("exact_amount", EXACT_AMOUNT, nullable=False),
        sa.Column("exact_denominator", sa.SmallInteger(), nullable=False),
        sa.Column("rated_minor", MINOR_UNITS, nullable=False),
        sa.Column("exact_amount_before", EXACT_AMOUNT, nullable=False),
        sa.Column("already_charged_minor", MINOR_UNITS, nullable=False),
        sa.Column("amount_minor", MINOR_UNITS, nullable=False),
        *_segment_columns(),
        *_usage_columns(),
        *_tier_columns(),
        sa.Column("is_correction", sa.Boolean(), nullable=False),
        *_discount_columns(),
        sa.Column("item_key", sa.Text(), nullable=True),
        sa.Column("item_date", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "period_start", "line_number", name=op.f("pk_invoice_line")),
        sa.ForeignKeyConstraint(
            ["customer_id", "period_start"],
            ["invoice.customer_id", "invoice.period_start"],
            name=op.f("fk_invoice_line_invoice"),
        ),
        *checks(COLUMNS_OF_KINDS | ARITHMETIC),
    )


def _segment_columns() -> list[sa.Column[Any]]:
    """Return what lines have that are priced by a plan: days of a month, and the plan."""
    return [
        sa.Column("segment_start", sa.Date(), nullable=True),
        sa.Column("segment_end", sa.Date(), nullable=True),
        sa.Column("days", sa.SmallInteger(), nullable=True),
        sa.Column("days_in_month", sa.SmallInteger(), nullable=True),
        sa.Column("plan_name", sa.Text(), nullable=True),
        sa.Column("plan_version", sa.Integer(), nullable=True),
        sa.Column("monthly_price_minor", MINOR_UNITS, nullable=True),
    ]


def _usage_columns() -> list[sa.Column[Any]]:
    """Return what usage lines have: the meter, its quantities, and the price."""
    return [
        sa.Column("charge_position", sa.SmallInteger(), nullable=True),
        sa.Column("meter_code", sa.Text(), nullable=True),
        sa.Column("meter_name", sa.Text(), nullable=True),
        sa.Column("meter_unit", sa.Text(), nullable=True),
        sa.Column("aggregation", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("quantity", QUANTITY, nullable=True),
        sa.Column("quantity_before", QUANTITY, nullable=True),
        sa.Column("quantity_after", QUANTITY, nullable=True),
        sa.Column("included_units", ENTERED_NUMBER, nullable=True),
        sa.Column("included_quantity", QUANTITY, nullable=True),
        sa.Column("billed_quantity", QUANTITY, nullable=True),
        sa.Column("billed_quantity_before", QUANTITY, nullable=True),
        sa.Column("unit_price", ENTERED_NUMBER, nullable=True),
        sa.Column("package_size", ENTERED_NUMBER, nullable=True),
        sa.Column("package_price_minor", MINOR_UNITS, nullable=True),
        sa.Column("packages", MINOR_UNITS, nullable=True),
        sa.Column("packages_before", MINOR_UNITS, nullable=True),
    ]


def _tier_columns() -> list[sa.Column[Any]]:
    """Return what lines of a tier have. Late usage under volume prices also has the tier charged before."""
    return [
        sa.Column("component_tier", sa.SmallInteger(), nullable=True),
        sa.Column("tier_number", sa.SmallInteger(), nullable=True),
        sa.Column("tier_above", QUANTITY, nullable=True),
        sa.Column("tier_up_to", QUANTITY, nullable=True),
        sa.Column("tier_above_units", ENTERED_NUMBER, nullable=True),
        sa.Column("tier_up_to_units", ENTERED_NUMBER, nullable=True),
        sa.Column("flat_price_minor", MINOR_UNITS, nullable=True),
        sa.Column("tier_number_before", sa.SmallInteger(), nullable=True),
        sa.Column("tier_above_before", QUANTITY, nullable=True),
        sa.Column("tier_up_to_before", QUANTITY, nullable=True),
        sa.Column("unit_price_before", ENTERED_NUMBER, nullable=True),
        sa.Column("flat_price_minor_before", MINOR_UNITS, nullable=True),
    ]


def _discount_columns() -> list[sa.Column[Any]]:
    """Return what the lines of a discount have."""
    return [
        sa.Column("discount_number", sa.Integer(), nullable=True),
        sa.Column("discount_name", sa.Text(), nullable=True),
        sa.Column("discount_part", sa.Text(), nullable=True),
        sa.Column("discount_percent", ENTERED_NUMBER, nullable=True),
        sa.Column("discount_amount_minor", MINOR_UNITS, nullable=True),
        sa.Column("discounted_minor", MINOR_UNITS, nullable=True),
        sa.Column("discounted_minor_before", MINOR_UNITS, nullable=True),
        sa.Column("discount_available_minor", MINOR_UNITS, nullable=True),
        sa.Column("discount_available_minor_before", MINOR_UNITS, nullable=True),
    ]


def _create_reference_to_last_line() -> None:
    """Make every invoice refer to its last line.

    This foreign key is checked on commit. Together with the trigger that counts and sums the lines,
    it ensures that an invoice is committed with exactly its lines or not at all.
    """
    op.create_foreign_key(
        "fk_invoice_last_line", "invoice", "invoice_line",
        ["customer_id", "period_start", "line_count"], ["customer_id", "period_start", "line_number"],
        deferrable=True, initially="DEFERRED",
    )  # fmt: skip


def _create_invoice_line_index() -> None:
    # An invoice has one line for each component. Only of a graduated charge is each tier a component.
    op.create_index(
        "uq_invoice_line_component",
        "invoice_line",
        [
            "customer_id",
            "period_start",
            "usage_period",
            "segment_start",
            "charge_position",
            "component_tier",
            "discount_number",
            "discount_part",
            "item_key",
        ],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )


# One statement inserts all lines of an invoice. Their count and sum must match the invoice after
# every statement, so no line can be added later.
_CHECK_INVOICE_LINES = f"""
CREATE FUNCTION check_invoice_lines() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT customer_id, period_start FROM added) a
        JOIN public.invoice i USING (customer_id, period_start)
        CROSS JOIN LATERAL (
            SELECT count(*) AS line_count, sum(l.amount_minor) AS total_minor
            FROM public.invoice_line l
            WHERE l.customer_id = a.customer_id AND l.period_start = a.period_start
        ) found
        WHERE found.line_count <> i.line_count OR found.total_minor <> i.total_minor
    ) THEN
        RAISE EXCEPTION 'the lines of an invoice must match its line count and total'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$
"""

# What a line says is already charged must be what earlier invoices charged for the same component.
_CHECK_ALREADY_CHARGED = f"""
CREATE FUNCTION check_already_charged() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added a
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(l.amount_minor), 0) AS charged_minor
            FROM public.invoice_line l
            WHERE l.customer_id = a.customer_id AND l.period_start < a.period_start
              AND l.usage_period = a.usage_period
              AND l.segment_start IS NOT DISTINCT FROM a.segment_start
              AND l.charge_position IS NOT DISTINCT FROM a.charge_position
              AND l.component_tier IS NOT DISTINCT FROM a.component_tier
              AND l.discount_number IS NOT DISTINCT FROM a.discount_number
              AND l.discount_part IS NOT DISTINCT FROM a.discount_part
        ) earlier
        WHERE a.usage_period < a.period_start AND a.already_charged_minor <> earlier.charged_minor
    ) THEN
        RAISE EXCEPTION 'the amount already charged must be the sum of what earlier invoices charged'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$
"""


SUBJECT = Subject(
    tables=("invoice_line",),
    steps=(_create_invoice_line_table, _create_reference_to_last_line, _create_invoice_line_index),
    functions={
        "check_invoice_lines()": _CHECK_INVOICE_LINES,
        "check_already_charged()": _CHECK_ALREADY_CHARGED,
    },
    triggers=(
        append_only("invoice_line"),
        """
        CREATE TRIGGER lines_complete AFTER INSERT ON invoice_line REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION check_invoice_lines()
        """,
        """
        CREATE TRIGGER already_charged AFTER INSERT ON invoice_line REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION check_already_charged()
        """,
    ),
)
