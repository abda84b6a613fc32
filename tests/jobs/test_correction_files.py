"""Checking and importing files of corrections in several batches, also after an interruption."""

from __future__ import annotations

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.jobs import usage_csv
from billing_app.jobs.usage_imports import check_files, import_files, receive_file
from billing_app.services.usage.correction_rows import CorrectionReport
from billing_app.services.usage.corrections import correct_usage
from billing_app.services.usage_imports.imports import get_import, start_import
from billing_app.services.usage_imports.rows import Chunk, UsageImportRow
from tests.billing.shop import Shop
from tests.jobs.files import counts

HEADER = "customer,idempotency_key,quantity,reason,correction_key\n"


@pytest.fixture
def shop(database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(usage_csv, "BATCH_MAX", 2)
    shop = Shop(database, admin)
    shop.customer("acme", "2026-10")
    shop.use("acme", "a", 100, "2026-10-15T10:00:00Z")
    return shop


def check(shop: Shop, rows: str) -> UsageImportRow:
    content = (HEADER + rows).encode()
    uploaded = receive_file(shop.database, shop.actor, "fixes.csv", [content], kind="corrections")
    check_files(shop.database)
    return shop.database.call(shop.actor, get_import, uploaded.public_id)


def test_check_expects_exactly_what_the_import_does(shop: Shop) -> None:
    rows = (
        "acme,a,90,x,1\nacme,a,80,x,2\n"  # the first batch
        "acme,a,80,x,3\nacme,a,90,x,1\n"  # nothing to correct, and a duplicate of the first batch
        "acme,a,70,x,4\nacme,a,60,x,2\n"  # and a conflict with it
    )
    checked = check(shop, rows)
    assert counts(checked) == ("checked", 6, 3, 1, 1, 1)
    shop.database.call(shop.actor, start_import, checked.public_id)
    import_files(shop.database)
    done = shop.database.call(shop.actor, get_import, checked.public_id)
    assert counts(done) == ("done", 6, 3, 1, 1, 1)


def test_check_records_nothing_and_waits_for_nobody(shop: Shop, owner: psycopg.Connection) -> None:
    # A correction of the same event that is being recorded doesn't block the check.
    with shop.database.transaction(shop.actor) as session:
        correct_usage(session, shop.actor, CorrectionReport("acme", "a", 50, "x", "other"))
        assert counts(check(shop, "acme,a,90,x,1\n")) == ("checked", 1, 1, 0, 0, 0)
    assert owner.execute("SELECT count(*) FROM usage_correction").fetchone() == (1,)


def test_interrupted_import_continues_after_its_last_batch(shop: Shop, owner: psycopg.Connection) -> None:
    checked = check(shop, "".join(f"acme,a,{number},x,{number}\n" for number in range(1, 8)))
    shop.database.call(shop.actor, start_import, checked.public_id)
    chunks: list[Chunk] = []

    def interrupt(chunk: Chunk) -> None:
        chunks.append(chunk)
        if len(chunks) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_files(shop.database, interrupt)
    assert owner.execute("SELECT count(*) FROM usage_correction").fetchone() == (4,)
    import_files(shop.database)
    done = shop.database.call(shop.actor, get_import, checked.public_id)
    assert counts(done) == ("done", 7, 7, 0, 0, 0)
    found = owner.execute("SELECT number, quantity FROM usage_correction ORDER BY 1").fetchall()
    assert found == [(number, number) for number in range(1, 8)]
