"""Both loads of the bench are billed without discrepancies, and contain what its documentation says."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import make_url

from bench import ingest
from bench.databases import Bench, drop_database, new_database
from bench.fill import add_customers, add_events
from bench.ingest import (
    add_bare_table,
    bare_rate,
    empty_usage,
    make_batches,
    make_mixed_batches,
    product_rate,
)
from bench.mixture import METER_ID, add_corrections, mix
from bench.others import verify_seconds
from bench.parts import MIXED_MONTHS
from bench.runs import Reference, product_run
from billing_app.database.embedded import cluster
from billing_app.database.provision import Urls

CUSTOMERS, EVENTS = 200, 4_000


@pytest.fixture
def bench(server: cluster.Server, urls: Urls) -> Bench:
    """Return a database with the customers of the bench."""
    made = Bench(server, make_url(urls.application).database or "")
    add_customers(made, CUSTOMERS)
    return made


def test_database_is_dropped(server: cluster.Server) -> None:
    bench = new_database(server, "full")
    drop_database(bench)
    with pytest.raises(psycopg.OperationalError):
        bench.connect()


def count(bench: Bench, query: str) -> int:
    with bench.connect() as db:
        row = db.execute(query).fetchone()
    assert row
    return int(row[0])


@pytest.mark.parametrize("is_mixed", [False, True], ids=["even", "mixed"])
def test_load_is_ingested_billed_and_verified(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, is_mixed: bool
) -> None:
    monkeypatch.setattr(ingest, "BATCH_MAX", 500)
    if is_mixed:
        mix(bench, MIXED_MONTHS)
    add_bare_table(bench)
    for rate in (bare_rate, product_rate):
        batches = make_mixed_batches(CUSTOMERS, 2) if is_mixed else make_batches(CUSTOMERS, 2)
        assert rate(bench, batches) > 0
    assert count(bench, "SELECT count(*) FROM usage_event") == 1_000
    empty_usage(bench)
    add_events(bench, CUSTOMERS, EVENTS, MIXED_MONTHS, METER_ID if is_mixed else "1")
    if is_mixed:
        add_corrections(bench)
    references = [Reference(bench, f"rules_{each}".lower(), keeping_rules=each) for each in (True, False)]
    for month in MIXED_MONTHS:
        assert product_run(bench, month).customers == CUSTOMERS
        assert all(reference.seconds(month) > 0 for reference in references)
    assert verify_seconds(bench) > 0
    assert product_run(bench, MIXED_MONTHS[0], "simulate").customers == CUSTOMERS


def test_mixed_load_has_everything_that_prices_can_do(bench: Bench) -> None:
    mix(bench, MIXED_MONTHS)
    add_events(bench, CUSTOMERS, EVENTS, MIXED_MONTHS, METER_ID)
    add_corrections(bench)
    two_in_october = (
        "SELECT count(*) FROM (SELECT FROM subscription WHERE effective_from BETWEEN '2026-10-01' AND '2026-10-31'"
        " GROUP BY customer_id HAVING count(*) = 2) changed"
    )
    for query, share in (
        (two_in_october, 0.1),
        ("SELECT count(DISTINCT customer_id) FROM subscription WHERE plan_id IN (11, 12)", 0.2),
        ("SELECT count(DISTINCT customer_id) FROM usage_event WHERE meter_id IN (2, 3)", 0.05),
        ("SELECT count(*) FROM discount", 0.1),
    ):
        assert count(bench, query) == share * CUSTOMERS
    corrected = count(bench, "SELECT count(*) FROM usage_correction")
    late = count(
        bench,
        "SELECT count(*) FROM usage_correction k JOIN usage_event e USING (customer_id, idempotency_key)"
        " WHERE k.billing_period > e.billing_period",
    )
    assert 0.005 < corrected / (EVENTS * len(MIXED_MONTHS)) < 0.015
    assert 0.3 < late / corrected < 0.7
