"""Usage events and their corrections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing_app.database.baseline.append_only import append_only
from billing_app.database.baseline.pieces import ENTERED_NUMBER, PLPGSQL, TIMESTAMP, Subject, checks, digits


def _create_usage_event_table() -> None:
    """Create the usage events. The customer and the idempotency key identify an event.

    There is no foreign key to the customer. It would look up and lock the customer row by row, which
    takes 19 µs of CPU time per event, more than twice as long as inserting the event. Instead,
    `check_new_usage` checks all rows of a statement at once, and `refuse_customer_removal` keeps a
    customer from being deleted and its ID from changing. Verification reports events without a customer.

    CPU time of one backend per event, for batches of 10,000 events of as many customers, into an empty
    table: 7 µs with the primary key only, 0.5 µs more for all CHECKs together, 2 µs more for
    `check_new_usage`, which finds the billing rows of a batch in the order of their key.
    """
    op.create_table(
        "usage_event",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("occurred_at", TIMESTAMP, nullable=False),
        sa.Column("recorded_at", TIMESTAMP, nullable=False),
        sa.Column("billing_period", sa.Date(), nullable=False),
        sa.Column("quantity", ENTERED_NUMBER, nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("meter_id", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("item", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "idempotency_key", name=op.f("pk_usage_event")),
        *checks(_USAGE_EVENT_CHECKS),
    )


_USAGE_EVENT_CHECKS = {
    "ck_usage_event_idempotency_key_length": "length(idempotency_key) BETWEEN 1 AND 255",
    "ck_usage_event_idempotency_key_control_characters": (
        r"idempotency_key !~ '[\u0001-\u001f\u007f-\u009f\u2028\u2029]'"
    ),
    "ck_usage_event_quantity_digits": digits("quantity", 14, 6),
    "ck_usage_event_item_counts_once": "item IS NULL OR quantity = 1",
    "ck_usage_event_item_length": "length(item) BETWEEN 1 AND 255",
    "ck_usage_event_item_control_characters": r"item !~ '[\u0001-\u001f\u007f-\u009f\u2028\u2029]'",
    "ck_usage_event_billing_period_first_of_month": "extract(day FROM billing_period) = 1",
    "ck_usage_event_billed_no_earlier_than_used": (
        "billing_period >= date_trunc('month', occurred_at AT TIME ZONE 'UTC')"
    ),
}


def _create_usage_correction_table() -> None:
    """Create the corrections of usage events, numbered for each event.

    Each has the moment and the meter of its event, so that sums need no other table. The foreign key looks
    up one event per correction, of which there are few.
    """
    op.create_table(
        "usage_correction",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("correction_key", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("occurred_at", TIMESTAMP, nullable=False),
        sa.Column("meter_id", sa.SmallInteger(), nullable=False),
        sa.Column("quantity_before", ENTERED_NUMBER, nullable=False),
        sa.Column("quantity", ENTERED_NUMBER, nullable=False),
        sa.Column("difference", ENTERED_NUMBER, nullable=False),
        sa.Column("billing_period", sa.Date(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("recorded_at", TIMESTAMP, nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "correction_key", name=op.f("pk_usage_correction")),
        sa.UniqueConstraint(
            "customer_id",
            "idempotency_key",
            "number",
            name=op.f("uq_usage_correction_customer_id_idempotency_key_number"),
        ),
        sa.ForeignKeyConstraint(
            ["customer_id", "idempotency_key"],
            ["usage_event.customer_id", "usage_event.idempotency_key"],
            name=op.f("fk_usage_correction_usage_event"),
        ),
        *checks(_USAGE_CORRECTION_CHECKS),
    )


_USAGE_CORRECTION_CHECKS = {
    "ck_usage_correction_correction_key_length": "length(correction_key) BETWEEN 1 AND 255",
    "ck_usage_correction_correction_key_control_characters": (
        r"correction_key !~ '[\u0001-\u001f\u007f-\u009f\u2028\u2029]'"
    ),
    "ck_usage_correction_number_positive": "number >= 1",
    "ck_usage_correction_quantity_before_digits": digits("quantity_before", 14, 6),
    "ck_usage_correction_quantity_digits": digits("quantity", 14, 6),
    "ck_usage_correction_difference_rule": "difference = quantity - quantity_before AND difference <> 0",
    "ck_usage_correction_billing_period_first_of_month": "extract(day FROM billing_period) = 1",
    "ck_usage_correction_reason_given": "btrim(reason) <> ''",
}


def _create_usage_billing_indexes() -> None:
    """Create the indexes that the invoice run uses to sum usage.

    The run reads one ordered range per chunk of customers, from the index alone once the table is
    vacuumed. `occurred_at` separates late usage from the period's own without reading the table. The
    billing period is the first column so that new events go into a small, cached part of the index.
    The events of an invoice and a customer's usage in a period are found by this index as well.

    Measured with 10 million events of 100,000 customers in three months, best of several rounds on
    two cores. Ingest is the CPU time of one backend for COPY and INSERT. The rest is elapsed time.

    | index                 | ingest 100,000 rows | sum a month by customer | sum 5,000 customers |
    |-----------------------|---------------------|-------------------------|---------------------|
    | this one              | 1.75 s              | 0.61 s                  | 0.026 s             |
    | without occurred_at   | 1.50 s              | not measured            | not measured        |
    | BRIN (billing_period) | 1.27 s              | 1.04 s                  | 0.40 s              |
    | none                  | 1.30 s              | 1.18 s                  | 0.30 s              |

    The run works in chunks so that it can be killed and resumed. Reading 20 chunks takes 0.5 s with
    this index and 6 to 8 s with BRIN or none. That is worth a third more CPU time per event.
    """
    op.create_index(
        "ix_usage_event_billing",
        "usage_event",
        ["billing_period", "customer_id", "occurred_at"],
        postgresql_include=["quantity", "meter_id"],
    )
    # For meters that count different items. Other events are not in it, so it costs them nothing.
    op.create_index(
        "ix_usage_event_item",
        "usage_event",
        ["billing_period", "customer_id", "occurred_at", "meter_id", "item"],
        postgresql_where=sa.text("item IS NOT NULL"),
    )


def _create_usage_log_indexes() -> None:
    """Create the indexes of the usage log, one of all events and one of late events.

    `ix_usage_event_meter` serves the usage log of all customers, newest first: of one meter, or of all by
    taking the newest of each. So a meter with few events is as fast as one with millions. With 2.1
    million events, a page takes 1.2 to 1.8 ms, and a page of one usage month 1.2 to 5.9 ms. Without
    the index, a page takes 430 to 490 ms and gets slower as the table grows. The index slows ingest
    to 0.93 of the rate without it (median of five rounds). A BRIN index would not slow ingest, but a
    page would take 46 to 60 ms: with one late event in a hundred, every block range spans two months.

    `ix_usage_event_late` contains late events only, so it costs nothing for the others. It lists
    late usage, and finds the usage of one month that was billed in another: 8 ms instead of 20 ms
    with 1.5 million events. It has the billing period as well, so that filtering by both months
    reads the index alone: 2 ms instead of 5 seconds with 10 million events, read from disk.
    """
    op.create_index("ix_usage_event_meter", "usage_event", ["meter_id", "occurred_at"])
    op.create_index(
        "ix_usage_event_late",
        "usage_event",
        ["occurred_at", "billing_period"],
        postgresql_where=sa.text("occurred_at < billing_period::timestamp AT TIME ZONE 'UTC'"),
    )


def _create_usage_correction_indexes() -> None:
    """Create the indexes on corrections: of those that a period bills, as for events, and of all by age."""
    op.create_index(
        "ix_usage_correction_billing",
        "usage_correction",
        ["billing_period", "customer_id", "occurred_at"],
        postgresql_include=["difference", "meter_id"],
    )
    op.create_index(
        "ix_usage_correction_recorded_at",
        "usage_correction",
        ["recorded_at", "customer_id", "idempotency_key", "number"],
    )


# In place of a foreign key, and of a lookup per row: see `_create_usage_event_table`. A billing row
# belongs to an existing customer, by its foreign key.
_CHECK_NEW_USAGE = f"""
CREATE FUNCTION check_new_usage() RETURNS trigger {PLPGSQL} AS $$
DECLARE
    refused record;
BEGIN
    SELECT a.customer_id, b.closed_through INTO refused
    FROM (
        SELECT customer_id, min(billing_period) AS billing_period FROM added
        GROUP BY customer_id ORDER BY customer_id
    ) a
    LEFT JOIN public.customer_billing b USING (customer_id)
    WHERE b.customer_id IS NULL OR a.billing_period <= b.closed_through
    LIMIT 1;
    IF FOUND AND refused.closed_through IS NULL THEN
        RAISE EXCEPTION 'usage can only be recorded for an existing customer'
            USING ERRCODE = 'foreign_key_violation';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'usage can only be billed in an open period'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT meter_id, item IS NOT NULL AS has_item FROM added) a
        LEFT JOIN public.meter m USING (meter_id)
        WHERE m.meter_id IS NULL OR (m.aggregation = 'unique') <> a.has_item
    ) THEN
        RAISE EXCEPTION 'usage needs an existing meter, and an item exactly if the meter counts items'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END
$$
"""

# A correction follows the one before it, or else its event: it starts from that quantity, is billed no
# earlier, and never in a closed period. So the newest one that is billed up to a period counts for it.
_CHECK_NEW_CORRECTIONS = f"""
CREATE FUNCTION check_new_corrections() RETURNS trigger {PLPGSQL} AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added a
        JOIN public.usage_event e USING (customer_id, idempotency_key)
        LEFT JOIN public.customer_billing b USING (customer_id)
        WHERE b.customer_id IS NULL OR a.billing_period <= b.closed_through
           OR a.billing_period < e.billing_period
    ) THEN
        RAISE EXCEPTION 'a correction can only be billed in an open period, and no earlier than its event'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (
        SELECT FROM added a
        JOIN public.usage_event e USING (customer_id, idempotency_key)
        JOIN public.meter m ON m.meter_id = e.meter_id
        LEFT JOIN public.usage_correction p
          ON p.customer_id = a.customer_id AND p.idempotency_key = a.idempotency_key
         AND p.number = a.number - 1
        WHERE a.occurred_at <> e.occurred_at OR a.meter_id <> e.meter_id
           OR (m.aggregation = 'unique' AND a.quantity NOT IN (0, 1))
           OR (a.number > 1 AND p.number IS NULL)
           OR a.quantity_before <> coalesce(p.quantity, e.quantity)
           OR a.billing_period < p.billing_period
    ) THEN
        RAISE EXCEPTION 'a correction must follow its event or the correction before it'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$
"""


SUBJECT = Subject(
    tables=("usage_event", "usage_correction"),
    steps=(
        _create_usage_event_table,
        _create_usage_correction_table,
        _create_usage_billing_indexes,
        _create_usage_log_indexes,
        _create_usage_correction_indexes,
    ),
    functions={"check_new_usage()": _CHECK_NEW_USAGE, "check_new_corrections()": _CHECK_NEW_CORRECTIONS},
    triggers=(
        append_only("usage_event"),
        append_only("usage_correction"),
        """
        CREATE TRIGGER customer_exists_and_period_open
        AFTER INSERT ON usage_event REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION check_new_usage()
        """,
        """
        CREATE TRIGGER follows_its_event AFTER INSERT ON usage_correction REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION check_new_corrections()
        """,
    ),
)
