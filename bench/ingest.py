"""Bulk ingest: the product's batches compared with the minimum that any database client has to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any

from bench.databases import NOW, Bench, settle
from bench.measures import seconds
from bench.mixture import ITEMS, METER_IDS, meter_of
from billing_app.database.provision import APPLICATION_ROLE
from billing_app.domain.actor import system
from billing_app.domain.periods import period_of
from billing_app.services.usage.recording import BATCH_MAX, UsageReport, record_usage_batch

ACTOR = system("bench")
CONNECTIONS = 2
_numbers = count(1)

Batch = list[tuple[int, str, str, str]]
"""Incoming rows: the customer's number, and key, quantity and time as text."""
MixedBatch = list[tuple[int, str, str, str, str | None, str | None]]
"""Incoming rows of the mixed load, which end with a meter and an item, if they have one."""


def make_batches(customers: int, batches: int, latest: datetime = NOW) -> list[Batch]:
    """Create batches of 10,000 rows with new keys, in turn for each customer, none later than `latest`."""
    return [[_row(customers, next(_numbers), latest) for _ in range(BATCH_MAX)] for _ in range(batches)]


def make_mixed_batches(customers: int, batches: int) -> list[MixedBatch]:
    """Create the same batches for the mixed load."""
    return [[_mixed_row(customers, next(_numbers)) for _ in range(BATCH_MAX)] for _ in range(batches)]


def _row(customers: int, number: int, latest: datetime) -> tuple[int, str, str, str]:
    moment = latest - timedelta(milliseconds=number % 1_000_000_000)
    key, quantity = f"wire-{number:012d}", f"{number % 400 / 8:.3f}"
    return 1 + number * 7919 % customers, key, quantity, moment.isoformat().replace("+00:00", "Z")


def _mixed_row(customers: int, number: int) -> tuple[int, str, str, str, str | None, str | None]:
    customer_id, key, quantity, moment = _row(customers, number, NOW)
    meter = meter_of(number, customer_id, customers)
    if meter == "users":
        return customer_id, key, "1", moment, meter, f"user {number // customers % ITEMS}"
    return customer_id, key, quantity, moment, None if meter == "usage" else meter, None


def product_rate(bench: Bench, batches: Sequence[Batch] | Sequence[MixedBatch]) -> float:
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


def add_bare_table(bench: Bench) -> None:
    """Create the reference's table: the columns of usage_event, its events, and only its primary key."""
    with bench.superuser() as db:
        db.execute("CREATE TABLE bare_usage (LIKE usage_event)")
        db.execute("ALTER TABLE bare_usage ADD PRIMARY KEY (customer_id, idempotency_key)")
        db.execute("INSERT INTO bare_usage SELECT * FROM usage_event")
        db.execute(f"GRANT SELECT, INSERT ON bare_usage TO {APPLICATION_ROLE}")
        db.execute("VACUUM (ANALYZE) bare_usage")


def bare_rate(bench: Bench, batches: Sequence[Batch] | Sequence[MixedBatch]) -> float:
    """Measure rows per second by COPY to a temporary table and INSERT ... SELECT ON CONFLICT DO NOTHING.

    The target is the table of `add_bare_table`: no other index, no checks, keys or triggers. As the same
    role, on two connections, with one commit per batch. Nothing is checked, looked up or judged: the rows
    are ready as the table has them.
    """
    month = period_of(NOW)
    rows = [[_bare_row(month, *row) for row in batch] for batch in batches]

    def work(share: Sequence[list[tuple[Any, ...]]]) -> None:
        with bench.connect(APPLICATION_ROLE) as db:
            db.execute("CREATE TEMPORARY TABLE incoming (LIKE bare_usage) ON COMMIT DELETE ROWS")
            for batch in share:
                with db.cursor().copy("COPY incoming FROM STDIN") as copy:
                    for row in batch:
                        copy.write_row(row)
                db.execute("INSERT INTO bare_usage SELECT * FROM incoming ON CONFLICT DO NOTHING")
                db.commit()

    return _rate(bench, rows, work)


def _bare_row(
    month: date,
    customer: int,
    key: str,
    quantity: str,
    moment: str,
    meter: str | None = None,
    item: str | None = None,
) -> tuple[Any, ...]:
    return customer, key, moment, NOW, month, quantity, "bench", METER_IDS[meter or "usage"], item


def empty_usage(bench: Bench) -> None:
    """Remove all events, and those of the reference."""
    with bench.superuser() as db:
        db.execute("TRUNCATE usage_event, usage_correction")
        db.execute("TRUNCATE bare_usage")


def _rate(bench: Bench, batches: Sequence[list[Any]], work: Callable[[Any], None]) -> float:
    settle(bench)
    shares = [batches[number::CONNECTIONS] for number in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        taken = seconds(lambda: list(pool.map(work, shares)))
    return sum(map(len, batches)) / taken
