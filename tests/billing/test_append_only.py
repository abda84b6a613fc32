"""Append-only tables, attacked as the application's role and as the owner."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import psycopg
import pytest
from psycopg import errors

from billing_app.database.migrations import migrate
from billing_app.database.privileges import APPEND_ONLY, PRIVILEGES
from billing_app.database.provision import Urls
from billing_app.models import InvoiceLine
from billing_app.services.adjustments.discounts import create_discount
from billing_app.services.adjustments.one_off_items import record_item
from billing_app.services.adjustments.refunds import record_refund, reverse_refund
from billing_app.services.invoices.number_gaps import reserve_issued_numbers
from billing_app.services.payments.payments import record_payment, reverse_payment
from billing_app.services.plans.charges import ChargeTerms, TierTerms
from billing_app.services.plans.plans import create_plan
from billing_app.services.usage.correction_rows import CorrectionReport
from billing_app.services.usage.corrections import correct_usage
from tests.billing.shop import Shop


@pytest.fixture
def application(urls: Urls) -> Iterator[psycopg.Connection]:
    with psycopg.connect(urls.application.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


@pytest.fixture
def billed(shop: Shop) -> Shop:
    """Create a row in each append-only table."""
    shop.customer("acme", "2026-09")
    shop.use("acme", "a", 1500, "2026-09-10T00:00:00Z")
    shop.invoice("acme", "2026-09")
    with shop.database.transaction(shop.actor) as session:
        correct_usage(session, shop.actor, CorrectionReport("acme", "a", 1400, "counted twice", "fix"))
        paid = record_payment(
            session, shop.actor, "ACME-0001", amount="5", received_on=shop.database.clock().date(),
            idempotency_key="p1",
        )  # fmt: skip
        reverse_payment(session, shop.actor, "ACME-0001", paid.payment.payment_id, reason="wrong customer")
        tiers = [TierTerms("0.02", up_to="1000"), TierTerms("0.01")]
        create_plan(
            session, shop.actor, name="Tiered", monthly_price=0, charges=[ChargeTerms("volume", tiers=tiers)]
        )
        shop.customer("globex")
        reserve_issued_numbers(session, shop.actor, "globex", last_issued=2, backup_of=shop.database.clock())
    return shop


@pytest.fixture
def refunded(billed: Shop) -> Shop:
    """Also create a row in each table of adjustments."""
    shop = billed
    shop.customer("initech", "2026-09")
    month = date(2026, 9, 1)
    with shop.database.transaction(shop.actor) as session:
        record_item(
            session, shop.actor, "initech", description="Goodwill", unit_price="-100.00", item_date=month,
            idempotency_key="goodwill",
        )  # fmt: skip
        create_discount(session, shop.actor, "initech", name="Welcome", percent="10", first_period=month)
    shop.invoice("initech", "2026-09")
    with shop.database.transaction(shop.actor) as session:
        refund = record_refund(
            session, shop.actor, "initech", amount="5", refunded_on=date(2026, 11, 2), idempotency_key="r1"
        )
        reverse_refund(session, shop.actor, "initech", refund.refund_id, reason="wrong account")
    return shop


def attacks_on(table: str) -> list[str]:
    column = {"audit_entry": "action", "plan_charge": "meter_id", "plan_tier": "up_to"}.get(
        table, "customer_id"
    )
    return [f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"]


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_rows_can_be_neither_changed_nor_deleted(
    refunded: Shop, table: str, application: psycopg.Connection, owner: psycopg.Connection
) -> None:
    before = owner.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert before
    assert before[0] > 0
    for attack in attacks_on(table):
        with pytest.raises(errors.InsufficientPrivilege):
            application.execute(attack)
        with pytest.raises(errors.RestrictViolation, match="append-only"):
            owner.execute(attack)
    assert owner.execute(f"SELECT count(*) FROM {table}").fetchone() == before


COPY_OF_LINE = ", ".join(
    {"line_number": "3", "charge_position": "2"}.get(column.name, column.name)
    for column in InvoiceLine.__table__.columns  # type: ignore[attr-defined]
)
LINE = (
    f"INSERT INTO invoice_line ({', '.join(column.name for column in InvoiceLine.__table__.columns)})"  # type: ignore[attr-defined]
    f" SELECT {COPY_OF_LINE} FROM invoice_line WHERE line_number = 2"
)


def test_line_cannot_be_added_to_an_existing_invoice(
    billed: Shop, application: psycopg.Connection, owner: psycopg.Connection
) -> None:
    for connection in (application, owner):
        with pytest.raises(errors.RestrictViolation, match="lines of an invoice"):
            connection.execute(LINE)
    assert owner.execute("SELECT count(*) FROM invoice_line").fetchone() == (2,)


INVOICE = (
    "INSERT INTO invoice SELECT customer_id, period_start + interval '{months} month', sequence + 1,"
    " 'ACME-0002', format, currency, issued_at, due_on, total_minor, line_count, issuer_name, issuer_address,"
    " issuer_email, issuer_payment_instructions, customer_key, customer_name, customer_email,"
    " customer_billing_address, content_sha256, content_sha256 FROM invoice"
)


def test_invoice_without_its_lines_is_refused(billed: Shop, owner: psycopg.Connection) -> None:
    owner.execute("UPDATE customer_billing SET closed_through = '2026-10-01'")
    with pytest.raises(errors.ForeignKeyViolation, match="fk_invoice_last_line"):
        owner.execute(INVOICE.format(months=1))


def test_second_invoice_for_a_month_and_one_for_an_open_month_are_refused(
    billed: Shop, owner: psycopg.Connection
) -> None:
    with pytest.raises(errors.UniqueViolation):
        owner.execute(INVOICE.format(months=0))
    with pytest.raises(errors.RestrictViolation, match="for a closed period"):
        owner.execute(INVOICE.format(months=1))


EVENT = (
    "INSERT INTO usage_event (customer_id, idempotency_key, occurred_at, recorded_at, billing_period,"
    " quantity, recorded_by) VALUES (1, 'x', '2026-10-05Z', now(), {period}, {quantity}, 'x')"
)


@pytest.mark.parametrize(
    ("period", "quantity", "refusal"),
    [
        ("'2026-09-01'", "1", errors.CheckViolation),  # a billing period before the usage month
        ("'2026-10-02'", "1", errors.CheckViolation),  # not the first day of a month
        ("'2026-10-01'", "-1", errors.CheckViolation),
        ("'2026-10-01'", "'NaN'", errors.CheckViolation),
        ("'2026-10-01'", "'Infinity'", errors.CheckViolation),
        ("'2026-10-01'", "1.0000001", errors.CheckViolation),
        ("'2026-10-01'", "100000000000000", errors.CheckViolation),
    ],
)
def test_table_refuses_invalid_events(
    shop: Shop, application: psycopg.Connection, period: str, quantity: str, refusal: type[Exception]
) -> None:
    shop.customer("acme", "2026-09")
    with pytest.raises(refusal):
        application.execute(EVENT.format(period=period, quantity=quantity))


def test_event_billed_in_a_closed_month_is_refused(billed: Shop, application: psycopg.Connection) -> None:
    with pytest.raises(errors.RestrictViolation, match="open period"):
        application.execute(
            EVENT.format(period="'2026-09-01'", quantity="1").replace("2026-10-05", "2026-09-05")
        )


def test_event_of_a_customer_that_does_not_exist_is_refused(
    billed: Shop, application: psycopg.Connection, owner: psycopg.Connection
) -> None:
    event = EVENT.format(period="'2026-10-01'", quantity="1")
    stray = event.replace("VALUES (1,", "VALUES (1, 'y', '2026-10-05Z', now(), '2026-10-01', 1, 'x'), (99,")
    for connection in (application, owner):
        with pytest.raises(errors.ForeignKeyViolation, match="existing customer"):
            connection.execute(stray)
    strays = owner.execute("SELECT count(*) FROM usage_event WHERE idempotency_key IN ('x', 'y')")
    assert strays.fetchone() == (0,)
    application.execute(event)


@pytest.mark.parametrize(
    "attack",
    [
        "DELETE FROM customer",
        "DELETE FROM customer WHERE key = 'new'",
        "TRUNCATE customer CASCADE",
        "UPDATE customer SET customer_id = DEFAULT",
    ],
)
def test_customer_cannot_be_removed(
    billed: Shop, application: psycopg.Connection, owner: psycopg.Connection, attack: str
) -> None:
    # No key refers to this one, so only the triggers protect it.
    owner.execute(
        "INSERT INTO customer (key, name, email, email_key, billing_address, currency, created_at, version)"
        " VALUES ('new', 'New', 'a@new.test', 'a@new.test', '', 'USD', now(), 1)"
    )
    customers = owner.execute("SELECT customer_id, key FROM customer ORDER BY 1").fetchall()
    with pytest.raises(errors.InsufficientPrivilege):
        application.execute(attack)
    with pytest.raises(errors.RestrictViolation, match="a customer cannot be deleted"):
        owner.execute(attack)
    assert owner.execute("SELECT customer_id, key FROM customer ORDER BY 1").fetchall() == customers


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE customer_billing SET closed_through = '2020-01-01', settled_through = '2020-01-01'",
        "UPDATE customer_billing SET last_number = 0, last_sha256 = NULL",
        "DELETE FROM subscription",
        "UPDATE subscription SET plan_id = plan_id",
        "UPDATE plan SET monthly_price_minor = 1",
        "UPDATE plan SET charge_count = 0",
        "DELETE FROM plan",
        "UPDATE plan_charge SET unit_price = 0",
        "UPDATE plan_tier SET unit_price = 0",
        "UPDATE meter SET code = 'other' WHERE meter_id = 1",
        "UPDATE meter SET aggregation = 'max' WHERE meter_id = 1",
        "DELETE FROM meter",
        "TRUNCATE meter CASCADE",
        "UPDATE discount SET percent = 50",
        "UPDATE discount SET first_period = '2026-12-01'",
        "UPDATE discount SET last_period = '2026-08-01'",  # a closed month
        "DELETE FROM discount",
        "TRUNCATE discount",
    ],
)
def test_marks_terms_and_past_subscriptions_cannot_change(
    refunded: Shop, application: psycopg.Connection, owner: psycopg.Connection, attack: str
) -> None:
    with pytest.raises((errors.RestrictViolation, errors.InsufficientPrivilege)):
        application.execute(attack)
    with pytest.raises(errors.RestrictViolation):
        owner.execute(attack)


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE customer SET key = 'other'",
        "UPDATE customer SET currency = 'EUR'",
        "UPDATE suspension SET started_at = now()",
        "CREATE TABLE public.mine (number integer)",
    ],
)
def test_application_has_no_unneeded_privileges(
    billed: Shop, application: psycopg.Connection, owner: psycopg.Connection, urls: Urls, attack: str
) -> None:
    owner.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")  # as in databases from before PostgreSQL 15
    migrate(urls)
    with pytest.raises(errors.InsufficientPrivilege):
        application.execute(attack)


def test_application_has_exactly_the_declared_privileges(owner: psycopg.Connection) -> None:
    tables = {row[0] for row in owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert tables == PRIVILEGES.keys()
    granted: dict[str, set[str]] = {}
    for table, privilege in owner.execute(
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants"
        " WHERE grantee = 'tallybook_app'"
        " UNION SELECT table_name, privilege_type || ' (' || column_name || ')'"
        " FROM information_schema.column_privileges p WHERE grantee = 'tallybook_app'"
        " AND NOT EXISTS (SELECT FROM information_schema.role_table_grants t WHERE t.grantee = p.grantee"
        " AND t.table_name = p.table_name AND t.privilege_type = p.privilege_type)"
    ):
        granted.setdefault(table, set()).add(privilege)
    assert granted == {table: set(privileges) for table, privileges in PRIVILEGES.items()}
