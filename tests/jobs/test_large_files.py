"""A large file is checked and imported by a process of its own, with the same results as a small one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psutil
import psycopg
import pytest

from billing_app.database.session import Database, utc_now
from billing_app.domain.actor import Actor
from billing_app.jobs import usage_imports
from billing_app.jobs.background import Background
from billing_app.jobs.usage_imports import check_files, import_files
from billing_app.jobs.worker_process import WorkerDied
from billing_app.services.usage_imports.imports import start_import
from billing_app.services.usage_imports.rows import Chunk
from tests.billing.shop import Shop
from tests.jobs.files import HEADER, Files, counts, event_count, good_rows
from tests.jobs.test_background import until

# Three batches.
ROWS = 20_005
CONTENT = HEADER + "acme,short\n" + good_rows(ROWS)


class Killed(Exception):
    """Raised where the server is killed."""


@pytest.fixture
def files(database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    monkeypatch.setattr(usage_imports, "LARGE_FILE_BYTES_MIN", 500)
    Shop(database, admin).customer("acme", "2026-10")
    yield Files(database, admin)
    assert worker_processes() == []


def worker_processes() -> list[psutil.Process]:
    found = []
    for each in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # It may be ending.
            if "worker_process" in " ".join(each.cmdline()):
                found.append(each)
    return found


def test_large_file_is_checked_and_imported(files: Files, owner: psycopg.Connection) -> None:
    pids: set[int] = set()

    def note(_chunk: Chunk) -> None:
        pids.update(each.pid for each in worker_processes())

    uploaded = files.upload(CONTENT)
    check_files(files.database, note)
    assert counts(files.reload(uploaded)) == ("checked", ROWS + 1, ROWS, 0, 0, 1)
    assert (len(pids), event_count(owner)) == (1, 0)
    files.database.call(files.actor, start_import, uploaded.public_id)
    import_files(files.database, note)
    assert len(pids) == 2
    assert counts(files.reload(uploaded)) == ("done", ROWS + 1, ROWS, 0, 0, 1)
    assert event_count(owner) == ROWS


def test_failed_check_of_a_large_file_says_why(files: Files) -> None:
    row = files.check("client,key,quantity\n" + good_rows(100))
    assert (row.status, row.fault and row.fault.rule) == ("failed", "missing_columns")


def test_each_row_counts_once_when_the_process_is_killed(files: Files, owner: psycopg.Connection) -> None:
    started = files.check_and_start(CONTENT)

    def kill(_chunk: Chunk) -> None:
        for each in worker_processes():
            os.kill(each.pid, signal.SIGKILL)

    with pytest.raises(WorkerDied):
        import_files(files.database, kill)
    assert 0 < files.reload(started).rows == event_count(owner) + 1 < ROWS
    import_files(files.database)
    assert counts(files.reload(started)) == ("done", ROWS + 1, ROWS, 0, 0, 1)
    assert event_count(owner) == ROWS


def test_server_that_stops_ends_the_process_between_two_batches(files: Files) -> None:
    started = files.check_and_start(CONTENT)

    def stop(_chunk: Chunk) -> None:
        raise Killed

    with pytest.raises(Killed):
        import_files(files.database, stop)
    assert files.reload(started).status == "importing"
    assert worker_processes() == []
    background = Background(files.database)
    background.start()
    until(lambda: files.reload(started).status == "done")
    background.stop()
    assert counts(files.reload(started)) == ("done", ROWS + 1, ROWS, 0, 0, 1)
    until(lambda: worker_processes() == [])


def test_time_goes_on_while_a_file_is_imported(files: Files, owner: psycopg.Connection) -> None:
    files.database.clock = utc_now
    files.import_whole(CONTENT)
    first, last = owner.execute("SELECT min(recorded_at), max(recorded_at) FROM usage_event").fetchone() or ()
    assert datetime.now(UTC) - timedelta(minutes=1) < first < last
