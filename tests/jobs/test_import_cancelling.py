"""After the response to a cancel nothing more is recorded and the counts are final."""

from __future__ import annotations

from threading import Thread

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.jobs import usage_csv
from billing_app.jobs.usage_imports import check_files, import_files
from billing_app.services.usage_imports.imports import cancel_import
from tests.billing.shop import Shop
from tests.jobs.files import HEADER, Files, counts, event_count, good_rows, part_count
from tests.jobs.test_background import until

ROWS = 600


@pytest.fixture
def files(database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setattr(usage_csv, "BATCH_MAX", 10)
    Shop(database, admin).customer("acme", "2026-10")
    return Files(database, admin)


@pytest.mark.parametrize("chunks", [1, 2, 5])
def test_nothing_is_recorded_after_the_response_to_a_cancel(
    files: Files, owner: psycopg.Connection, chunks: int
) -> None:
    started = files.check_and_start(HEADER + good_rows(ROWS))
    worker = Thread(target=import_files, args=[files.database])
    worker.start()
    until(lambda: files.reload(started).rows >= 10 * chunks)
    answer = files.database.call(files.actor, cancel_import, started.public_id)
    recorded = event_count(owner)
    worker.join()
    assert counts(answer) == ("cancelled", recorded, recorded, 0, 0, 0)
    assert files.reload(started) == answer
    assert (event_count(owner), part_count(owner)) == (recorded, 0)
    assert 0 < recorded < ROWS
    import_files(files.database)
    assert (files.reload(started), event_count(owner)) == (answer, recorded)


def test_cancelled_check_stays_cancelled_without_counts(files: Files, owner: psycopg.Connection) -> None:
    uploaded = files.upload(HEADER + good_rows(ROWS))
    worker = Thread(target=check_files, args=[files.database])
    worker.start()
    until(lambda: files.reload(uploaded).rows)
    answer = files.database.call(files.actor, cancel_import, uploaded.public_id)
    worker.join()
    assert counts(answer) == ("cancelled", 0, 0, 0, 0, 0)
    assert files.reload(uploaded) == answer
    assert (event_count(owner), part_count(owner)) == (0, 0)


def test_cancel_waits_for_the_chunk_that_is_being_recorded_and_counts_it(
    files: Files, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing_app.jobs import usage_imports

    started = files.check_and_start(HEADER + good_rows(ROWS))
    count = usage_imports.count_chunk
    answers: list[Thread] = []

    def count_and_cancel(*arguments: object) -> None:
        count(*arguments)  # type: ignore[arg-type]
        if not answers:
            # The chunk is counted but not committed yet, so cancelling has to wait for it.
            cancel = Thread(target=files.database.call, args=[files.actor, cancel_import, started.public_id])
            answers.append(cancel)
            cancel.start()
            until(lambda: owner.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall())

    monkeypatch.setattr(usage_imports, "count_chunk", count_and_cancel)
    import_files(files.database)
    answers[0].join()
    assert counts(files.reload(started)) == ("cancelled", 10, 10, 0, 0, 0)
    assert event_count(owner) == 10
