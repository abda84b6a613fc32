"""Restoring: what is there afterwards, and what is refused without changing anything."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from billing_app.database import locks
from billing_app.database.backup import dumping
from billing_app.database.backup.archive import open_archive
from billing_app.database.backup.dumping import back_up
from billing_app.database.backup.errors import BackupUnusable
from billing_app.database.backup.programs import connection_arguments, find_program
from billing_app.database.embedded import cluster
from billing_app.database.privileges import APPEND_ONLY
from billing_app.database.provision import APPLICATION_ROLE, OWNER_ROLE, Urls
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.errors import Forbidden
from billing_app.jobs import restoring
from billing_app.jobs.verification import verify
from billing_app.services.invoices.closing import close_period
from tests.backup.conftest import empty_database
from tests.backup.restored import connect, restore_file, rows_of
from tests.billing.shop import Shop
from tests.database.test_migration_locks import wait_for_lock, wait_until_alone

SEPTEMBER, OCTOBER = date(2026, 9, 1), date(2026, 10, 1)


@pytest.fixture
def file(shop: Shop, urls: Urls, tmp_path: Path) -> Path:
    """Return a backup of a small business."""
    shop.customer("acme", "2026-09")
    shop.use("acme", "sep", 1200, "2026-09-10T00:00:00Z")
    shop.invoice("acme", "2026-09")
    shop.use("acme", "\\.", 3)
    file = tmp_path / "a.backup"
    back_up(urls.owner, file)
    return file


def refused(urls: Urls, file: Path, reason: str) -> None:
    """Check that a restore is refused with a sentence, and that the database is as before."""
    before = rows_of(urls)
    with pytest.raises(BackupUnusable, match=reason) as raised:
        restore_file(urls, file)
    assert "\n" not in str(raised.value)
    assert rows_of(urls) == before


def test_restored_schema_is_the_same(file: Path, urls: Urls, empty: Urls) -> None:
    restore_file(empty, file)

    def schema(url: str) -> str:
        arguments, environment = connection_arguments(url)
        command = [
            str(find_program("pg_dump", 18)),
            "--schema-only",
            "--no-comments",
            "--restrict-key=x",
            *arguments,
        ]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    # With owners and privileges.
    assert schema(urls.owner) == schema(empty.owner)


@pytest.mark.parametrize("cut", [1, 63, 64, 65, 1000])
def test_truncated_file_is_refused(file: Path, empty: Urls, cut: int) -> None:
    file.write_bytes(file.read_bytes()[:-cut])
    refused(empty, file, r"is damaged: it is incomplete, or was changed .* Nothing was changed\.")


def test_file_that_is_cut_to_its_beginning_is_refused(file: Path, empty: Urls) -> None:
    whole = file.read_bytes()
    for size in (0, 10, 49, 50, 300):
        file.write_bytes(whole[:size])
        refused(empty, file, "is damaged|is not a backup")


def test_every_changed_byte_is_noticed(file: Path, empty: Urls) -> None:
    whole = file.read_bytes()
    for position in {*range(0, len(whole), 997), 3, 45, len(whole) - 1, len(whole) - 64, len(whole) - 65}:
        changed = bytearray(whole)
        changed[position] ^= 1
        file.write_bytes(changed)
        refused(empty, file, "is damaged|is not a backup")


@pytest.mark.parametrize(
    "content", [b"", b"customer,idempotency_key\n" * 100, b"PK\x03\x04" + b"\0" * 500, b"PGDMP" * 99]
)
def test_foreign_file_is_refused(empty: Urls, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "foreign").write_bytes(content)
    refused(empty, tmp_path / "foreign", "is not a backup that `billing backup` created")


@pytest.mark.parametrize("name", ["absent", "."])
def test_file_that_cannot_be_read_is_named(empty: Urls, tmp_path: Path, name: str) -> None:
    refused(empty, tmp_path / name, "can't be read: (No such file|Is a directory)")


def test_database_that_is_not_empty_is_refused(file: Path, urls: Urls, empty: Urls) -> None:
    refused(urls, file, r"^The database is not empty: it has the table alembic_version and \d+ more\.")
    with connect(empty.owner) as owner:
        owner.execute("CREATE SCHEMA other")
        owner.execute("CREATE TABLE other.notes ()")
    refused(empty, file, r"^The database is not empty: it has the table notes\.")


@pytest.mark.parametrize("revision", ["2020_01_01_earlier", "2027_01_01_later"])
def test_backup_of_another_schema_is_refused(
    shop: Shop, urls: Urls, empty: Urls, owner: psycopg.Connection, tmp_path: Path, revision: str
) -> None:
    owner.execute("UPDATE alembic_version SET version_num = %s", [revision])
    back_up(urls.owner, tmp_path / "a.backup")
    refused(empty, tmp_path / "a.backup", rf"with the schema {revision}, and this version has the schema")


def test_backup_of_a_later_format_is_refused(
    shop: Shop, urls: Urls, empty: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing_app.database.backup.archive.FORMAT", 2)
    back_up(urls.owner, tmp_path / "a.backup")
    monkeypatch.undo()
    refused(
        empty, tmp_path / "a.backup", r"can't read \(format 2\)\. Restore it with the version that created it"
    )


def test_dump_that_differs_from_its_manifest_is_refused(
    file: Path, shop: Shop, urls: Urls, empty: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(dumping, "count_rows", lambda connection: {"customer": 2})
        back_up(urls.owner, tmp_path / "rows")
    refused(
        empty, tmp_path / "rows", "differs from the manifest of the backup: alembic_version has 1 row, but"
    )
    with monkeypatch.context() as patch:
        patch.setattr(dumping, "read_chains", lambda connection: iter([b"1,acme,2,ff\n"]))
        back_up(urls.owner, tmp_path / "chains")
    refused(empty, tmp_path / "chains", "the last invoice of acme is a different one")


def test_role_without_permission_is_told(file: Path, server: cluster.Server, empty: Urls) -> None:
    with connect(server.url(make_url(empty.owner).database or "", server.superuser)) as superuser:
        superuser.execute(f"ALTER DATABASE {make_url(empty.owner).database} OWNER TO postgres")
    refused(empty, file, r"can't be restored: permission denied .*\. Nothing was changed\.")


def test_owner_is_refused_as_the_applications_role(file: Path, empty: Urls) -> None:
    refused(Urls(empty.owner, empty.owner), file, "would own the tables")
    absent = empty.application.replace(APPLICATION_ROLE, "absent")
    refused(Urls(absent, empty.owner), file, "The role 'absent' of DATABASE_URL does not exist")


def test_restore_during_a_migration_is_refused(file: Path, empty: Urls) -> None:
    with connect(empty.owner) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [locks.MIGRATING])
        refused(empty, file, "Another restore or a migration is running")


def test_failure_at_the_end_leaves_nothing(file: Path, empty: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "grant_application_role", fail)
        with pytest.raises(RuntimeError):
            restore_file(empty, file)
    assert rows_of(empty) == {}
    restore_file(empty, file)


def test_restore_that_is_killed_halfway_leaves_nothing_and_can_be_repeated(file: Path, empty: Urls) -> None:
    settings = {"DATABASE_URL": empty.application, "DATABASE_OWNER_URL": empty.owner}
    command = [sys.executable, "-m", "billing_app.cli", "restore", str(file)]
    with connect(empty.owner) as blocker, connect(empty.owner) as observer:
        with blocker.transaction(force_rollback=True):
            # The restore creates other tables before it waits for the end of this transaction.
            blocker.execute("CREATE TABLE verification ()")
            process = subprocess.Popen(command, env={**os.environ, **settings})
            wait_for_lock(observer, process)
            process.kill()
            process.wait()
        wait_until_alone(observer)
    assert rows_of(empty) == {}
    restore_file(empty, file)


def test_roles_may_have_other_names_than_in_the_backup(file: Path, server: cluster.Server) -> None:
    with empty_database(server) as urls, connect(server.url("postgres", server.superuser)) as superuser:
        name = make_url(urls.owner).database or ""
        superuser.execute("CREATE ROLE new_owner LOGIN")
        superuser.execute("CREATE ROLE new_app LOGIN")
        superuser.execute(sql.SQL("ALTER DATABASE {} OWNER TO new_owner").format(sql.Identifier(name)))
        renamed = Urls(
            urls.application.replace(APPLICATION_ROLE, "new_app"), urls.owner.replace(OWNER_ROLE, "new_owner")
        )
        restore_file(renamed, file)
        with connect(renamed.application) as application:
            assert application.execute("SELECT count(*) FROM invoice").fetchone() == (1,)
            for table in APPEND_ONLY:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    application.execute(f"DELETE FROM {table}")
            owners = application.execute(
                "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
            )
            assert owners.fetchall() == [("new_owner",)]
        with connect(urls.application) as other, pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute("SELECT FROM invoice")
        superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        superuser.execute("DROP ROLE new_owner, new_app")


def test_month_between_its_closing_and_its_invoice_is_named_and_no_discrepancy(
    shop: Shop, urls: Urls, empty: Urls, tmp_path: Path
) -> None:
    customer_id = shop.customer("acme", "2026-10")
    with shop.database.transaction(shop.actor) as session:
        close_period(session, shop.actor, period_start=OCTOBER, customer_ids=[customer_id])
    back_up(urls.owner, tmp_path / "a.backup")
    restore_file(empty, tmp_path / "a.backup")
    database = Database(empty.application, clock=shop.database.clock)
    report = verify(database, SYSTEM, awaiting_is_discrepancy=False)
    assert report.ok
    assert [(each.customer.key, each.period_start) for each in report.awaiting_invoice] == [("acme", OCTOBER)]
    assert Shop(database, shop.actor).invoice("acme", "2026-10").number == "ACME-0001"
    database.close()


def test_restore_is_in_the_audit_log(file: Path, empty: Urls) -> None:
    restore_file(empty, file)
    with connect(empty.owner) as owner:
        row = owner.execute(
            "SELECT actor_id, subject, details ->> 'backup_of' IS NOT NULL FROM audit_entry WHERE action = 'database.restored'"
        ).fetchone()
    assert row == ("system", "database", True)


def test_only_an_administrator_can_restore(file: Path, empty: Urls, billing: Actor) -> None:
    with open_archive(file) as archive, pytest.raises(Forbidden):
        restoring.restore(empty, archive, billing)
    assert rows_of(empty) == {}
