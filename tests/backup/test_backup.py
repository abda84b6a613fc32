"""Creating a backup file: who can read it, and what happens to a file that is there already."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import psycopg
import pytest

from billing_app.database.backup import dumping
from billing_app.database.backup.archive import open_archive
from billing_app.database.backup.dumping import back_up
from billing_app.database.backup.errors import BackupUnusable
from billing_app.database.backup.programs import connection_arguments, find_program
from billing_app.database.provision import Urls
from tests.billing.shop import Shop


def test_file_is_complete_and_private(shop: Shop, urls: Urls, tmp_path: Path) -> None:
    shop.customer("acme")
    file = tmp_path / "a.backup"
    manifest = back_up(urls.owner, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
    with open_archive(file) as archive:
        assert archive.manifest == manifest
        assert manifest.rows["customer"] == 1
        with archive.chains() as chains:
            assert chains.read() == b"1,acme,0,\n"
    # Without Tallybook, other programs still open it.
    with zipfile.ZipFile(file) as members:
        assert members.testzip() is None
        assert members.read("database.dump").startswith(b"PGDMP")


def test_existing_file_is_replaced_only_if_asked(urls: Urls, tmp_path: Path) -> None:
    file = tmp_path / "a.backup"
    file.write_text("precious")
    with pytest.raises(
        BackupUnusable, match=r"already exists\. Choose another name, or replace it with --overwrite"
    ):
        back_up(urls.owner, file)
    assert file.read_text() == "precious"
    back_up(urls.owner, file, overwrite=True)
    with open_archive(file):
        pass
    assert list(tmp_path.iterdir()) == [file]


def test_file_that_appears_in_the_meantime_is_kept(
    urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.backup"
    count = dumping.count_rows

    def interfere(connection: psycopg.Connection) -> dict[str, int]:
        file.write_text("precious")
        return count(connection)

    monkeypatch.setattr(dumping, "count_rows", interfere)
    with pytest.raises(BackupUnusable, match="was created by someone else in the meantime"):
        back_up(urls.owner, file)
    assert file.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("is_there", [True, False])
def test_failed_backup_leaves_the_directory_as_it_was(
    urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    file = tmp_path / "a.backup"
    if is_there:
        file.write_text("precious")
    monkeypatch.setattr(dumping, "_DUMP_OPTIONS", ("--format=custom", "--table=absent"))
    with pytest.raises(BackupUnusable, match=r"^pg_dump failed: no matching tables were found\.$"):
        back_up(urls.owner, file, overwrite=True)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["precious"] * is_there


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent/a.backup", "can't be written: No such file or directory"),
        (".", "is not an ordinary file"),
        ("file/a.backup", "can't be written: Not a directory"),
    ],
)
def test_impossible_file_is_named(urls: Urls, tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackupUnusable, match=reason):
        back_up(urls.owner, tmp_path / name)


def test_device_is_never_replaced(urls: Urls) -> None:
    with pytest.raises(BackupUnusable, match="is not an ordinary file"):
        back_up(urls.owner, Path("/dev/full"), overwrite=True)
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_role_that_cannot_read_everything_is_refused(
    urls: Urls, owner: psycopg.Connection, tmp_path: Path
) -> None:
    with pytest.raises(BackupUnusable, match=r"pg_dump failed: .* user may lack SELECT privilege"):
        back_up(urls.application, tmp_path / "a.backup")
    owner.execute("REVOKE SELECT ON api_token FROM PUBLIC, tallybook_app")
    with pytest.raises(
        BackupUnusable, match="role 'tallybook_app' can't read the whole database: permission denied"
    ):
        back_up(urls.application, tmp_path / "a.backup")
    assert list(tmp_path.iterdir()) == []


def test_empty_database_is_not_backed_up(empty: Urls, tmp_path: Path) -> None:
    with pytest.raises(BackupUnusable, match="nothing to back up"):
        back_up(empty.owner, tmp_path / "a.backup")


def test_locked_table_is_not_waited_for_long(
    urls: Urls, owner: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        dumping, "_SESSION_OPTIONS", dumping._SESSION_OPTIONS.replace("lock_timeout=10s", "lock_timeout=50ms")
    )
    with owner.transaction():
        owner.execute("LOCK TABLE payment")
        with pytest.raises(BackupUnusable, match="A table was locked for more than 10 seconds"):
            back_up(urls.owner, tmp_path / "a.backup")
    assert list(tmp_path.iterdir()) == []


def test_password_is_not_an_argument() -> None:
    arguments, environment = connection_arguments(
        "postgresql+psycopg://ada:s3cret@db:5433/books?sslmode=require"
    )
    assert arguments == ["--dbname=user=ada dbname=books host=db port=5433 sslmode=require"]
    assert environment["PGPASSWORD"] == "s3cret"


def test_program_of_the_servers_version_is_preferred_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    monkeypatch.setenv("PATH", str(tmp_path))
    for version, is_used in ((17, False), (18, True), (19, True)):
        program.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}.1 (Debian)'\n")
        program.chmod(0o755)
        assert (find_program("pg_dump", 18) == program) is is_used
    program.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 17.1'\n")
    with pytest.raises(
        BackupUnusable, match="this PostgreSQL 19 server needs pg_dump 19 or later on the PATH"
    ):
        find_program("pg_dump", 19)
    with pytest.raises(BackupUnusable, match="PostgreSQL 18 server over TLS needs pg_dump 18 or later"):
        find_program("pg_dump", 18, is_encrypted=True)
