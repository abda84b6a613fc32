"""Bulk ingest: the product's batches compared with the minimum that any database client has to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from bench.databases import NOW, Bench, settle
from bench.measures import seconds
from billing_app.database.provision import APPLICATION_ROLE
from billing_app.domain.actor import system
from billing_app.domain.periods import period_of
from billing_app.services.usage.recording import BATCH_MAX, UsageReport, record_usage_batch

ACTOR = system("bench")
CONNECTIONS = 2
_numbers = count(1)

Batch = list[tuple[int, str, str, str]]
"""Incoming rows: the customer's number, and key, quantity and time as text."""


def make_batches(customers: int, batches: int, latest: datetime = NOW) -> list[Batch]:
    """Create batches of 10,000 rows with new keys, in turn for each customer, none later than `latest`."""
    return [[_row(customers, next(_numbers), latest) for _ in range(BATCH_MAX)] for _ in range(batches)]


def _row(customers: int, number: int, latest: datetime) -> tuple[int, str, str, str]:
    moment = latest - timedelta(milliseconds=number % 1_000_000_000)
    key, quantity = f"wire-{number:012d}", f"{number % 400 / 8:.3f}"
    return 1 + number * 7919 % customers, key, quantity, moment.isoformat().replace("+00:00", "Z")


def product_rate(bench: Bench, batches: Sequence[Batch]) -> float:
    """Measure the rows per second of `record_usage_batch`: two threads, one transaction per batch.

    The values are strings, and customers are given by key. This includes everything that the product does:
    parsing each row, the gate, checking customers, plans, suspensions and marks, and the audit entry.
    """
    reports = [[UsageReport(f"customer-{row[0]}", *row[1:]) for row in batch] for batch in batches]
    database = bench.database()

    def work(share: Sequence[list[UsageReport]]) -> None:
        for batch in share:
            with database.transaction(ACTOR) as session:
                done = record_usage_batch(session, ACTOR, batch)
            assert done.recorded == len(batch), done

    try:
        return _rate(bench, reports, work)
    finally:
        database.close()


def bare_rate(bench: Bench, batches: Sequence[Batch]) -> float:
    """Measure the rows per second of COPY to a temporary table and INSERT ... SELECT ON CONFLICT DO NOTHING.

    Inserts the same number of rows into the same table with its indexes, checks, foreign key and triggers, as
    the same role, on two connections, with one commit per batch. The rows are prepared: nothing is parsed,
    looked up or checked.
    """
    month = period_of(NOW)
    rows = [
        [(customer, key, moment, NOW, month, quantity, "bench") for customer, key, quantity, moment in batch]
        for batch in batches
    ]

    def work(share: Sequence[list[tuple[Any, ...]]]) -> None:
        with bench.connect(APPLICATION_ROLE) as db:
            db.execute(
                "CREATE TEMPORARY TABLE incoming (customer_id bigint, idempotency_key text,"
                " occurred_at timestamptz, recorded_at timestamptz, billing_period date,"
                " quantity numeric, recorded_by text) ON COMMIT DELETE ROWS"
            )
            for batch in share:
                with db.cursor().copy("COPY incoming FROM STDIN") as copy:
                    for row in batch:
                        copy.write_row(row)
                db.execute(
                    "INSERT INTO usage_event (customer_id, idempotency_key, occurred_at, recorded_at,"
                    " billing_period, quantity, recorded_by) SELECT * FROM incoming ON CONFLICT DO NOTHING"
                )
                db.commit()

    return _rate(bench, rows, work)


def empty_usage(bench: Bench) -> None:
    """Remove all events."""
    with bench.superuser() as db:
        db.execute("TRUNCATE usage_event")


def _rate(bench: Bench, batches: Sequence[list[Any]], work: Callable[[Any], None]) -> float:
    settle(bench)
    shares = [batches[number::CONNECTIONS] for number in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        taken = seconds(lambda: list(pool.map(work, shares)))
    return sum(map(len, batches)) / taken
