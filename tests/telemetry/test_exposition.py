"""The metrics as Prometheus reads them."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.errors import Unauthenticated
from billing_app.jobs.verification import verify
from billing_app.runtime import Runtime
from billing_app.server.addresses import AddressUnusable, find_addresses
from billing_app.server.observing import observed
from billing_app.services.usage.recording import UsageReport, record_usage_batch
from billing_app.settings import Settings
from billing_app.telemetry import database_figures
from billing_app.telemetry.database_figures import DatabaseFiguresReader
from tests.e2e.conftest import free_port
from tests.factories import make_customer, make_user
from tests.runtimes import installed

Samples = dict[tuple[str, frozenset[str]], float]


@pytest.fixture
def served(database: Database) -> Iterator[Runtime]:
    """Serve the metrics of a process on a free port."""
    with installed(database, metrics_port=free_port()) as runtime, observed(runtime):
        yield runtime


def scrape(runtime: Runtime) -> Samples:
    """Return every sample by its name and the values of its labels."""
    address = f"http://127.0.0.1:{runtime.settings.metrics_port}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        page = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(found: Samples, name: str, *labels: str) -> float:
    return found[name, frozenset(labels)]


def test_everything_is_shown(served: Runtime, fast_hashes: None) -> None:
    database, metrics = served.database, served.metrics
    user = make_user(database)
    customer = make_customer(database)
    report = UsageReport(customer.key, "k", 1)
    database.call(SYSTEM, record_usage_batch, [report, report, UsageReport(customer.key, "", 1)])
    verify(database, SYSTEM)
    with pytest.raises(Unauthenticated):
        served.authenticator.sign_in(user.email, "wrong password", user_agent="", address="192.0.2.1")
    metrics.round_recorded(3, 0.004, recorded=2, conflict=1)
    metrics.request_answered("GET", "/api/v1/customers", 200, 0.2)
    metrics.queue_length = lambda: 42

    found = scrape(served)

    assert value(found, "tallybook_events_total", "single", "recorded") == 2
    assert value(found, "tallybook_events_total", "single", "conflict") == 1
    assert value(found, "tallybook_events_total", "bulk", "duplicate") == 1
    assert value(found, "tallybook_events_total", "bulk", "rejected") == 1
    assert value(found, "tallybook_round_events_sum") == 3
    assert value(found, "tallybook_round_seconds_bucket", "0.005") == 1
    assert value(found, "tallybook_round_seconds_bucket", "0.0025") == 0
    assert value(found, "tallybook_queue_events") == 42
    assert value(found, "tallybook_request_seconds_bucket", "GET", "/api/v1/customers", "200", "0.25") == 1
    assert value(found, "tallybook_request_seconds_count", "GET", "/api/v1/customers", "200") == 1
    assert value(found, "tallybook_sign_in_failures_total", "user.sign_in_failed") == 1
    assert value(found, "tallybook_pool_in_use") == 0
    assert value(found, "tallybook_pool_max") == 120
    assert value(found, "tallybook_database_up") == 1
    assert value(found, "tallybook_database_bytes") > 1_000_000
    assert value(found, "tallybook_runs") == 0
    assert value(found, "tallybook_imports", "checking") == 0
    assert value(found, "tallybook_verification_ok") == 1
    # The clock of the test's database stands still.
    assert value(found, "tallybook_verification_finished_timestamp_seconds") == database.clock().timestamp()
    assert value(found, "process_resident_memory_bytes") > 1_000_000


def test_database_is_read_once_in_a_while(database: Database) -> None:
    moment = 0.0
    reader = DatabaseFiguresReader(database.url, clock=lambda: moment)
    first = reader.figures()
    assert first is not None
    moment = database_figures.READ_EVERY_SECONDS - 1
    assert reader.figures() is first
    moment = database_figures.READ_EVERY_SECONDS
    assert reader.figures() is not first


def test_database_that_is_away_is_asked_once_in_a_while_too(tmp_path: Path) -> None:
    away = Database(f"postgresql+psycopg://nobody@/nothing?host={tmp_path}")
    with installed(away, metrics_port=free_port()) as runtime, observed(runtime):
        found = scrape(runtime)
        assert value(found, "tallybook_database_up") == 0
        assert ("tallybook_database_bytes", frozenset()) not in found
        assert value(found, "tallybook_events_total", "single", "recorded") == 0
    away.close()


def test_scrape_does_not_wait_for_the_pool(database: Database) -> None:
    small = Database(database.url, pool_size=1)
    with installed(small, metrics_port=free_port()) as runtime, observed(runtime):
        busy = [small.engine.connect() for _ in range(small.connections_max)]
        started = time.monotonic()
        found = scrape(runtime)
        assert time.monotonic() - started < 5
        assert value(found, "tallybook_pool_in_use") == value(found, "tallybook_pool_max") == 2
        assert value(found, "tallybook_database_up") == 1
        for connection in busy:
            connection.close()
    small.close()


def test_port_that_is_taken_is_refused_at_the_start_and_survived_later(served: Runtime) -> None:
    with pytest.raises(AddressUnusable, match="Set BILLING_METRICS_PORT to a free port"):
        find_addresses(served.settings)
    with observed(served):
        assert value(scrape(served), "tallybook_queue_events") == 0


def test_metrics_are_off_unless_asked_for() -> None:
    assert Settings().metrics_port is None
    assert Settings(metrics_port="").metrics_port is None
    with pytest.raises(ValueError, match="must differ"):
        Settings(port=3000, metrics_port=3000)
