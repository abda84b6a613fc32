"""Files of usage in the background: judged without recording, imported once, killed and resumed."""

from __future__ import annotations

import gzip
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from threading import Event

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from billing_app import jobs
from billing_app.database.provision import Urls
from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.jobs import usage_csv, usage_imports
from billing_app.jobs.background import Background, Worker
from billing_app.jobs.usage_imports import go_on_checking, go_on_importing, receive_file
from billing_app.services.invoices.runs import get_run, start_run
from billing_app.services.usage_imports import imports
from billing_app.services.usage_imports.imports import (
    Chunk,
    cancel_import,
    get_import,
    start_import,
)
from billing_app.services.usage_imports.rejected_rows import list_refusals
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.jobs.files import HEADER, MOMENT, Files, counts, events, good_rows, parts
from tests.jobs.test_background import OUT, refuse, until
from tests.races import at_once, codes
from tests.refusals import refused

ADVISORY_LOCKS = (
    "FROM pg_locks WHERE locktype = 'advisory'"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@pytest.fixture(autouse=True)
def shop(database: Database, admin: Actor) -> Shop:
    shop = Shop(database, admin)
    shop.customer("acme", "2026-10")
    return shop


@pytest.fixture
def background(database: Database) -> Iterator[Background]:
    background = Background(database)
    yield background
    background.stop()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_csv, "BATCH_MAX", 10)


@pytest.fixture
def files(database: Database, admin: Actor) -> Files:
    return Files(database, admin)


MIXED = (
    HEADER
    + good_rows(12)
    + f"nobody,x,1,{MOMENT}\n"
    + f"acme,k3,1,{MOMENT}\n"  # again, in another chunk
    + f"acme,k3,2,{MOMENT}\n"
    + "acme,short\n"
)


class Killed(Exception):
    pass


def told(owner: psycopg.Connection, usage_import: str) -> list[tuple[object, ...]]:
    """What the audit log says was recorded of a file: how it ended, and the counts.

    That it came in and was started are deeds of their own.
    """
    assert not owner.execute("SELECT FROM audit_entry WHERE subject = 'usage'").fetchall()
    return owner.execute(
        "SELECT split_part(action, '.', 2), (details->>'recorded')::int, (details->>'duplicates')::int,"
        " (details->>'conflicts')::int, (details->>'rejected')::int FROM audit_entry"
        " WHERE subject = %s AND action NOT IN ('usage_import.uploaded', 'usage_import.started')",
        [usage_import],
    ).fetchall()


def test_the_check_says_what_the_import_does_and_records_nothing(
    files: Files, owner: psycopg.Connection
) -> None:
    checked = files.checked(MIXED)
    assert counts(checked) == ("checked", 16, 12, 1, 1, 2)
    assert (checked.bytes_read, files.lines_refused(checked)) == (checked.size_bytes, [14, 16, 17])
    assert (events(owner), len(checked.preview)) == (0, 10)
    assert checked.preview[0].row == ("acme", "k0", "1", MOMENT)
    files.database.call(files.actor, start_import, checked.public_id)
    go_on_importing(files.database)
    done = files.now(checked)
    assert counts(done) == ("done", *counts(checked)[1:])
    assert (files.lines_refused(done), events(owner), parts(owner)) == ([14, 16, 17], 12, 0)
    by = owner.execute("SELECT DISTINCT recorded_by FROM usage_event").fetchall()
    assert by == [(done.public_id,)]


def test_the_same_file_again_records_nothing_and_says_so(files: Files, owner: psycopg.Connection) -> None:
    content = HEADER + good_rows(25)
    first = files.imported(content)
    assert (first.same_as, counts(first)) == (None, ("done", 25, 25, 0, 0, 0))
    again = files.checked(content)
    assert (again.same_as, again.same_as_at) == (first.public_id, first.finished_at)
    assert counts(again) == ("checked", 25, 0, 25, 0, 0)
    assert counts(files.imported(content)) == ("done", 25, 0, 25, 0, 0)
    assert files.checked(content + " ").same_as is None
    assert files.now(first).same_as is None
    assert events(owner) == 25


def test_a_check_that_was_cut_off_begins_again(files: Files) -> None:
    def stop(chunk: Chunk) -> None:
        raise Killed

    sent = files.send(MIXED)
    with pytest.raises(Killed):
        go_on_checking(files.database, stop)
    assert counts(files.now(sent)) == ("checking", 10, 10, 0, 0, 0)
    go_on_checking(files.database)
    assert counts(files.now(sent)) == ("checked", 16, 12, 1, 1, 2)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_killed_in_the_middle_each_row_counts_once(
    files: Files, urls: Urls, owner: psycopg.Connection, pack: Callable[[bytes], bytes]
) -> None:
    started = files.started(pack((HEADER + good_rows(12) + "acme,short\n\n" + good_rows(22, 12)).encode()))
    script = f"""
import time
from billing_app.database.session import Database
from billing_app.jobs import usage_csv
from billing_app.jobs.background import Background
usage_csv.BATCH_MAX = 10
Background(Database({urls.application!r})).start()
time.sleep(600)
"""
    # Somebody else is just recording an event of the third chunk: there it waits.
    with psycopg.connect(urls.owner.replace("+psycopg", "")) as holder:
        holder.execute(
            "INSERT INTO usage_event SELECT customer_id, 'k25', '2026-11-10Z', now(), '2026-11-01', 1, 'x'"
            " FROM customer"
        )
        with subprocess.Popen([sys.executable, "-c", script]) as process:
            until(lambda: files.now(started).rows == 20)
            process.send_signal(signal.SIGKILL)
        holder.rollback()
    until(lambda: not owner.execute(f"SELECT {ADVISORY_LOCKS}").fetchall())
    assert (counts(files.now(started)), events(owner)) == (("importing", 20, 19, 0, 0, 1), 19)
    go_on_importing(files.database)
    done = files.now(started)
    assert counts(done) == ("done", 35, 34, 0, 0, 1)
    assert (done.bytes_read, files.lines_refused(done), events(owner)) == (done.size_bytes, [14], 34)
    go_on_importing(files.database)
    assert told(owner, started.public_id) == [("done", 34, 0, 0, 1)]


def test_whoever_lost_its_lock_records_and_counts_nothing_more(files: Files) -> None:
    """Its connection was cut, somebody else did a chunk and was killed, and then it goes on itself."""
    started = files.started(HEADER + good_rows(35))
    overtaken = []

    def stop(chunk: Chunk) -> None:
        raise Killed

    def overtake(chunk: Chunk) -> None:
        overtaken.append(True)
        with files.database.engine.connect() as connection:
            connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) {ADVISORY_LOCKS}")
            until(lambda: not connection.exec_driver_sql(f"SELECT {ADVISORY_LOCKS}").all())
        with pytest.raises(Killed):
            go_on_importing(files.database, stop)

    with pytest.raises(OperationalError, match="terminat"):
        go_on_importing(files.database, overtake)
    assert (len(overtaken), counts(files.now(started))) == (1, ("importing", 20, 20, 0, 0, 0))
    go_on_importing(files.database)
    assert counts(files.now(started)) == ("done", 35, 35, 0, 0, 0)


def test_of_several_one_imports(files: Files, database: Database, owner: psycopg.Connection) -> None:
    started = [files.started(HEADER + good_rows(35, 100 * number)) for number in range(2)]
    workers = [Worker("importing", database, go_on_importing) for _ in range(4)]
    for worker in workers:
        worker.start()
    until(lambda: all(files.now(each).status == "done" for each in started))
    for worker in workers:
        worker.stop()
        worker.join()
    assert [counts(files.now(each)) for each in started] == [("done", 35, 35, 0, 0, 0)] * 2
    assert [told(owner, each.public_id) for each in started] == [[("done", 35, 0, 0, 0)]] * 2


def test_an_import_that_keeps_failing_is_given_up_and_tells_what_it_recorded(
    files: Files, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, background: Background
) -> None:
    monkeypatch.setattr(jobs.background, "LOOK_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(jobs.background, "PAUSE_SECONDS_MAX", 0.05)
    refuse(owner, "usage_event", "NEW.idempotency_key = 'k25'")
    started, other = files.started(HEADER + good_rows(35)), files.started(HEADER + good_rows(5, 100))
    background.start()
    until(lambda: files.now(started).status == "failed" and files.now(other).status == "done")
    failed = files.now(started)
    assert (counts(failed), failed.fault) == (("failed", 20, 20, 0, 0, 0), OUT)
    assert told(owner, started.public_id) == [("failed", 20, 0, 0, 0)]
    assert events(owner) == 25


def test_one_that_is_taken_is_passed_over(files: Files, database: Database, admin: Actor) -> None:
    first, second = files.started(HEADER + good_rows(5)), files.started(HEADER + good_rows(5, 10))
    with usage_imports.only_one(database, admin, usage_imports.locks.IMPORT, first.import_id):
        go_on_importing(database)
    assert [files.now(each).status for each in (first, second)] == ["importing", "done"]


def test_two_starts_at_once_are_one_import(files: Files, owner: psycopg.Connection) -> None:
    checked = files.checked(HEADER + good_rows(5))
    outcomes = at_once(
        files.database,
        [lambda session: start_import(session, files.actor, checked.public_id) for _ in range(8)],
    )
    assert (codes(outcomes), {each.status for each in outcomes}) == ([], {"importing"})
    started = owner.execute("SELECT count(*) FROM audit_entry WHERE action = 'usage_import.started'")
    assert started.fetchone() == (1,)
    go_on_importing(files.database)
    again = files.database.call(files.actor, start_import, checked.public_id)
    assert counts(again) == ("done", 5, 5, 0, 0, 0)


def test_cancelled_between_two_chunks(files: Files, owner: psycopg.Connection) -> None:
    started = files.started(HEADER + good_rows(35))
    go_on_importing(
        files.database, lambda chunk: files.database.call(files.actor, cancel_import, started.public_id)
    )
    cancelled = files.now(started)
    assert counts(cancelled) == ("cancelled", 10, 10, 0, 0, 0)
    assert (events(owner), parts(owner)) == (10, 0)
    assert told(owner, started.public_id) == [("cancelled", 10, 0, 0, 0)]
    assert cancelled.finished_at
    with refused("import_not_checked"):
        files.database.call(files.actor, start_import, started.public_id)


def test_cancelled_while_a_chunk_is_recorded_that_chunk_is_not(
    files: Files, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = files.started(HEADER + good_rows(35))
    record = usage_imports.record_usage_file_batch
    chunks = []

    def cancel_meanwhile(*arguments: object) -> object:
        chunks.append(outcome := record(*arguments))  # type: ignore[arg-type]
        if len(chunks) == 2:
            files.database.call(files.actor, cancel_import, started.public_id)
        return outcome

    monkeypatch.setattr(usage_imports, "record_usage_file_batch", cancel_meanwhile)
    go_on_importing(files.database)
    assert counts(files.now(started)) == ("cancelled", 10, 10, 0, 0, 0)
    assert events(owner) == 10


def test_cancelled_before_it_is_checked_and_before_it_is_started(
    files: Files, owner: psycopg.Connection
) -> None:
    sent = files.send(HEADER + good_rows(5))
    with refused("import_not_checked"):
        files.database.call(files.actor, start_import, sent.public_id)
    files.database.call(files.actor, cancel_import, sent.public_id)
    go_on_checking(files.database)
    checked = files.checked(HEADER + good_rows(5))
    files.database.call(files.actor, cancel_import, checked.public_id)
    # Nothing became of what would have become of them.
    assert {counts(files.now(each)) for each in (sent, checked)} == {("cancelled", 0, 0, 0, 0, 0)}
    assert (events(owner), parts(owner)) == (0, 0)


def test_what_nobody_starts_is_cancelled_after_a_week(
    files: Files, clock: Clock, owner: psycopg.Connection
) -> None:
    checked = files.checked(HEADER + good_rows(5))
    clock.moment += timedelta(days=7)
    go_on_checking(files.database)
    assert files.now(checked).status == "checked"
    clock.moment += timedelta(seconds=1)
    go_on_checking(files.database)
    assert (files.now(checked).status, parts(owner)) == ("cancelled", 0)


def test_refusals_are_kept_up_to_a_bound_and_all_are_counted(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "REFUSALS_KEPT_MAX", 15)
    checked = files.checked(HEADER + "nobody,k,1,\n" * 25)
    assert counts(checked) == ("checked", 25, 0, 0, 0, 25)
    assert (checked.refusals_kept, files.lines_refused(checked)) == (15, list(range(2, 17)))


def test_a_long_import_holds_up_no_other_work(
    files: Files, database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch, background: Background
) -> None:
    begun, go_on = Event(), Event()
    record = usage_imports.record_usage_file_batch

    def slowly(*arguments: object) -> object:
        begun.set()
        go_on.wait(60)
        return record(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(usage_imports, "record_usage_file_batch", slowly)
    started = files.started(HEADER + good_rows(5))
    background.start()
    assert begun.wait(60)
    run = database.call(admin, start_run, date(2026, 10, 1))
    sent = files.send(HEADER)
    background.wake()
    until(lambda: database.call(admin, get_run, run.public_id).status == "done")
    until(lambda: files.now(sent).status == "checked")
    assert files.now(started).status == "importing"
    go_on.set()
    until(lambda: files.now(started).status == "done")


def test_bytes_that_are_no_text_come_back_as_they_came(files: Files) -> None:
    checked = files.checked(HEADER.encode() + b"acme,caf\xe9\0,1,\n")
    [found] = files.database.call(files.actor, list_refusals, checked.public_id).items
    assert [cell.encode("utf-8", "surrogateescape") for cell in found.row] == [
        b"acme",
        b"caf\xe9\0",
        b"1",
        b"",
    ]
    assert checked.preview[0].row[1] == "caf\ufffd\ufffd"


def test_finance_sees_and_changes_nothing(files: Files, database: Database, finance: Actor) -> None:
    checked = files.checked(HEADER)
    assert database.call(finance, get_import, checked.public_id) == checked
    for service in (start_import, cancel_import):
        with refused("forbidden"):
            database.call(finance, service, checked.public_id)
    with refused("forbidden"):
        receive_file(database, finance, "usage.csv", [])
