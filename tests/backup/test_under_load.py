"""A backup of a database in use is that of one moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

from sqlalchemy import text

from billing_app.database.backup.dumping import back_up
from billing_app.database.provision import Urls
from billing_app.database.session import Database, utc_now
from billing_app.domain.actor import SYSTEM
from billing_app.jobs.invoice_runs import run_invoices
from billing_app.jobs.verification import verify
from billing_app.services.usage.recording import UsageReport
from tests.backup.restored import connect, restore_file, rows_of
from tests.billing.shop import Shop

CUSTOMERS = 60
MONTHS = [date(2026, month, 1) for month in range(1, 11)]


@contextmanager
def at_work(*works: Callable[[int], object]) -> Iterator[None]:
    """Repeat each work in a thread of its own for as long as the block lasts."""
    is_over = threading.Event()

    def repeat(work: Callable[[int], object]) -> None:
        turn = 0
        while not is_over.is_set():
            work(turn)
            turn += 1

    threads = [threading.Thread(target=repeat, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_backup_taken_under_load_is_consistent_and_has_all_that_was_acknowledged_before_it(
    shop: Shop, urls: Urls, empty: Urls, tmp_path: Path
) -> None:
    plan = shop.plan()
    for number in range(CUSTOMERS):
        shop.customer(f"c{number}", "2026-01", plan)
    acknowledged: list[tuple[str, datetime]] = []

    def record(lane: str, turn: int) -> None:
        keys = [f"{lane}-{turn}-{number}" for number in range(CUSTOMERS)]
        shop.use_many([UsageReport(f"c{number}", key, 25) for number, key in enumerate(keys)])
        moment = utc_now()
        acknowledged.extend((key, moment) for key in keys)

    def invoice(turn: int) -> None:
        for period in MONTHS[turn : turn + 1]:
            run_invoices(shop.database, shop.actor, period)

    files = [tmp_path / f"{number}.backup" for number in range(3)]
    with at_work(lambda turn: record("a", turn), lambda turn: record("b", turn), invoice):
        manifests = [back_up(urls.owner, file) for file in files]
    manifest = manifests[1]
    assert 0 < manifest.rows["usage_event"] < len(acknowledged)

    restore_file(empty, files[1])
    rows = rows_of(empty)
    assert rows == {**manifest.rows, "audit_entry": manifest.rows["audit_entry"] + 1}
    with connect(empty.owner) as connection:
        there = {key for (key,) in connection.execute("SELECT idempotency_key FROM usage_event")}
    before = {key for key, moment in acknowledged if moment < manifest.taken_at}
    assert before
    assert before <= there
    restored = Database(empty.application)
    report = verify(restored, SYSTEM, awaiting_is_discrepancy=False)
    restored.close()
    assert report.discrepancies == []
    assert report.checked.invoices == manifest.rows["invoice"]


def test_senders_can_repeat_what_they_sent_since(shop: Shop, urls: Urls, empty: Urls, tmp_path: Path) -> None:
    shop.customer("acme")
    shop.use("acme", "before", 5)
    back_up(urls.owner, tmp_path / "a.backup")
    shop.use("acme", "after", 7)
    restore_file(empty, tmp_path / "a.backup")
    database = Database(empty.application, clock=shop.database.clock)
    again = Shop(database, shop.actor)
    assert [again.use("acme", key, amount).status for key, amount in (("before", 5), ("after", 7))] == [
        "duplicate",
        "recorded",
    ]
    with database.transaction(SYSTEM) as session:
        assert session.scalar(text("SELECT sum(quantity) FROM usage_event")) == 12
    # IDs continue after those of the backup.
    assert again.customer("globex") == 2
    database.close()
