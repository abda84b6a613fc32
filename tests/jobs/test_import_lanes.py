"""Small files don't wait for large ones, and a waiting file names the one that it waits for."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.jobs import usage_csv, usage_imports
from billing_app.jobs.background import Background
from billing_app.services.usage.recording import UsageReport, dry_run_usage_batch, record_usage_file_batch
from billing_app.services.usage_imports import queries
from billing_app.services.usage_imports.imports import list_imports, start_import
from billing_app.services.usage_imports.rows import Phase, UsageImportRow
from tests.billing.shop import Shop
from tests.jobs.files import HEADER, Files, counts, good_rows
from tests.jobs.test_background import until

SMALL = HEADER + good_rows(5)
LARGE = HEADER + good_rows(40, 1_000)


class Held:
    """Blocks every batch of a large file in one phase until `release`. Small files are not blocked."""

    def __init__(self) -> None:
        self.phase: Phase = "checking"
        self.reached, self._released = Event(), Event()

    def wait(self, phase: Phase, reports: list[UsageReport]) -> None:
        if phase == self.phase and int(str(reports[0].idempotency_key)[1:]) >= 1_000:
            self.reached.set()
            assert self._released.wait(60)

    def release(self) -> None:
        self._released.set()


@pytest.fixture
def files(database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setattr(usage_csv, "BATCH_MAX", 10)
    monkeypatch.setattr(queries, "SMALL_FILE_BYTES_MAX", 500)
    Shop(database, admin).customer("acme", "2026-10")
    return Files(database, admin)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held()

    def judge(session: object, actor: object, reports: list[UsageReport]) -> object:
        held.wait("checking", reports)
        return dry_run_usage_batch(session, actor, reports)  # type: ignore[arg-type]

    def record(session: object, actor: object, reports: list[UsageReport]) -> object:
        held.wait("importing", reports)
        return record_usage_file_batch(session, actor, reports)  # type: ignore[arg-type]

    monkeypatch.setattr(usage_imports, "dry_run_usage_batch", judge)
    monkeypatch.setattr(usage_imports, "record_usage_file_batch", record)
    yield held
    held.release()


@pytest.fixture
def background(database: Database, held: Held) -> Iterator[Background]:
    background = Background(database)
    background.start()
    yield background
    held.release()
    background.stop()


def waits_for(row: UsageImportRow) -> str | None:
    return row.waits_for.public_id if row.waits_for else None


def upload_large(files: Files) -> list[UsageImportRow]:
    """Upload a large file for each worker, so that none would be free without a lane for small files."""
    return [files.upload(LARGE + good_rows(1, 2_000 + number)) for number in range(2)]


def test_small_file_is_checked_and_imported_while_large_ones_are_checked(
    files: Files, held: Held, background: Background
) -> None:
    large = upload_large(files)
    background.wake()
    assert held.reached.wait(60)
    small = files.upload(SMALL)
    assert waits_for(small) is None
    background.wake()
    until(lambda: files.reload(small).status == "checked")
    files.database.call(files.actor, start_import, small.public_id)
    background.wake()
    until(lambda: files.reload(small).status == "done")
    assert {counts(files.reload(each)) for each in large} == {("checking", 0, 0, 0, 0, 0)}
    held.release()
    until(lambda: all(files.reload(each).status == "checked" for each in large))


def test_small_file_is_imported_while_large_ones_are_imported(
    files: Files, held: Held, background: Background
) -> None:
    held.phase = "importing"
    large = upload_large(files)
    background.wake()
    until(lambda: all(files.reload(each).status == "checked" for each in large))
    for each in large:
        files.database.call(files.actor, start_import, each.public_id)
    background.wake()
    assert held.reached.wait(60)
    small = files.upload(SMALL)
    background.wake()
    until(lambda: files.reload(small).status == "checked")
    files.database.call(files.actor, start_import, small.public_id)
    background.wake()
    until(lambda: files.reload(small).status == "done")
    assert {counts(files.reload(each)) for each in large} == {("importing", 0, 0, 0, 0, 0)}
    held.release()
    until(lambda: all(files.reload(each).status == "done" for each in large))


def test_large_file_names_the_large_file_that_it_waits_for(
    files: Files, held: Held, background: Background
) -> None:
    first = files.upload(LARGE)
    background.wake()
    assert held.reached.wait(60)
    second, small = files.upload(LARGE + good_rows(1, 2_000)), files.upload(SMALL)
    third = files.upload(LARGE + good_rows(1, 3_000))
    found = {row.import_id: waits_for(row) for row in files.database.call(files.actor, list_imports).items}
    assert found[first.import_id] is None
    assert found[second.import_id] == found[third.import_id] == first.public_id
    assert found[small.import_id] is None
    held.release()
    until(lambda: files.reload(third).status == "checked")
    assert waits_for(files.reload(second)) is waits_for(files.reload(third)) is None
