"""The lanes of a large invoice run are processes, and each may be killed."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import psutil
import psycopg
import pytest
from sqlalchemy import text

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.jobs import invoice_runs
from billing_app.jobs.invoice_runs import run_invoices
from billing_app.jobs.verification import verify
from billing_app.services.invoices.runs import RunRow
from tests.billing.shop import Shop

OCTOBER = date(2026, 10, 1)


@pytest.fixture
def large(shop: Shop, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make ten customers a large run of three chunks, and return their ids."""
    monkeypatch.setattr(invoice_runs, "CHUNK_CUSTOMERS", 4)
    monkeypatch.setattr(invoice_runs, "LARGE_CHUNK_CUSTOMERS", 4)
    plan = shop.plan()
    ids = [shop.customer(f"c{number}", "2026-10", plan) for number in range(10)]
    for number in range(10):
        shop.use(f"c{number}", "e", 1000 + number, "2026-10-10T00:00:00Z")
    return ids


def worker_pids() -> set[int]:
    return {
        each.pid
        for each in psutil.Process().children()
        if any("worker_process" in word for word in each.cmdline())
    }


def test_lanes_of_a_large_run_are_processes_that_end_with_it(
    large: list[int], database: Database, admin: Actor
) -> None:
    seen: list[set[int]] = []
    run = run_invoices(database, admin, OCTOBER, lambda run: seen.append(worker_pids()))
    assert (run.status, run.created, run.failed) == ("done", 10, 0)
    assert len(seen[0]) == 2
    assert all(each == seen[0] for each in seen)
    assert worker_pids() == set()
    assert verify(database, admin).ok


def test_small_run_starts_no_process(
    large: list[int], database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invoice_runs, "LARGE_CHUNK_CUSTOMERS", 5)
    seen: list[set[int]] = []
    run_invoices(database, admin, OCTOBER, lambda run: seen.append(worker_pids()))
    assert seen
    assert not any(seen)


def test_run_continues_when_the_process_of_a_lane_is_killed(
    large: list[int], database: Database, admin: Actor
) -> None:
    killed: list[int] = []

    def kill_one(_run: RunRow) -> None:
        if not killed:
            killed.append(worker_pids().pop())
            os.kill(killed[0], signal.SIGKILL)

    run = run_invoices(database, admin, OCTOBER, kill_one)
    assert killed
    assert (run.status, run.created, run.existing, run.failed) == ("done", 10, 0, 0)
    assert verify(database, admin).ok


def test_process_that_is_killed_in_the_middle_of_a_batch_creates_none_of_it(
    large: list[int], database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with owner.transaction():
            # The processes close the period, and wait for this lock before they create the first invoice.
            owner.execute("LOCK TABLE invoice IN SHARE MODE")
            running = pool.submit(run_invoices, database, admin, OCTOBER)
            while waiting_for_invoices(database) < 2:
                assert not running.done()
            for pid in worker_pids():
                os.kill(pid, signal.SIGKILL)
        run = running.result(60)
    assert (run.status, run.created, run.existing, run.failed) == ("done", 10, 0, 0)
    assert verify(database, admin).ok


def waiting_for_invoices(database: Database) -> int:
    query = text("SELECT count(*) FROM pg_locks WHERE relation = 'invoice'::regclass AND NOT granted")
    with database.transaction(SYSTEM) as session:
        return session.scalar(query) or 0


def test_customer_that_fails_in_a_process_is_isolated(
    large: list[int], database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    owner.execute("ALTER TABLE invoice ADD CONSTRAINT ck_broken CHECK (customer_key <> 'c2')")
    run = run_invoices(database, admin, OCTOBER)
    assert (run.status, run.created, run.failed) == ("done", 9, 1)
    assert [each.customer_key for each in run.failures] == ["c2"]


def test_failure_of_a_lane_is_raised_and_the_next_run_completes_it(
    large: list[int], database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    owner.execute("ALTER TABLE invoice_line RENAME TO gone")
    with pytest.raises(psycopg.errors.UndefinedTable):
        run_invoices(database, admin, OCTOBER)
    assert worker_pids() == set()
    owner.execute("ALTER TABLE gone RENAME TO invoice_line")
    run = run_invoices(database, admin, OCTOBER)
    assert (run.status, run.created, run.existing, run.failed) == ("done", 10, 0, 0)
