"""Group commit: each report is answered on its own, after the commit."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Scope
from billing_app.errors import BillingError
from billing_app.jobs import gathering
from billing_app.jobs.gathering import Busy
from billing_app.jobs.recorder import UsageRecorder
from billing_app.services.shared import gate
from billing_app.services.usage.recording import RecordedUsage, UsageReport
from tests.factories import make_customer
from tests.races import blocked_before_end

WRITER = Actor("token", "tok_1", "meter", scopes=frozenset({Scope.USAGE_WRITE}))


@pytest.fixture
def recorder(database: Database) -> UsageRecorder:
    make_customer(database, key="acme")
    return UsageRecorder(database)


def report(key: str, quantity: object = 1, customer: str = "acme") -> UsageReport:
    return UsageReport(customer, key, quantity, "2026-11-10T00:00:00Z")


@contextmanager
def closed_gate(database: Database) -> Iterator[None]:
    """Keep anything from being recorded, so that submitted reports wait."""
    with database.transaction(SYSTEM) as session:
        gate.hold_exclusively(session)
        yield


def outcome(answer: Future[RecordedUsage]) -> str:
    error = answer.exception(timeout=30)
    return error.code if isinstance(error, BillingError) else answer.result().status


def test_event_is_committed_before_it_is_answered(
    recorder: UsageRecorder, owner: psycopg.Connection, admin: Actor
) -> None:
    seen = []

    def count_events(answer: Future[RecordedUsage]) -> None:
        # This runs in the recorder's thread, at the time of the answer.
        seen.append(owner.execute("SELECT count(*) FROM usage_event").fetchone())

    for number in range(20):
        answer = recorder.submit(admin, report(f"k{number}"))
        answer.add_done_callback(count_events)
        assert answer.result(timeout=30).event.idempotency_key == f"k{number}"
        assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (number + 1,)
    assert seen == [(number + 1,) for number in range(20)]


def test_waiting_reports_are_recorded_in_one_transaction(
    recorder: UsageRecorder, database: Database, owner: psycopg.Connection, admin: Actor
) -> None:
    with closed_gate(database):
        answers = [recorder.submit(admin, report(f"k{number}")) for number in range(100)]
    assert Counter(map(outcome, answers)) == {"recorded": 100}
    written = owner.execute("SELECT count(*) FROM usage_event GROUP BY xmin::text").fetchall()
    # The first transaction has the reports of the first round, the second those that arrived while it waited.
    assert len(written) <= 2


def test_rejected_report_does_not_affect_others(
    recorder: UsageRecorder, database: Database, owner: psycopg.Connection, admin: Actor, finance: Actor
) -> None:
    with closed_gate(database):
        answers = {
            "first": recorder.submit(admin, report("a")),
            "again": recorder.submit(admin, report("a")),
            "other": recorder.submit(admin, report("a", 2)),
            "token": recorder.submit(WRITER, report("a")),
            "bad": recorder.submit(admin, report("b", -1)),
            "unknown": recorder.submit(admin, report("b", customer="missing")),
            "forbidden": recorder.submit(finance, report("c")),
            "good": recorder.submit(WRITER, report("d")),
        }
    assert {name: outcome(answer) for name, answer in answers.items()} == {
        "first": "recorded",
        "again": "duplicate",
        "other": "idempotency_conflict",
        "token": "duplicate",
        "bad": "invalid",
        "unknown": "customer_not_found",
        "forbidden": "forbidden",
        "good": "recorded",
    }
    rows = owner.execute("SELECT idempotency_key, recorded_by FROM usage_event ORDER BY 1").fetchall()
    assert rows == [("a", admin.id), ("d", "tok_1")]


def test_database_rejects_a_reader_even_without_the_permission_check(
    recorder: UsageRecorder, admin: Actor, finance: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing_app.services.usage.recording.require", lambda actor, permission: None)
    refused, recorded = recorder.submit(finance, report("a")), recorder.submit(admin, report("b"))
    assert "read-only transaction" in str(refused.exception(timeout=30))
    assert outcome(recorded) == "recorded"


def test_database_error_fails_only_its_own_group(
    recorder: UsageRecorder, owner: psycopg.Connection, admin: Actor
) -> None:
    owner.execute("ALTER TABLE usage_event ADD CONSTRAINT broken CHECK (recorded_by <> 'tok_1')")
    failed, recorded = recorder.submit(WRITER, report("a")), recorder.submit(admin, report("b"))
    assert "broken" in str(failed.exception(timeout=30))
    assert outcome(recorded) == "recorded"
    assert outcome(recorder.submit(admin, report("c"))) == "recorded"


def test_report_beyond_the_queue_limit_is_refused(
    recorder: UsageRecorder, database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "WAITING_MAX", 50)
    with closed_gate(database):
        answers = [recorder.submit(admin, report("first"))]
        assert blocked_before_end(database, answers[0])
        answers += [recorder.submit(admin, report(f"k{number}")) for number in range(50)]
        with pytest.raises(Busy) as busy:
            recorder.submit(admin, report("one too many"))
    assert (busy.value.status, busy.value.code) == (503, "unavailable")
    assert Counter(map(outcome, answers)) == {"recorded": 51}


def test_canceled_report_is_not_recorded(
    recorder: UsageRecorder, database: Database, owner: psycopg.Connection, admin: Actor
) -> None:
    with closed_gate(database):
        first = recorder.submit(admin, report("first"))
        assert blocked_before_end(database, first)
        gone, waits = recorder.submit(admin, report("gone")), recorder.submit(admin, report("waits"))
        assert gone.cancel()
        assert not first.cancel()
    assert [outcome(first), outcome(waits)] == ["recorded", "recorded"]
    assert owner.execute("SELECT idempotency_key FROM usage_event ORDER BY 1").fetchall() == [
        ("first",),
        ("waits",),
    ]


def test_recorder_thread_ends_when_no_report_waits(recorder: UsageRecorder, admin: Actor) -> None:
    outcome(recorder.submit(admin, report("a")))
    for thread in threading.enumerate():
        if thread.name == "usage-recorder":
            thread.join(timeout=30)
            assert not thread.is_alive()
    assert outcome(recorder.submit(admin, report("b"))) == "recorded"
