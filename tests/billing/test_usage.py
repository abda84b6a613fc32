"""Recording usage: the identity of events, rejections, batches."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Role, Scope
from billing_app.errors import BillingError, Conflict, Forbidden, Invalid, NotFound
from billing_app.jobs.recorder import UsageRecorder
from billing_app.services.usage.recording import (
    RecordedUsage,
    RowResult,
    UsageReport,
    record_usage,
    record_usage_batch,
)
from billing_app.telemetry.metrics import Metrics
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.loops import in_a_loop
from tests.races import blocked_before_end

NOW = "2026-11-15T12:00:00Z"


@pytest.fixture
def acme(shop: Shop) -> Shop:
    shop.customer("acme", "2026-09")
    return shop


@pytest.mark.parametrize(
    "quantity", ["0.1", "0.000001", "12345678901234.123456", "99999999999999.999999", "0", "1e-6", 30000000]
)
def test_quantity_is_recorded_exactly(acme: Shop, quantity: object) -> None:
    assert acme.use("acme", "a", quantity).event.quantity == Decimal(str(quantity))


@pytest.mark.parametrize(
    ("field", "report"),
    [
        ("customer", UsageReport(7, "k", "1")),
        ("customer", UsageReport("", "k", "1")),
        ("customer", UsageReport("a\0b", "k", "1")),
        ("customer", UsageReport("a\ud800", "k", "1")),
        ("idempotency_key", UsageReport("acme", "", "1")),
        ("idempotency_key", UsageReport("acme", None, "1")),
        ("idempotency_key", UsageReport("acme", "k" * 256, "1")),
        ("idempotency_key", UsageReport("acme", "a\0b", "1")),
        ("idempotency_key", UsageReport("acme", "a\tb", "1")),
        ("idempotency_key", UsageReport("acme", "a\nb", "1")),
        ("idempotency_key", UsageReport("acme", "a\r\n", "1")),
        ("idempotency_key", UsageReport("acme", "\x1b[2Ja", "1")),
        ("idempotency_key", UsageReport("acme", "a\x7f", "1")),
        ("idempotency_key", UsageReport("acme", "a\x85b", "1")),
        ("idempotency_key", UsageReport("acme", "a\u2028b", "1")),
        ("idempotency_key", UsageReport("acme", "a\udfff", "1")),
        ("quantity", UsageReport("acme", "k", "-1")),
        ("quantity", UsageReport("acme", "k", "one")),
        ("quantity", UsageReport("acme", "k", "\N{ARABIC-INDIC DIGIT THREE}")),
        ("quantity", UsageReport("acme", "k", "\N{FULLWIDTH DIGIT THREE}")),
        ("quantity", UsageReport("acme", "k", "1e400")),
        ("quantity", UsageReport("acme", "k", "NaN")),
        ("quantity", UsageReport("acme", "k", "Infinity")),
        ("quantity", UsageReport("acme", "k", 0.1)),
        ("quantity", UsageReport("acme", "k", True)),
        ("quantity", UsageReport("acme", "k", None)),
        ("quantity", UsageReport("acme", "k", "1.0000001")),
        ("quantity", UsageReport("acme", "k", "100000000000000")),
        ("occurred_at", UsageReport("acme", "k", "1", "2026-11-01")),
        ("occurred_at", UsageReport("acme", "k", "1", "2026-11-01T00:00:00")),
        ("occurred_at", UsageReport("acme", "k", "1", "2026-02-30T00:00:00Z")),
        ("occurred_at", UsageReport("acme", "k", "1", "9999-12-31T23:59:59-12:00")),
        ("occurred_at", UsageReport("acme", "k", "1", datetime(2026, 11, 1))),  # noqa: DTZ001
        ("occurred_at", UsageReport("acme", "k", "1", "2026-11-15T12:05:00.000001Z")),
        ("occurred_at", UsageReport("acme", "k", "1", "2026-08-31T23:59:59.999999Z")),
    ],
)
def test_invalid_report_names_the_field_and_records_nothing(
    acme: Shop, owner: psycopg.Connection, field: str, report: UsageReport
) -> None:
    with pytest.raises(Invalid) as refused, acme.database.transaction(acme.actor) as session:
        record_usage(session, acme.actor, report)
    assert [each.field for each in refused.value.errors] == [field]
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (0,)


def test_sender_clock_may_be_five_minutes_ahead(acme: Shop) -> None:
    assert acme.use("acme", "a", 1, "2026-11-15T12:05:00Z").status == "recorded"


def test_unknown_customer_is_rejected(acme: Shop) -> None:
    # The lower case of the Kelvin sign is an ASCII k.
    acme.customer("kilo", "2026-09")
    for name in ("missing", "cus_999", "cus_x", "%", "\N{KELVIN SIGN}ilo"):
        with pytest.raises(NotFound) as refused:
            acme.use(name, "a", 1)
        assert refused.value.code == "customer_not_found"


def test_customer_is_found_by_id_or_key_in_any_case(acme: Shop) -> None:
    customer_id = acme.customer("Globex", "2026-09")
    assert acme.use("GLOBEX", "a", 1).status == "recorded"
    assert acme.use(f"cus_{customer_id}", "a", 1).status == "duplicate"
    assert acme.use("acme", "a", 2).status == "recorded"


def test_repeat_without_a_time_is_a_duplicate(acme: Shop, clock: Clock) -> None:
    first = acme.use("acme", "a", 1)
    clock.moment += timedelta(hours=1)
    again = acme.use("acme", "a", 1)
    assert (again.status, again.event) == ("duplicate", first.event)
    with pytest.raises(Conflict):
        acme.use("acme", "a", 1, clock.moment)


def test_times_compare_by_the_microsecond_in_any_offset(acme: Shop) -> None:
    acme.use("acme", "a", 1, "2026-11-01T02:00:00.123456789+02:00")
    assert acme.use("acme", "a", 1, "2026-11-01T00:00:00.123456Z").status == "duplicate"
    with pytest.raises(Conflict):
        acme.use("acme", "a", 1, "2026-11-01T00:00:00.123457Z")


def test_month_ends_by_the_utc_calendar(acme: Shop) -> None:
    event = acme.use("acme", "a", 1, "2026-11-01T01:59:59+02:00").event
    assert event.billing_period == date(2026, 10, 1)


def test_usage_during_a_suspension_stays_rejected_after_it(acme: Shop, clock: Clock) -> None:
    acme.use("acme", "known", 1, "2026-11-15T11:00:00Z")
    acme.set_status("acme", "suspended")
    clock.moment += timedelta(hours=2)
    with pytest.raises(Conflict) as refused:
        acme.use("acme", "a", 1, "2026-11-15T13:00:00Z")
    assert refused.value.code == "customer_suspended"
    assert acme.use("acme", "known", 1, "2026-11-15T11:00:00Z").status == "duplicate"
    assert acme.use("acme", "before", 1, "2026-11-15T11:59:59Z").status == "recorded"
    acme.set_status("acme", "active")
    with pytest.raises(Conflict):
        acme.use("acme", "a", 1, "2026-11-15T13:00:00Z")
    assert acme.use("acme", "a", 1, "2026-11-15T14:00:00Z").status == "recorded"


def test_canceled_months_take_no_usage_and_usage_prevents_cancellation(acme: Shop, clock: Clock) -> None:
    acme.use("acme", "a", 1, "2026-11-10T00:00:00Z")
    with pytest.raises(BillingError) as refused:
        acme.set_plan("acme", None, "2026-11")
    assert refused.value.code == "usage_recorded"
    acme.set_plan("acme", None, "2026-12")
    clock.set(2026, 12, 5)
    with pytest.raises(Invalid):
        acme.use("acme", "b", 1)
    assert acme.use("acme", "late", 1, "2026-11-30T23:59:59Z").status == "recorded"


def test_late_usage_is_billed_in_the_oldest_open_month(acme: Shop) -> None:
    acme.invoice("acme", "2026-09")
    event = acme.use("acme", "late", 1, "2026-09-30T00:00:00Z").event
    assert event.billing_period == date(2026, 10, 1)


def test_each_row_of_a_batch_has_its_own_outcome(acme: Shop, owner: psycopg.Connection) -> None:
    acme.use("acme", "old", 5, NOW)
    outcome = acme.use_many(
        [
            UsageReport("acme", "new", "1", NOW),
            UsageReport("acme", "new", "1", NOW),
            UsageReport("acme", "new", "2", NOW),
            UsageReport("acme", "old", "5.0", NOW),
            UsageReport("acme", "old", "6", NOW),
            UsageReport("missing", "x", "1", NOW),
            UsageReport("acme", "", "1", NOW),
            UsageReport("acme", "ahead", "1", "2026-11-16T00:00:00Z"),
            UsageReport("acme", "other", "1", NOW),
        ]
    )
    counts = (outcome.recorded, outcome.duplicates, outcome.conflicts, outcome.rejected)
    assert counts == (2, 2, 2, 3)
    assert [
        (each.index, each.status, each.reason.code if each.reason else None) for each in outcome.results
    ] == [
        (1, "duplicate", None),
        (2, "conflict", "idempotency_conflict"),
        (3, "duplicate", None),
        (4, "conflict", "idempotency_conflict"),
        (5, "rejected", "customer_not_found"),
        (6, "rejected", "invalid"),
        (7, "rejected", "occurred_in_future"),
    ]
    assert isinstance(outcome.results[0], RowResult)
    rows = owner.execute("SELECT idempotency_key, quantity FROM usage_event ORDER BY 1").fetchall()
    assert rows == [("new", 1), ("old", 5), ("other", 1)]


def test_first_acceptable_row_of_a_key_is_recorded(acme: Shop) -> None:
    ahead = "2026-12-01T00:00:00Z"
    outcome = acme.use_many([UsageReport("acme", "k", 1, moment) for moment in (ahead, NOW, ahead, NOW)])
    assert outcome.recorded == 1
    assert [
        (each.index, each.status, each.reason.code if each.reason else None) for each in outcome.results
    ] == [
        (0, "rejected", "occurred_in_future"),
        (2, "conflict", "idempotency_conflict"),
        (3, "duplicate", None),
    ]


def test_extreme_offsets_do_not_fail_a_batch(acme: Shop) -> None:
    outcome = acme.use_many(
        [
            UsageReport("acme", "a", 1, "2026-11-02T12:00:00+23:59"),
            UsageReport("acme", "b", 1, "2026-10-31T12:00:00-23:59"),
            UsageReport("acme", "c", 1, "9998-12-31T23:59:59-23:59"),
        ]
    )
    assert (outcome.recorded, outcome.rejected) == (2, 1)


def test_two_reports_in_one_transaction_are_two_events(acme: Shop, database: Database, admin: Actor) -> None:
    with database.transaction(admin) as session:
        record_usage(session, admin, UsageReport("acme", "a", 1, NOW))
        assert record_usage(session, admin, UsageReport("acme", "b", 2, NOW)).event.idempotency_key == "b"
        outcome = record_usage_batch(session, admin, [UsageReport("missing", "c", 1, NOW)])
    assert (outcome.recorded, outcome.duplicates, outcome.rejected) == (0, 0, 1)


def test_each_report_of_a_round_is_answered_like_a_single_one(
    acme: Shop, database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    reports = [
        UsageReport("acme", "a", 1, NOW),
        UsageReport("missing", "a", 1, NOW),
        UsageReport("ACME", "a", "1.0", NOW),
        UsageReport("acme", "a", 2, NOW),
        UsageReport("acme", "b", -1, NOW),
        UsageReport("acme", "c", 3),
    ]

    async def record_all() -> list[RecordedUsage | BaseException]:
        recorder = UsageRecorder(database, Metrics())
        return await asyncio.gather(
            *(recorder.record(admin, each) for each in reports), return_exceptions=True
        )

    answers = in_a_loop(record_all())
    assert [answer.code if isinstance(answer, BillingError) else answer.status for answer in answers] == [
        "recorded", "customer_not_found", "duplicate", "idempotency_conflict", "invalid", "recorded",
    ]  # fmt: skip
    assert [answer.event.quantity for answer in answers if isinstance(answer, RecordedUsage)] == [1, 1, 3]
    assert owner.execute("SELECT count(*) FROM audit_entry WHERE action LIKE 'usage%'").fetchone() == (0,)


def test_customer_created_while_a_batch_waits_is_still_unknown_to_it(
    shop: Shop, database: Database, admin: Actor
) -> None:
    shop.customer("acme", "2026-09")
    plan_id = shop.plan()
    with ThreadPoolExecutor(1) as pool:
        with database.transaction(admin) as session:
            record_usage(session, admin, UsageReport("acme", "same", 1, NOW))
            batch = [UsageReport("acme", "same", 1, NOW), UsageReport("newcomer", "k", 1, NOW)]
            answer = pool.submit(shop.use_many, batch)
            assert blocked_before_end(database, answer)
            shop.customer("newcomer", "2026-09", plan_id)
        results = answer.result().results
    assert [(each.status, each.reason.code if each.reason else None) for each in results] == [
        ("duplicate", None),
        ("rejected", "customer_not_found"),
    ]


def test_batch_with_too_many_rows_is_rejected_as_a_whole(acme: Shop, owner: psycopg.Connection) -> None:
    reports = [UsageReport("acme", f"k{number}", 1, NOW) for number in range(10_001)]
    with pytest.raises(Invalid):
        acme.use_many(reports)
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (0,)
    assert acme.use_many(reports[1:]).recorded == 10_000


def test_recording_needs_the_permission(acme: Shop, database: Database, finance: Actor) -> None:
    writer = Actor("token", "tok_1", "meter", scopes=frozenset({Scope.USAGE_WRITE}))
    reader = Actor("token", "tok_2", "report", scopes=frozenset({Scope.READ}))
    anonymous = Actor("user", "usr_9", "none", None)
    for refused in (finance, reader, anonymous):
        with pytest.raises(Forbidden), database.transaction(refused) as session:
            record_usage(session, refused, UsageReport("acme", "a", 1, NOW))
    with database.transaction(writer) as session:
        assert record_usage(session, writer, UsageReport("acme", "a", 1, NOW)).event.recorded_by == "tok_1"


def test_database_rejects_a_finance_user_even_without_the_permission_check(
    acme: Shop, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing_app.services.usage.recording.require", lambda actor, permission: None)
    finance = Actor("user", "usr_3", "Finn", Role.FINANCE)
    with pytest.raises(Exception, match="read-only transaction"), database.transaction(finance) as session:
        record_usage(session, finance, UsageReport("acme", "a", 1, datetime(2026, 11, 1, tzinfo=UTC)))


def test_database_rejects_control_characters_in_a_key(acme: Shop, owner: psycopg.Connection) -> None:
    """The rule also applies to rows that are written without the services."""
    acme.use("acme", "as-usual 42/é", 1, NOW)
    for key in ("a\tb", "a\nb", "a\x7f", "a\x85b", "a\u2028b"):
        with pytest.raises(psycopg.errors.CheckViolation, match="idempotency_key_control_characters"):
            owner.execute(
                "INSERT INTO usage_event SELECT customer_id, %s, occurred_at, recorded_at, billing_period,"
                " quantity, recorded_by FROM usage_event",
                [key],
            )
