"""Making a backup: a dump and a manifest from the same snapshot, while the database is in use."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import IsolationLevel, errors

from billing_app.database.backup.archive import ArchiveWriter, Manifest, write_archive
from billing_app.database.backup.contents import count_rows, read_chains
from billing_app.database.backup.errors import BackupUnusable
from billing_app.database.backup.new_file import new_file
from billing_app.database.backup.programs import connection_arguments, find_program, run
from billing_app.database.urls import plain_url

# Don't wait behind a migration that is itself waiting for a lock.
LOCK_SECONDS_MAX = 10
_CHUNK_BYTES = 1 << 20
# The snapshot exists as long as its transaction, which is idle while pg_dump works.
_SESSION_OPTIONS = (
    "-c search_path=public,pg_temp -c timezone=UTC -c idle_in_transaction_session_timeout=0"
    f" -c statement_timeout=0 -c transaction_timeout=0 -c lock_timeout={LOCK_SECONDS_MAX}s"
    " -c application_name=tallybook-backup"
)
# Owners and privileges are those of the database that the backup is restored into. Other extensions
# are not ours, and only their owner may set comments on them.
_DUMP_OPTIONS = (
    "--format=custom",
    "--compress=gzip:1",
    "--no-owner",
    "--no-privileges",
    "--no-comments",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
    "--extension=pg_trgm",
    "--no-password",
    f"--lock-wait-timeout={LOCK_SECONDS_MAX * 1000}",
)
# The transaction's time is that of its BEGIN, so it precedes the snapshot, which the first query takes.
# Everything that was acknowledged before it is therefore in the snapshot.
_SNAPSHOT = "SELECT now(), pg_export_snapshot(), version_num FROM alembic_version"

OnProgress = Callable[[int], None]


def back_up(
    owner_url: str, path: Path, *, overwrite: bool = False, on_progress: OnProgress = lambda size: None
) -> Manifest:
    """Write a backup of the database to a file. `on_progress` gets the size of the dump so far.

    Raises:
        BackupUnusable: It could not be created; no file is left.
    """
    with (
        new_file(path, overwrite=overwrite) as file,
        psycopg.connect(plain_url(owner_url), options=_SESSION_OPTIONS) as connection,
    ):
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        try:
            with write_archive(file) as archive:
                return _write(archive, connection, owner_url, on_progress)
        except errors.UndefinedTable as error:
            raise BackupUnusable(
                "The database has no Tallybook data, so there is nothing to back up."
            ) from error
        except errors.InsufficientPrivilege as error:
            raise BackupUnusable(
                f"The role {connection.info.user!r} can't read the whole database: {error.diag.message_primary}. "
                "Set DATABASE_OWNER_URL to the role that owns its tables. No backup was created."
            ) from error
        except errors.LockNotAvailable as error:
            raise BackupUnusable(
                f"A table was locked for more than {LOCK_SECONDS_MAX} seconds, by a migration for instance. "
                "Try again when that has finished. No backup was created."
            ) from error


def _write(
    archive: ArchiveWriter, connection: psycopg.Connection[Any], owner_url: str, on_progress: OnProgress
) -> Manifest:
    server = connection.info.server_version // 10_000
    program = find_program("pg_dump", server, is_encrypted=bool(connection.pgconn.ssl_in_use))
    taken_at, snapshot, revision = connection.execute(_SNAPSHOT).fetchall()[0]
    with archive.chains() as member:
        for line in read_chains(connection):
            member.write(line)
    manifest = Manifest(
        taken_at=taken_at,
        schema=revision,
        tallybook=_own_version(),
        postgresql=server,
        rows=count_rows(connection),
    )
    with archive.dump() as member:
        size = 0
        connect, environment = connection_arguments(owner_url)
        with run([str(program), *_DUMP_OPTIONS, f"--snapshot={snapshot}", *connect], environment) as output:
            while chunk := output.read(_CHUNK_BYTES):
                member.write(chunk)
                size += len(chunk)
                on_progress(size)
    archive.manifest(manifest)
    return manifest


def _own_version() -> str:
    try:
        return importlib.metadata.version("tallybook")
    except importlib.metadata.PackageNotFoundError:  # Run from its source without being installed.
        return "unknown"
