"""What is counted: committed work once, and nothing that was undone."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from billing_app.database.counts import count
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.services.usage.recording import UsageReport, record_usage_batch
from billing_app.telemetry.instruments import Distribution
from billing_app.telemetry.metrics import Metrics
from tests.factories import make_customer


def test_transaction_that_is_undone_counts_nothing(database: Database) -> None:
    def fail() -> None:
        with database.transaction(SYSTEM) as session:
            count(session, "bulk_events", "recorded", 7)
            session.execute(text("SELECT 1 / 0"))

    with pytest.raises(Exception, match="division by zero"):
        fail()
    assert database.counts.of("bulk_events") == {}


def test_batch_is_counted_by_outcome(database: Database) -> None:
    customer = make_customer(database)

    def report(key: str, quantity: object) -> UsageReport:
        return UsageReport(customer.key, key, quantity)

    rows = [report("a", 1), report("a", 1), report("a", 2), report("b", "none")]
    for _ in range(2):
        database.call(SYSTEM, record_usage_batch, rows)
    assert database.counts.of("bulk_events") == {"recorded": 1, "duplicate": 3, "conflict": 2, "rejected": 2}


def test_round_is_counted_by_size_time_and_outcome() -> None:
    metrics = Metrics()
    metrics.round_recorded(8, 0.02, recorded=4, duplicate=2, conflict=1, rejected=1)
    metrics.round_recorded(1, 0.004, recorded=1)
    metrics.event_rejected()
    assert metrics.events == {"recorded": 5, "duplicate": 2, "conflict": 1, "rejected": 2}
    assert metrics.round_sizes.total == 9
    assert metrics.round_sizes.cumulative_counts()[:4] == [1, 1, 1, 2]
    assert metrics.round_seconds.cumulative_counts()[-1] == 2


def test_value_belongs_to_the_first_bound_that_it_does_not_exceed() -> None:
    distribution = Distribution((1, 5))
    for value in (0.5, 1, 3, 5, 6):
        distribution.add(value)
    assert distribution.cumulative_counts() == [2, 4, 5]
