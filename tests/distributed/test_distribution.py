"""Usage that is distributed by customer over the servers of a Citus cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import psycopg
import pytest

from billing_app.database.distribution import DISTRIBUTED_TABLES
from billing_app.database.provision import Urls
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.jobs.verification import verify
from tests.billing.conftest import shop
from tests.billing.shop import Shop, total
from tests.cli.command import run_billing
from tests.conftest import CLUSTER, Clock

__all__ = ["shop"]

_CUSTOMERS = [f"customer-{number}" for number in range(10)]


@pytest.fixture
def undistributed(clock: Clock, admin: Actor) -> Iterator[tuple[Urls, Shop]]:
    """Create a database on the cluster with usage, a correction and invoices that is not distributed yet."""
    assert CLUSTER is not None
    name = "undistributed"
    urls = CLUSTER.create_migrated(name)
    try:
        with psycopg.connect(urls.owner.replace("+psycopg", ""), autocommit=True) as owner:
            owner.execute("UPDATE issuer SET name = 'Tally Ltd', address = '1 High Street'")
        with closing(Database(urls.application, clock=clock)) as database:
            made = Shop(database, admin)
            plan_id = made.plan()
            for key in _CUSTOMERS:
                made.customer(key, "2026-10", plan_id)
                made.use(key, "first", 1530, "2026-10-05T00:00:00Z")
            made.correct(_CUSTOMERS[0], "first", 1000, "wrong")
            for key in _CUSTOMERS:
                made.invoice(key, "2026-10")
            yield urls, made
    finally:
        CLUSTER.drop(name)


def test_rows_are_kept_and_billing_goes_on(undistributed: tuple[Urls, Shop], clock: Clock) -> None:
    urls, made = undistributed
    done = run_billing(urls, "distribute")
    assert (done.returncode, done.stdout.strip()) == (0, "Usage is distributed by customer.")
    with psycopg.connect(urls.owner.replace("+psycopg", "")) as owner:
        rows = {
            table: owner.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
            for table in DISTRIBUTED_TABLES
        }
        left = [
            owner.execute("SELECT pg_relation_size(%s::regclass)", [table]).fetchone()
            for table in DISTRIBUTED_TABLES
        ]
        servers = owner.execute("SELECT count(DISTINCT nodeport) FROM citus_shards").fetchone()
    assert rows == {"usage_event": (10,), "usage_correction": (1,)}
    # None of them is left in the tables of the coordinator.
    assert left == [(0,), (0,)]
    assert servers == (2,)
    assert verify(made.database, SYSTEM).discrepancies == []
    assert made.use(_CUSTOMERS[1], "first", 1530, "2026-10-05T00:00:00Z").status == "duplicate"
    for key in _CUSTOMERS:
        made.use(key, "late", 100, "2026-10-31T00:00:00Z")
    clock.set(2026, 12)
    assert [total(made.invoice(key, "2026-11")) for key in _CUSTOMERS[:2]] == ["30.25", "30.25"]
    assert verify(made.database, SYSTEM).ok


def test_distributing_again_says_that_it_is_done(urls: Urls) -> None:
    done = run_billing(urls, "distribute")
    assert (done.returncode, done.stdout.strip()) == (
        0,
        "Usage is already distributed by customer. Nothing was changed.",
    )


def test_usage_cannot_be_changed_or_deleted(shop: Shop, owner: psycopg.Connection) -> None:
    shop.customer("acme", "2026-11")
    shop.use("acme", "a", 1)
    for statement in (
        "UPDATE usage_event SET quantity = 2",
        "DELETE FROM usage_event",
        "TRUNCATE usage_event, usage_correction",
    ):
        with pytest.raises(psycopg.Error, match="append-only"):
            owner.execute(statement)
    assert owner.execute("SELECT quantity FROM usage_event").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        # Each is refused by a trigger on one server.
        ((99, "2026-11-01", 1), "rows_without_customer"),
        ((1, "2026-10-01", 1), "wrong_line"),
        ((1, "2026-11-01", 99), "events_misplaced"),
    ],
)
def test_usage_that_no_trigger_can_refuse_is_found_by_verification(
    shop: Shop, owner: psycopg.Connection, values: tuple[int, str, int], code: str
) -> None:
    shop.customer("acme", "2026-10")
    shop.use("acme", "a", 1530, "2026-10-05T00:00:00Z")
    shop.invoice("acme", "2026-10")
    assert verify(shop.database, SYSTEM).ok
    owner.execute(
        "INSERT INTO usage_event (customer_id, billing_period, meter_id, idempotency_key, occurred_at,"
        " recorded_at, quantity, recorded_by) VALUES (%s, %s, %s, 'forged', %s, now(), 5, 'forger')",
        [*values, datetime(2026, 10, 5, tzinfo=UTC)],
    )
    report = verify(shop.database, SYSTEM)
    assert not report.ok
    assert code in {each.code for each in report.discrepancies}
