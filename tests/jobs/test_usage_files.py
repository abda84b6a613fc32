"""Imports in the background: checked without recording, imported once, interrupted and resumed."""

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
from billing_app.jobs.usage_imports import check_files, import_files, receive_file
from billing_app.services.invoices.runs import get_run, start_run
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage_imports import rows
from billing_app.services.usage_imports.imports import cancel_import, get_import, start_import
from billing_app.services.usage_imports.rejected_rows import list_rejected_rows
from billing_app.services.usage_imports.rows import Chunk
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.jobs.files import HEADER, TIME, Files, counts, event_count, good_rows, part_count
from tests.jobs.test_background import refuse, until
from tests.races import at_once, codes
from tests.refusals import refused

DATABASE_REFUSED = Reason("database_refused", facts={"sqlstate": "P0001"})
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
    + f"missing,x,1,{TIME}\n"
    + f"acme,k3,1,{TIME}\n"  # in another chunk than the first
    + f"acme,k3,2,{TIME}\n"
    + "acme,short\n"
)


class Killed(Exception):
    pass


def audited_outcome(owner: psycopg.Connection, usage_import: str) -> list[tuple[object, ...]]:
    """Return how the import ended and its counts, as the audit log has them."""
    assert not owner.execute("SELECT FROM audit_entry WHERE subject = 'usage'").fetchall()
    return owner.execute(
        "SELECT split_part(action, '.', 2), (details->>'recorded')::int, (details->>'duplicates')::int,"
        " (details->>'conflicts')::int, (details->>'rejected')::int FROM audit_entry"
        " WHERE subject = %s AND action NOT IN ('usage_import.uploaded', 'usage_import.started')",
        [usage_import],
    ).fetchall()


def test_check_predicts_the_import_and_records_nothing(files: Files, owner: psycopg.Connection) -> None:
    checked = files.check(MIXED)
    assert counts(checked) == ("checked", 16, 12, 1, 1, 2)
    assert (checked.bytes_read, files.rejected_lines(checked)) == (checked.size_bytes, [14, 16, 17])
    assert (event_count(owner), len(checked.preview)) == (0, 10)
    assert checked.preview[0].row == ("acme", "k0", "1", TIME)
    files.database.call(files.actor, start_import, checked.public_id)
    import_files(files.database)
    done = files.reload(checked)
    assert counts(done) == ("done", *counts(checked)[1:])
    assert (files.rejected_lines(done), event_count(owner), part_count(owner)) == ([14, 16, 17], 12, 0)
    by = owner.execute("SELECT DISTINCT recorded_by FROM usage_event").fetchall()
    assert by == [(done.public_id,)]


def test_same_file_again_records_nothing_and_names_the_first_import(
    files: Files, owner: psycopg.Connection
) -> None:
    content = HEADER + good_rows(25)
    first = files.import_whole(content)
    assert (first.same_as, counts(first)) == (None, ("done", 25, 25, 0, 0, 0))
    again = files.check(content)
    assert again.same_as
    assert (again.same_as.public_id, again.same_as.finished_at) == (first.public_id, first.finished_at)
    assert counts(again) == ("checked", 25, 0, 25, 0, 0)
    assert counts(files.import_whole(content)) == ("done", 25, 0, 25, 0, 0)
    assert files.check(content + " ").same_as is None
    assert files.reload(first).same_as is None
    assert event_count(owner) == 25


def test_interrupted_check_starts_over(files: Files) -> None:
    def stop(chunk: Chunk) -> None:
        raise Killed

    uploaded = files.upload(MIXED)
    with pytest.raises(Killed):
        check_files(files.database, stop)
    assert counts(files.reload(uploaded)) == ("checking", 10, 10, 0, 0, 0)
    check_files(files.database)
    assert counts(files.reload(uploaded)) == ("checked", 16, 12, 1, 1, 2)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_each_row_counts_once_when_the_server_is_killed(
    files: Files, urls: Urls, owner: psycopg.Connection, pack: Callable[[bytes], bytes]
) -> None:
    started = files.check_and_start(
        pack((HEADER + good_rows(12) + "acme,short\n\n" + good_rows(22, 12)).encode())
    )
    script = f"""
import time
from billing_app.database.session import Database
from billing_app.jobs import usage_csv
from billing_app.jobs.background import Background
usage_csv.BATCH_MAX = 10
Background(Database({urls.application!r})).start()
time.sleep(600)
"""
    # Another transaction records an event of the third chunk, so the import waits there.
    with psycopg.connect(urls.owner.replace("+psycopg", "")) as holder:
        holder.execute(
            "INSERT INTO usage_event SELECT customer_id, 'k25', '2026-11-10Z', now(), '2026-11-01', 1, 'x'"
            " FROM customer"
        )
        with subprocess.Popen([sys.executable, "-c", script]) as process:
            until(lambda: files.reload(started).rows == 20)
            process.send_signal(signal.SIGKILL)
        holder.rollback()
    until(lambda: not owner.execute(f"SELECT {ADVISORY_LOCKS}").fetchall())
    assert (counts(files.reload(started)), event_count(owner)) == (("importing", 20, 19, 0, 0, 1), 19)
    import_files(files.database)
    done = files.reload(started)
    assert counts(done) == ("done", 35, 34, 0, 0, 1)
    assert (done.bytes_read, files.rejected_lines(done), event_count(owner)) == (done.size_bytes, [14], 34)
    import_files(files.database)
    assert audited_outcome(owner, started.public_id) == [("done", 34, 0, 0, 1)]


def test_worker_that_lost_its_lock_records_nothing_more(files: Files) -> None:
    """Another worker takes over, imports a chunk and is killed. Then the first worker continues."""
    started = files.check_and_start(HEADER + good_rows(35))
    overtakings = []

    def stop(chunk: Chunk) -> None:
        raise Killed

    def overtake(chunk: Chunk) -> None:
        overtakings.append(True)
        with files.database.engine.connect() as connection:
            connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) {ADVISORY_LOCKS}")
            until(lambda: not connection.exec_driver_sql(f"SELECT {ADVISORY_LOCKS}").all())
        with pytest.raises(Killed):
            import_files(files.database, stop)

    with pytest.raises(OperationalError, match="terminat"):
        import_files(files.database, overtake)
    assert (len(overtakings), counts(files.reload(started))) == (1, ("importing", 20, 20, 0, 0, 0))
    import_files(files.database)
    assert counts(files.reload(started)) == ("done", 35, 35, 0, 0, 0)


def test_one_of_several_workers_imports_a_file(
    files: Files, database: Database, owner: psycopg.Connection
) -> None:
    started = [files.check_and_start(HEADER + good_rows(35, 100 * number)) for number in range(2)]
    workers = [Worker("importing", database, import_files) for _ in range(4)]
    for worker in workers:
        worker.start()
    until(lambda: all(files.reload(each).status == "done" for each in started))
    for worker in workers:
        worker.stop()
        worker.join()
    assert [counts(files.reload(each)) for each in started] == [("done", 35, 35, 0, 0, 0)] * 2
    assert [audited_outcome(owner, each.public_id) for each in started] == [[("done", 35, 0, 0, 0)]] * 2


def test_import_that_keeps_failing_fails_with_its_counts(
    files: Files, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, background: Background
) -> None:
    monkeypatch.setattr(jobs.background, "LOOK_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(jobs.background, "PAUSE_SECONDS_MAX", 0.05)
    refuse(owner, "usage_event", "NEW.idempotency_key = 'k25'")
    started, other = (
        files.check_and_start(HEADER + good_rows(35)),
        files.check_and_start(HEADER + good_rows(5, 100)),
    )
    background.start()
    until(lambda: files.reload(started).status == "failed" and files.reload(other).status == "done")
    failed = files.reload(started)
    assert (counts(failed), failed.fault) == (("failed", 20, 20, 0, 0, 0), DATABASE_REFUSED)
    assert audited_outcome(owner, started.public_id) == [("failed", 20, 0, 0, 0)]
    assert event_count(owner) == 25


def test_import_that_another_process_works_on_is_skipped(
    files: Files, database: Database, admin: Actor
) -> None:
    first, second = (
        files.check_and_start(HEADER + good_rows(5)),
        files.check_and_start(HEADER + good_rows(5, 10)),
    )
    with usage_imports.try_lock(database, admin, usage_imports.locks.IMPORT, first.import_id):
        import_files(database)
    assert [files.reload(each).status for each in (first, second)] == ["importing", "done"]


def test_concurrent_starts_start_one_import(files: Files, owner: psycopg.Connection) -> None:
    checked = files.check(HEADER + good_rows(5))
    outcomes = at_once(
        files.database,
        [lambda session: start_import(session, files.actor, checked.public_id) for _ in range(8)],
    )
    assert (codes(outcomes), {each.status for each in outcomes}) == ([], {"importing"})
    started = owner.execute("SELECT count(*) FROM audit_entry WHERE action = 'usage_import.started'")
    assert started.fetchone() == (1,)
    import_files(files.database)
    again = files.database.call(files.actor, start_import, checked.public_id)
    assert counts(again) == ("done", 5, 5, 0, 0, 0)


def test_import_cancelled_between_two_chunks_stops(files: Files, owner: psycopg.Connection) -> None:
    started = files.check_and_start(HEADER + good_rows(35))
    import_files(
        files.database, lambda chunk: files.database.call(files.actor, cancel_import, started.public_id)
    )
    cancelled = files.reload(started)
    assert counts(cancelled) == ("cancelled", 10, 10, 0, 0, 0)
    assert (event_count(owner), part_count(owner)) == (10, 0)
    assert audited_outcome(owner, started.public_id) == [("cancelled", 10, 0, 0, 0)]
    assert cancelled.finished_at
    with refused("import_not_checked"):
        files.database.call(files.actor, start_import, started.public_id)


def test_chunk_that_is_being_recorded_when_cancelled_is_undone(
    files: Files, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = files.check_and_start(HEADER + good_rows(35))
    record = usage_imports.record_usage_file_batch
    chunks = []

    def record_and_cancel(*arguments: object) -> object:
        chunks.append(outcome := record(*arguments))  # type: ignore[arg-type]
        if len(chunks) == 2:
            files.database.call(files.actor, cancel_import, started.public_id)
        return outcome

    monkeypatch.setattr(usage_imports, "record_usage_file_batch", record_and_cancel)
    import_files(files.database)
    assert counts(files.reload(started)) == ("cancelled", 10, 10, 0, 0, 0)
    assert event_count(owner) == 10


def test_file_cancelled_before_it_is_started_has_no_counts(files: Files, owner: psycopg.Connection) -> None:
    uploaded = files.upload(HEADER + good_rows(5))
    with refused("import_not_checked"):
        files.database.call(files.actor, start_import, uploaded.public_id)
    files.database.call(files.actor, cancel_import, uploaded.public_id)
    check_files(files.database)
    checked = files.check(HEADER + good_rows(5))
    files.database.call(files.actor, cancel_import, checked.public_id)
    assert {counts(files.reload(each)) for each in (uploaded, checked)} == {("cancelled", 0, 0, 0, 0, 0)}
    assert (event_count(owner), part_count(owner)) == (0, 0)


def test_file_that_is_not_started_within_a_week_is_cancelled(
    files: Files, clock: Clock, owner: psycopg.Connection
) -> None:
    checked = files.check(HEADER + good_rows(5))
    clock.moment += timedelta(days=7)
    check_files(files.database)
    assert files.reload(checked).status == "checked"
    clock.moment += timedelta(seconds=1)
    check_files(files.database)
    assert (files.reload(checked).status, part_count(owner)) == ("cancelled", 0)


def test_first_rejected_rows_are_kept_and_all_are_counted(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "REJECTED_ROWS_KEPT_MAX", 15)
    checked = files.check(HEADER + "missing,k,1,\n" * 25)
    assert counts(checked) == ("checked", 25, 0, 0, 0, 25)
    assert (checked.rejected_rows_kept, files.rejected_lines(checked)) == (15, list(range(2, 17)))


def test_long_import_delays_no_other_work(
    files: Files, database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch, background: Background
) -> None:
    started_recording, resume = Event(), Event()
    record = usage_imports.record_usage_file_batch

    def record_slowly(*arguments: object) -> object:
        started_recording.set()
        resume.wait(60)
        return record(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(usage_imports, "record_usage_file_batch", record_slowly)
    started = files.check_and_start(HEADER + good_rows(5))
    background.start()
    assert started_recording.wait(60)
    run = database.call(admin, start_run, date(2026, 10, 1))
    uploaded = files.upload(HEADER)
    background.wake()
    until(lambda: database.call(admin, get_run, run.public_id).status == "done")
    until(lambda: files.reload(uploaded).status == "checked")
    assert files.reload(started).status == "importing"
    resume.set()
    until(lambda: files.reload(started).status == "done")


def test_bytes_that_are_not_utf8_are_kept(files: Files) -> None:
    checked = files.check(HEADER.encode() + b"acme,caf\xe9\0,1,\n")
    [found] = files.database.call(files.actor, list_rejected_rows, checked.public_id).items
    assert [cell.encode("utf-8", "surrogateescape") for cell in found.row] == [
        b"acme",
        b"caf\xe9\0",
        b"1",
        b"",
    ]
    assert checked.preview[0].row[1] == "caf\ufffd\ufffd"


def test_finance_user_reads_imports_and_changes_none(
    files: Files, database: Database, finance: Actor
) -> None:
    checked = files.check(HEADER)
    assert database.call(finance, get_import, checked.public_id) == checked
    for service in (start_import, cancel_import):
        with refused("forbidden"):
            database.call(finance, service, checked.public_id)
    with refused("forbidden"):
        receive_file(database, finance, "usage.csv", [])
