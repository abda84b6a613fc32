"""Rounds of single events: each event is answered on its own, after the commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import date

import psycopg
import pytest
from sqlalchemy import text

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Scope
from billing_app.errors import BillingError, Busy
from billing_app.jobs import rounds
from billing_app.jobs.recorder import UsageRecorder
from billing_app.services.invoices.closing import close_period
from billing_app.services.shared import gate
from billing_app.services.usage import recording, recording_round
from billing_app.services.usage.recording import RecordedUsage, UsageReport
from billing_app.telemetry.metrics import Metrics
from tests.factories import make_customer
from tests.loops import Loop, in_a_loop, running_loop
from tests.races import blocked_before_end

WRITER = Actor("token", "tok_1", "meter", scopes=frozenset({Scope.USAGE_WRITE}))


@pytest.fixture
def loop() -> Iterator[Loop]:
    with running_loop() as loop:
        yield loop


class Recorder:
    """The recorder on an event loop, with the calls of a test's own thread."""

    def __init__(self, database: Database, loop: Loop) -> None:
        self.inner = UsageRecorder(database, Metrics())
        self.loop = loop

    def submit(self, actor: Actor, report: UsageReport) -> Future[RecordedUsage]:
        return self.loop.start(self.inner.record(actor, report))


@pytest.fixture
def recorder(database: Database, loop: Loop) -> Recorder:
    make_customer(database, key="acme", start=date(2026, 10, 1))
    return Recorder(database, loop)


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
    recorder: Recorder, owner: psycopg.Connection, admin: Actor
) -> None:
    for number in range(20):
        answer = recorder.submit(admin, report(f"k{number}"))
        assert answer.result(timeout=30).event.idempotency_key == f"k{number}"
        assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (number + 1,)


def test_waiting_reports_are_recorded_in_one_transaction(
    recorder: Recorder, database: Database, owner: psycopg.Connection, admin: Actor
) -> None:
    with closed_gate(database):
        answers = [recorder.submit(admin, report(f"k{number}")) for number in range(100)]
    assert Counter(map(outcome, answers)) == {"recorded": 100}
    written = owner.execute("SELECT count(*) FROM usage_event GROUP BY xmin::text").fetchall()
    # The first transaction has the reports of the first round, the second those that arrived while it waited.
    assert len(written) <= 2


def test_rejected_report_does_not_affect_others(
    recorder: Recorder, database: Database, owner: psycopg.Connection, admin: Actor, finance: Actor
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


@pytest.mark.parametrize("poisoned", [0, 1, 7, 12])
def test_event_that_the_database_refuses_fails_alone(
    recorder: Recorder, database: Database, owner: psycopg.Connection, admin: Actor, poisoned: int
) -> None:
    owner.execute("ALTER TABLE usage_event ADD CONSTRAINT broken CHECK (quantity <> 13)")
    with closed_gate(database):
        answers = [
            recorder.submit(admin, report(f"k{number}", 13 if number == poisoned else 1))
            for number in range(13)
        ]
    assert "broken" in str(answers.pop(poisoned).exception(timeout=30))
    assert Counter(map(outcome, answers)) == {"recorded": 12}
    assert outcome(recorder.submit(admin, report("after"))) == "recorded"


def test_event_that_waits_for_another_transaction_holds_up_no_other(
    recorder: Recorder, database: Database, admin: Actor
) -> None:
    with database.transaction(admin) as session:
        recording.record_usage(session, admin, report("same"))
        answers = {key: recorder.submit(admin, report(key)) for key in ("a", "same", "b")}
        assert [outcome(answers[key]) for key in ("a", "b")] == ["recorded", "recorded"]
        assert outcome(answers["same"]) == "unavailable"
    assert outcome(recorder.submit(admin, report("same"))) == "duplicate"


def test_event_that_waited_for_a_closing_is_billed_in_the_next_period(
    recorder: Recorder, database: Database, owner: psycopg.Connection, admin: Actor
) -> None:
    [customer_id] = owner.execute("SELECT customer_id FROM customer").fetchone() or [0]
    october = UsageReport("acme", "a", 1, "2026-10-10T00:00:00Z")
    with database.transaction(admin) as session:
        close_period(session, admin, period_start=date(2026, 10, 1), customer_ids=[customer_id])
        answer = recorder.submit(admin, october)
        assert blocked_before_end(database, answer)
    assert answer.result(timeout=30).event.billing_period == date(2026, 11, 1)


def test_closing_waits_for_a_round_that_has_not_committed(
    recorder: Recorder, database: Database, owner: psycopg.Connection, admin: Actor
) -> None:
    with database.transaction(SYSTEM) as session:
        recording.record_usage(session, SYSTEM, report("same"))
        # The round holds the gate and waits for the key.
        answer = recorder.submit(admin, report("same"))
        assert blocked_before_end(database, answer)
        held = owner.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'"
        )
        assert held.fetchone() == (2,)
    assert outcome(answer) == "duplicate"


def test_round_goes_on_with_a_new_connection_after_the_database_closed_it(
    recorder: Recorder, owner: psycopg.Connection, database: Database, admin: Actor
) -> None:
    assert outcome(recorder.submit(admin, report("before"))) == "recorded"
    waiting = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with closed_gate(database):
        waits = recorder.submit(admin, report("waits"))
        assert blocked_before_end(database, waits)
        with database.transaction(SYSTEM) as session:
            session.execute(text(waiting))
    # The database said that it undid the transaction, so it was tried again.
    assert outcome(waits) == "recorded"
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (2,)


def test_lost_connection_fails_the_round_and_not_the_next(
    recorder: Recorder,
    database: Database,
    owner: psycopg.Connection,
    admin: Actor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = recording_round.record_round

    async def lose_answer(connection: rounds.Connection, *arguments: object, **named: object) -> list[object]:
        await original(connection, *arguments, **named)
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr("billing_app.jobs.recorder.record_round", lose_answer)
    answer = recorder.submit(admin, report("a"))
    assert isinstance(answer.exception(timeout=30), psycopg.OperationalError)
    monkeypatch.undo()
    # The commit was done although nobody could know, so sending the event again is safe and needed.
    assert outcome(recorder.submit(admin, report("a"))) == "duplicate"
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (1,)


def test_round_goes_on_after_a_table_that_its_statements_read_was_changed(
    recorder: Recorder, owner: psycopg.Connection, admin: Actor
) -> None:
    assert outcome(recorder.submit(admin, report("before"))) == "recorded"
    # The connection's prepared statements return a column of this type, and are refused from now on.
    owner.execute("ALTER TABLE customer ALTER COLUMN name TYPE varchar(500)")
    outcomes = [_outcome_or_error(recorder.submit(admin, report(key))) for key in ("lost", "lost", "after")]
    assert outcomes[1:] == ["recorded", "recorded"]


def _outcome_or_error(answer: Future[RecordedUsage]) -> str:
    error = answer.exception(timeout=30)
    return type(error).__name__ if error else answer.result().status


def test_report_beyond_the_queue_limit_is_refused(
    recorder: Recorder, database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "WAITING_MAX", 50)
    with closed_gate(database):
        answers = [recorder.submit(admin, report("first"))]
        assert blocked_before_end(database, answers[0])
        answers += [recorder.submit(admin, report(f"k{number}")) for number in range(50)]
        with pytest.raises(Busy) as busy:
            recorder.submit(admin, report("one too many")).result(timeout=30)
    assert (busy.value.status, busy.value.code) == (503, "unavailable")
    assert Counter(map(outcome, answers)) == {"recorded": 51}


def test_cancelled_report_is_not_recorded(
    recorder: Recorder, database: Database, owner: psycopg.Connection, admin: Actor
) -> None:
    with closed_gate(database):
        first = recorder.submit(admin, report("first"))
        assert blocked_before_end(database, first)
        gone, waits = recorder.submit(admin, report("gone")), recorder.submit(admin, report("waits"))
        assert gone.cancel()
    assert [outcome(first), outcome(waits)] == ["recorded", "recorded"]
    keys = owner.execute("SELECT idempotency_key FROM usage_event ORDER BY 1").fetchall()
    assert keys == [("first",), ("waits",)]


def test_closing_the_recorder_records_what_is_waiting(
    recorder: Recorder, database: Database, owner: psycopg.Connection, admin: Actor, loop: Loop
) -> None:
    with closed_gate(database):
        answers = [recorder.submit(admin, report("first"))]
        assert blocked_before_end(database, answers[0])
        answers += [recorder.submit(admin, report(f"k{number}")) for number in range(20)]
        closed = loop.start(recorder.inner.close())
    closed.result(timeout=30)
    assert all(answer.done() for answer in answers)
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (21,)


def test_each_event_loop_has_a_connection_of_its_own(
    database: Database, recorder: Recorder, admin: Actor
) -> None:
    async def record(key: str) -> str:
        return (await recorder.inner.record(admin, report(key))).status

    assert in_a_loop(record("a")) == "recorded"
    assert outcome(recorder.submit(admin, report("b"))) == "recorded"
    assert in_a_loop(record("b")) == "duplicate"


def test_answer_to_a_recorded_event_is_what_reading_it_returns(recorder: Recorder, admin: Actor) -> None:
    first = recorder.submit(admin, UsageReport("ACME", "a", "1.50", "2026-11-10T02:00:00.123456+02:00"))
    again = recorder.submit(admin, UsageReport("acme", "a", "1.5", "2026-11-10T00:00:00.123456Z"))
    now = recorder.submit(admin, UsageReport("acme", "b", 2))
    later = recorder.submit(admin, UsageReport("acme", "b", 2))
    assert (outcome(first), outcome(again), outcome(now), outcome(later)) == (
        "recorded", "duplicate", "recorded", "duplicate",
    )  # fmt: skip
    assert first.result().event == again.result().event
    assert now.result().event == later.result().event
