"""Verification of many customers in two processes reports the same as in one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.jobs import verification
from billing_app.jobs.verification import verify
from billing_app.jobs.worker_process import WorkerDied, WorkerProcess, worker_processes
from billing_app.services.verification.accounts import ALL_CUSTOMERS, split_customers
from billing_app.services.verification.report import Report
from tests.billing.shop import Shop


@pytest.fixture
def seven(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Seven invoiced customers, enough for two processes."""
    monkeypatch.setattr(verification, "PART_CUSTOMERS_MIN", 3)
    plan = shop.plan()
    for number in range(7):
        shop.customer(f"c{number}", "2026-10", plan)
        shop.use(f"c{number}", "e", 1000 + number, "2026-10-10T00:00:00Z")
        shop.invoice(f"c{number}", "2026-10")
    return shop


def in_one_process(database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> Report:
    with monkeypatch.context() as patched:
        patched.setattr(verification, "PART_CUSTOMERS_MIN", 1_000)
        return verify(database, admin)


def test_parts_cover_every_id(seven: Shop, database: Database) -> None:
    with database.transaction(SYSTEM) as session:
        first, second = split_customers(session, 2, at_least=3)
        assert (first.first, second.last) == (ALL_CUSTOMERS.first, ALL_CUSTOMERS.last)
        assert second.first == first.last + 1
        assert split_customers(session, 2, at_least=4) == [ALL_CUSTOMERS]


def test_two_processes_report_the_same_as_one(
    seven: Shop, database: Database, admin: Actor, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for table in ("invoice", "usage_event"):
        owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for key in ("c1", "c6"):
        owner.execute("UPDATE invoice SET customer_name = 'Mallory' WHERE customer_key = %s", [key])
    for customer_id in (0, 9_999):
        owner.execute(
            "INSERT INTO usage_event SELECT %s, 'stray', occurred_at, recorded_at, billing_period, 5, 'x'"
            " FROM usage_event WHERE customer_id = 1",
            [customer_id],
        )
    parts = verify(database, admin)
    assert parts == in_one_process(database, admin, monkeypatch)
    assert [each.code for each in parts.discrepancies].count("rows_without_customer") == 1
    assert [each.code for each in parts.discrepancies].count("content_changed") == 2
    assert (parts.discrepancy_count, parts.checked.customers, parts.checked.invoices) == (3, 7, 7)


def test_parts_see_the_snapshot_of_the_verification(
    seven: Shop, database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    recompute_parts = verification._recompute_parts

    def later(*arguments: Any) -> Report:
        seven.use("c0", "later", 1)
        seven.use("c6", "later", 1)
        return recompute_parts(*arguments)

    monkeypatch.setattr(verification, "_recompute_parts", later)
    assert verify(database, admin).checked.events == 7
    assert verify(database, admin).checked.events == 9


def test_killed_process_fails_the_verification_and_the_next_one_succeeds(
    seven: Shop, database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def one_killed(database: Database, number: int) -> Iterator[list[WorkerProcess]]:
        with worker_processes(database, number) as processes:
            os.kill(processes[0].pid, signal.SIGKILL)
            yield processes

    with monkeypatch.context() as patched:
        patched.setattr(verification, "worker_processes", one_killed)
        with pytest.raises(WorkerDied):
            verify(database, admin)
    assert verify(database, admin).ok
