"""Invoice numbers that were used after the backup are not used again after its restore."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from billing_app.api.invoices import SkippedNumbers, invoice_of
from billing_app.api.verifications import verification_of
from billing_app.database.backup.archive import open_archive
from billing_app.database.backup.dumping import back_up
from billing_app.database.embedded import cluster
from billing_app.database.provision import Urls
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.domain.invoice import NumberGap, gap_sha256
from billing_app.errors import Forbidden, Invalid, NotFound
from billing_app.jobs.restoring import restore
from billing_app.jobs.verification import verify
from billing_app.services.invoices.invoices import get_invoice
from billing_app.services.invoices.navigation import get_neighbours
from billing_app.services.invoices.number_gaps import reserve_issued_numbers
from billing_app.services.invoices.rows import Neighbours
from billing_app.services.verification.report import Report
from billing_app.services.verification.verifications import get_latest
from billing_app.state.presenters.invoices import invoice_sheet
from billing_app.wording.discrepancies import discrepancy_sentence, number_gap_sentence
from tests.backup.conftest import empty_database
from tests.backup.restored import connect, rows_of
from tests.billing.shop import Shop
from tests.refusals import refused


@pytest.fixture
def file(shop: Shop, urls: Urls, tmp_path: Path) -> Path:
    """Return a backup with ACME-0001 and ACME-0002, and no invoice of globex."""
    shop.customer("acme", "2026-08")
    shop.customer("globex", "2026-10")
    shop.use("acme", "aug", 1200, "2026-08-10T00:00:00Z")
    for month in ("2026-08", "2026-09"):
        shop.invoice("acme", month)
    back_up(urls.owner, tmp_path / "a.backup")
    return tmp_path / "a.backup"


def restore_issued(urls: Urls, file: Path, **issued: int) -> list[NumberGap]:
    with open_archive(file) as archive:
        return restore(urls, archive, SYSTEM, issued)


@pytest.fixture
def restored(file: Path, shop: Shop, empty: Urls) -> Iterator[Shop]:
    """Return the restored business, where acme had ACME-0012 and globex GLOBEX-0003."""
    restore_issued(empty, file, ACME=12, globex=3)
    database = Database(empty.application, clock=shop.database.clock)
    yield Shop(database, shop.actor)
    database.close()


def verified(shop: Shop) -> Report:
    return verify(shop.database, SYSTEM)


def test_next_invoice_gets_the_number_after_the_last_issued_one(restored: Shop) -> None:
    invoices = [restored.invoice(key, "2026-10") for key in ("acme", "globex")]
    assert [invoice.number for invoice in invoices] == ["ACME-0013", "GLOBEX-0004"]
    assert [invoice.gap_before for invoice in invoices] == [
        ("ACME-0003", "ACME-0012"),
        ("GLOBEX-0001", "GLOBEX-0003"),
    ]
    assert all(invoice.chain_ok and invoice.previous_sha256 for invoice in invoices)
    acme = restored.database.call(SYSTEM, get_invoice, "ACME-0013")
    assert invoice_of(acme).gap_before == SkippedNumbers(first="ACME-0003", last="ACME-0012")
    sheet = invoice_sheet(acme, Neighbours(None, None))
    assert sheet.gap == "ACME-0003 to ACME-0012 were issued before a restore, and not used again."
    before, after = (
        restored.database.call(SYSTEM, get_neighbours, number) for number in ("ACME-0002", "ACME-0013")
    )
    assert (before.following, after.previous) == ("ACME-0013", "ACME-0002")


def test_verification_states_the_gap_and_reports_no_discrepancy(restored: Shop, finance: Actor) -> None:
    for _ in range(2):  # Before and after the invoices that follow the gaps.
        report = verified(restored)
        assert report.discrepancies == []
        assert [(gap.customer.key, gap.first, gap.last) for gap in report.number_gaps] == [
            ("acme", "ACME-0003", "ACME-0012"),
            ("globex", "GLOBEX-0001", "GLOBEX-0003"),
        ]
        for key in ("acme", "globex"):
            if report.checked.invoices == 2:
                restored.invoice(key, "2026-10")
    assert number_gap_sentence(report.number_gaps[0]).startswith(
        "ACME-0003 to ACME-0012 were issued before the"
    )
    latest = restored.database.call(finance, get_latest)
    assert latest.report == report
    gaps = verification_of(latest).number_gaps
    assert (gaps[0].customer.key, gaps[0].first, gaps[0].last) == ("acme", "ACME-0003", "ACME-0012")


def test_second_restore_adds_a_second_gap(
    restored: Shop, empty: Urls, server: cluster.Server, tmp_path: Path
) -> None:
    back_up(empty.owner, tmp_path / "b.backup")
    with empty_database(server) as again:
        (gap,) = restore_issued(again, tmp_path / "b.backup", acme=13, globex=3)
        assert gap.numbers == ("ACME-0013", "ACME-0013")
        database = Database(again.application, clock=restored.database.clock)
        report = verified(Shop(database, restored.actor))
        assert report.ok
        assert len(report.number_gaps) == 3
        assert "ACME-0013 was issued" in number_gap_sentence(report.number_gaps[1])
        assert Shop(database, restored.actor).invoice("acme", "2026-10").number == "ACME-0014"
        assert verified(Shop(database, restored.actor)).ok
        database.close()


def test_numbers_that_the_backup_contains_are_no_gap(file: Path, empty: Urls) -> None:
    assert restore_issued(empty, file, acme=2) == []
    assert rows_of(empty)["number_gap"] == 0


def test_unknown_customer_or_number_is_refused_and_nothing_is_restored(file: Path, empty: Urls) -> None:
    for issued, refusal in (({"acme": 12, "absent": 3}, NotFound), ({"acme": 0}, Invalid)):
        with pytest.raises(refusal):
            restore_issued(empty, file, **issued)
        assert rows_of(empty) == {}


def test_finance_user_cannot_reserve_numbers(shop: Shop, finance: Actor) -> None:
    shop.customer("acme")
    now = shop.database.clock()
    with pytest.raises(Forbidden):
        shop.database.call(finance, reserve_issued_numbers, "acme", last_issued=2, backup_of=now)
    with refused("customer_not_found"):
        shop.database.call(SYSTEM, reserve_issued_numbers, "absent", last_issued=2, backup_of=now)


@pytest.mark.parametrize(
    ("statement", "codes"),
    [
        ("DELETE FROM number_gap WHERE customer_id = 1", {"wrong_sequence", "broken_chain"}),
        ("UPDATE number_gap SET last_sequence = 11 WHERE customer_id = 1", {"wrong_number_gap", "wrong_sequence"}),
        ("UPDATE number_gap SET backup_of = now() WHERE customer_id = 1", {"wrong_number_gap"}),
        ("UPDATE number_gap SET previous_sha256 = repeat('0', 64) WHERE customer_id = 1", {"wrong_number_gap"}),
        ("UPDATE number_gap SET content_sha256 = repeat('0', 64) WHERE customer_id = 1",
         {"wrong_number_gap", "broken_chain"}),
        ("UPDATE number_gap SET first_sequence = 4 WHERE customer_id = 1", {"wrong_number_gap", "wrong_sequence"}),
        (("INSERT INTO number_gap SELECT 1, 14, 20, backup_of, recorded_at, recorded_by, previous_sha256,"
          " content_sha256 FROM number_gap WHERE customer_id = 1"), {"wrong_number_gap", "wrong_last_number"}),
    ],
)  # fmt: skip
def test_tampering_with_a_gap_is_a_discrepancy(
    restored: Shop, empty: Urls, statement: str, codes: set[str]
) -> None:
    restored.invoice("acme", "2026-10")
    with connect(empty.owner) as owner:
        owner.execute("ALTER TABLE number_gap DISABLE TRIGGER USER")
        owner.execute(statement)
    report = verified(restored)
    assert codes <= {each.code for each in report.discrepancies}
    assert all(discrepancy_sentence(each).endswith(".") for each in report.discrepancies)
    if statement.startswith("DELETE"):
        with restored.database.transaction(SYSTEM) as session:
            assert not get_invoice(session, SYSTEM, "ACME-0013").chain_ok


@pytest.mark.parametrize("first", [2, 12, 14])
def test_database_refuses_a_gap_that_does_not_follow_the_last_number(
    restored: Shop, empty: Urls, first: int
) -> None:
    statement = (
        "INSERT INTO number_gap SELECT customer_id, %s, 99, now(), now(), 'x', last_sha256, last_sha256"
        " FROM customer_billing WHERE customer_id = 1"
    )
    for url in (empty.application, empty.owner):
        with connect(url) as connection, pytest.raises(errors.RestrictViolation, match="must follow"):
            connection.execute(statement, [first])


def test_number_in_a_gap_cannot_be_given_out_later(
    restored: Shop, owner: psycopg.Connection, empty: Urls
) -> None:
    with connect(empty.owner) as connection, pytest.raises(errors.RestrictViolation, match="invoice number"):
        connection.execute("UPDATE customer_billing SET last_number = 5 WHERE customer_id = 1")


def test_hash_of_a_gap_covers_all_that_it_states() -> None:
    moment = datetime(2026, 11, 28, tzinfo=UTC)
    gap = NumberGap("acme", 10, 12, moment, moment, "0" * 64)
    later = datetime(2026, 11, 29, tzinfo=UTC)
    changed = {"customer_key": "beta", "first_sequence": 9, "last_sequence": 13, "backup_of": later,
               "recorded_at": later, "previous_sha256": "1" * 64}  # fmt: skip
    assert set(changed) == set(NumberGap._fields)
    hashes = {gap_sha256(gap)} | {
        gap_sha256(gap._replace(**{name: value})) for name, value in changed.items()
    }
    assert len(hashes) == 1 + len(changed)
