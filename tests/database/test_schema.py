"""The schema follows the rules that allow distributing it by customer."""

from __future__ import annotations

import psycopg
import pytest

# Copied to every node when the schema is distributed. The other tables are split by customer.
SHARED = {
    "alembic_version",
    "api_token",
    "audit_entry",
    "customer",
    "dashboard_figures",
    "getting_started_dismissal",
    "idempotent_request",
    "invoice_run",
    "invoice_run_failure",
    "issuer",
    "known_place",
    "meter",
    "plan",
    "plan_charge",
    "plan_tier",
    "sign_in_attempt",
    "simulation",
    "usage_import",
    "usage_import_part",
    "usage_import_rejected_row",
    "user_account",
    "user_session",
    "verification",
}
CUSTOMER_OWNED = {
    "customer_billing",
    "customer_figures",
    "discount",
    "invoice",
    "invoice_line",
    "number_gap",
    "one_off_item",
    "open_invoice",
    "payment",
    "payment_reversal",
    "refund",
    "refund_reversal",
    "simulated_customer",
    "subscription",
    "suspension",
    "usage_correction",
    "usage_event",
}

KEYS = """
    SELECT t.relname, i.relname,
           (SELECT array_agg(a.attname ORDER BY k.position)
            FROM unnest(x.indkey) WITH ORDINALITY AS k(attnum, position)
            LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum)
    FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
    WHERE t.relnamespace = 'public'::regnamespace AND x.indisunique
"""

FOREIGN_KEYS = """
    SELECT t.relname, f.relname, c.conname,
           (SELECT array_agg(a.attname ORDER BY k.position)
            FROM unnest(c.conkey) WITH ORDINALITY AS k(attnum, position)
            JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum)
    FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class f ON f.oid = c.confrelid
    WHERE c.contype = 'f' AND t.relnamespace = 'public'::regnamespace
"""


def test_every_table_is_shared_or_customer_owned(owner: psycopg.Connection) -> None:
    tables = {row[0] for row in owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert tables == SHARED | CUSTOMER_OWNED
    for table in CUSTOMER_OWNED:
        column = owner.execute(
            "SELECT data_type, is_nullable FROM information_schema.columns"
            " WHERE table_name = %s AND column_name = 'customer_id'",
            [table],
        ).fetchone()
        assert column == ("bigint", "NO"), table


def test_customer_is_the_first_column_of_every_key_of_a_customer_owned_table(
    owner: psycopg.Connection,
) -> None:
    keys = [row for row in owner.execute(KEYS) if row[0] in CUSTOMER_OWNED]
    assert {row[0] for row in keys} == CUSTOMER_OWNED
    for table, name, columns in keys:
        assert columns[0] == "customer_id", f"{table}.{name}"
    for table, referenced, name, columns in owner.execute(FOREIGN_KEYS):
        if table in CUSTOMER_OWNED and referenced in CUSTOMER_OWNED:
            assert columns[0] == "customer_id", f"{table}.{name}"


def test_shared_tables_do_not_refer_to_customer_owned_ones(owner: psycopg.Connection) -> None:
    for table, referenced, name, _ in owner.execute(FOREIGN_KEYS):
        if table in SHARED:
            assert referenced in SHARED, name


def test_usage_events_and_invoices_have_natural_primary_keys(owner: psycopg.Connection) -> None:
    keys = {name: columns for _, name, columns in owner.execute(KEYS)}
    assert keys["pk_usage_event"] == ["customer_id", "idempotency_key"]
    assert keys["pk_invoice"] == ["customer_id", "period_start"]


def test_every_constraint_follows_the_naming_convention(owner: psycopg.Connection) -> None:
    names = [
        row[0]
        for row in owner.execute(
            "SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
            " AND contype <> 'n' AND conname <> 'alembic_version_pkc'"
        )
    ]
    assert names
    for name in names:
        assert name.startswith(("pk_", "fk_", "uq_", "ck_")), name


@pytest.mark.parametrize(
    ("table", "column", "expected"),
    [
        ("invoice", "total_minor", (38, 0)),
        ("invoice_line", "quantity", (38, 6)),
        ("invoice_line", "exact_amount", (60, 18)),
    ],
)
def test_computed_numbers_have_the_documented_precision(
    owner: psycopg.Connection, table: str, column: str, expected: tuple[int, int]
) -> None:
    found = owner.execute(
        "SELECT numeric_precision, numeric_scale FROM information_schema.columns"
        " WHERE table_name = %s AND column_name = %s",
        [table, column],
    ).fetchone()
    assert found == expected
