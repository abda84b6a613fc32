"""Processes that are stopped at the worst moment must not hold up the others for long."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

import pytest

from billing_app.database import locks
from billing_app.database import session as database_session
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.jobs.invoicing import generate_invoice
from billing_app.jobs.leadership import try_lock
from billing_app.services.shared import gate
from billing_app.services.usage.recording import UsageReport, record_usage
from tests.factories import make_customer
from tests.processes import frozen
from tests.processes.conftest import Business

MONTH = date(2026, 10, 1)
# What a sender may have to wait at most, on a slow machine, while somebody waits to close a month.
RECORDING_SECONDS_MAX = 5.0


@contextmanager
def stopped(business: Business, what: str, *, signalled: bool = True) -> Iterator[None]:
    """Run a process until it is in the middle of something, and stop it there until the block ends."""
    command = [sys.executable, "-m", "tests.processes.frozen", business.urls.application, what]
    with subprocess.Popen([*command, business.customer], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            if signalled:
                process.send_signal(signal.SIGSTOP)
            yield
        finally:
            process.kill()


class Sender(threading.Thread):
    """Records one event after the other until it is told to stop, and keeps the longest time that one took."""

    def __init__(self, business: Business) -> None:
        super().__init__()
        self.database = Database(business.urls.application)
        self.customer, self.recorded, self.longest = business.customer, 0, 0.0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            started = time.monotonic()
            with self.database.transaction(SYSTEM) as session:
                record_usage(session, SYSTEM, UsageReport(self.customer, f"k{self.recorded}", 1))
            self.recorded += 1
            self.longest = max(self.longest, time.monotonic() - started)
            self.over.wait(0.01)
        self.database.close()


@contextmanager
def sending(business: Business) -> Iterator[Sender]:
    sender = Sender(business)
    sender.start()
    try:
        yield sender
    finally:
        sender.over.set()
        sender.join()


def close_month(business: Business) -> None:
    """Invoice a customer for a month that has ended, which closes it."""
    before = Database(business.urls.application, clock=lambda: datetime(2026, 10, 5, tzinfo=UTC))
    customer = make_customer(before, start=MONTH)
    before.close()
    assert generate_invoice(business.database, SYSTEM, customer.key, MONTH).number


def test_stopped_recording_lets_others_record_at_once_and_close_after_its_time_limit(
    business: Business,
) -> None:
    with stopped(business, "record"), sending(business) as sender:
        started = time.monotonic()
        close_month(business)
        waited = time.monotonic() - started
    assert sender.recorded > 10
    assert sender.longest < RECORDING_SECONDS_MAX
    assert waited > 1
    # What was not committed is gone, and can be sent again.
    assert business.count("usage_event") == sender.recorded


def test_recording_stopped_in_the_middle_of_a_copy_is_ended(
    business: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FROZEN_SECONDS", 3.0)
    monkeypatch.setattr(database_session, "_GIVE_WAY_SECONDS_MAX", 40.0)
    with stopped(business, "copy"), sending(business) as sender:
        close_month(business)
    assert sender.longest < RECORDING_SECONDS_MAX


def test_stopped_closing_holds_recording_up_for_its_time_limit_only(
    business: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopped(business, "close"), sending(business) as sender:
        deadline = time.monotonic() + 60
        while not sender.recorded and time.monotonic() < deadline:
            time.sleep(0.05)
    assert sender.recorded
    assert sender.longest < gate.IDLE_SECONDS_MAX + RECORDING_SECONDS_MAX


def test_work_of_a_stopped_process_is_taken_over_and_that_of_a_busy_one_is_not(business: Business) -> None:
    with stopped(business, "lead", signalled=False):
        # Longer than PostgreSQL would let a transaction idle that is never used.
        time.sleep(frozen.WORKER_IDLE_SECONDS + 2)
        with try_lock(business.database, SYSTEM, locks.VERIFYING) as is_free:
            assert not is_free
    with stopped(business, "lead"):
        deadline = time.monotonic() + 60
        is_free = False
        while not is_free and time.monotonic() < deadline:
            with try_lock(business.database, SYSTEM, locks.VERIFYING) as is_free:
                time.sleep(0.05)
    assert is_free


def test_every_connection_has_the_limits(business: Business) -> None:
    with business.database.engine.connect() as connection:

        def setting(name: str) -> str:
            return str(connection.exec_driver_sql(f"SHOW {name}").scalar())

        assert setting("idle_in_transaction_session_timeout") == "30s"
        assert setting("client_connection_check_interval") == "5s"
        parameters = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
        assert (parameters["keepalives_idle"], parameters["tcp_user_timeout"]) == ("20", "40000")
