"""Loading a dump into an empty database within a transaction of the caller."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any

import psycopg
from sqlalchemy import Connection, text

from billing_app.database.backup.archive import Archive
from billing_app.database.backup.contents import find_differences
from billing_app.database.backup.errors import BackupUnusable
from billing_app.database.backup.programs import find_program, run

_CHUNK_BYTES = 1 << 20
_DIFFERENCES_SHOWN = 5
# Lines for psql, the program that usually reads these scripts.
_FOR_PSQL = (b"\\restrict ", b"\\unrestrict ")

_TABLES = text("""
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
      AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    ORDER BY c.relname
""")


def refuse_occupied_database(connection: Connection) -> None:
    """Refuse a database that has tables or views, except those of extensions.

    Raises:
        BackupUnusable: It has some.
    """
    names = list(connection.scalars(_TABLES))
    if names:
        raise BackupUnusable(
            f"The database is not empty: it has the table {names[0]}"
            f"{f' and {len(names) - 1:,} more' if names[1:] else ''}. Nothing was changed. Restore into a new "
            "database: create one, or set BILLING_DATA_DIR to a new directory if the database is embedded."
        )


def load(connection: Connection, archive: Archive) -> None:
    """Load a backup's dump into an empty database, and compare the result with the manifest.

    Everything happens in the connection's transaction, so that nothing is left of a failed attempt.

    Raises:
        BackupUnusable: PostgreSQL refused something, or the database differs from the manifest.
    """
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    major = max(driver.info.server_version // 10_000, archive.manifest.postgresql)
    try:
        archive.file.seek(archive.dump_offset())
        # The program inherits the file at this position, and finds the end of the dump by itself.
        os.lseek(archive.file.fileno(), archive.file.tell(), os.SEEK_SET)
        command = [str(find_program("pg_restore", major)), "--file=-", "--no-owner", "--no-privileges"]
        with run(command, stdin=archive.file) as script:
            _execute_script(driver, script)
        # The script sets a search path and more for its session.
        driver.execute("RESET ALL")
        _compare(driver, archive)
    except psycopg.Error as error:
        if not error.sqlstate:
            raise
        reason = (error.diag.message_primary or str(error)).rstrip(".")
        raise BackupUnusable(f"The backup can't be restored: {reason}. Nothing was changed.") from error


def _execute_script(driver: psycopg.Connection[Any], script: IO[bytes]) -> None:
    """Execute the statements of a script, among which are COPY blocks with the rows of tables."""
    statements: list[bytes] = []
    with driver.cursor() as cursor:
        for line in script:
            if line.startswith(_FOR_PSQL):
                continue
            statements.append(line)
            if line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n"):
                copy_statement = statements.pop()
                cursor.execute(b"".join(statements))
                statements.clear()
                with cursor.copy(copy_statement) as copy:
                    for chunk in _rows(script):
                        copy.write(chunk)
        cursor.execute(b"".join(statements))


def _rows(script: IO[bytes]) -> Iterator[bytes]:
    """Yield the rows of a COPY block in chunks, up to the line that ends it."""
    chunk, size = [], 0
    for line in script:
        if line == b"\\.\n":
            break
        chunk.append(line)
        size += len(line)
        if size > _CHUNK_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
    yield b"".join(chunk)


def _compare(driver: psycopg.Connection[Any], archive: Archive) -> None:
    with archive.chains() as chains:
        differences = list(find_differences(driver, archive.manifest.rows, chains))
    if differences:
        shown = "; ".join(differences[:_DIFFERENCES_SHOWN])
        raise BackupUnusable(
            f"The restored database differs from the manifest of the backup: {shown}. Nothing was changed. "
            "Use another backup."
        )
