"""Files of usage on their way into the database, and those that turn out to be none."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.jobs import usage_imports
from billing_app.jobs.usage_imports import receive_file
from billing_app.models.imports import PART_BYTES_MAX
from billing_app.services.usage_imports import files as usage_import_files
from tests.jobs.files import HEADER, Files, events, good_rows, parts
from tests.refusals import refused


@pytest.fixture
def files(database: Database, admin: Actor) -> Files:
    return Files(database, admin)


PACKED = gzip.compress((HEADER + good_rows(60_000)).encode())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "file: is empty"),
        (b"customer,quantity\nacme,1\n", "file: must have exactly the columns"),
        (HEADER.encode().strip() + b",more\n", "file: must have exactly the columns"),
        (PACKED[: len(PACKED) // 2], "file: can't be read beyond line"),
        (PACKED[:-8] + b"12345678", "file: can't be read beyond line"),
        (HEADER.encode() + b"a" * 1_000_001, "file: must have at most 1,000,000 characters in a row"),
        (HEADER.encode() + b'"a\n",' * 300_000, "file: must have at most 1,000,000 characters in a row"),
    ],
    ids=["empty", "header", "more columns", "half", "damaged", "no end", "one row"],
)
def test_a_file_that_can_not_be_read(
    files: Files, owner: psycopg.Connection, content: bytes, reason: str
) -> None:
    failed = files.checked(content)
    assert failed.status == "failed"
    assert failed.fault
    assert failed.fault.startswith(reason)
    assert (events(owner), parts(owner)) == (0, 0)


def test_a_file_is_kept_in_parts_of_a_megabyte(
    files: Files, database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    content = (HEADER + good_rows(60_000)).encode()
    pieces = [content[start : start + 7_777] for start in range(0, len(content), 7_777)]
    sent = receive_file(database, admin, "usage.csv", pieces)
    sizes = owner.execute("SELECT octet_length(content) FROM usage_import_part ORDER BY part_number")
    assert [size for (size,) in sizes] == [PART_BYTES_MAX, len(content) - PART_BYTES_MAX]
    whole = owner.execute("SELECT string_agg(content, '' ORDER BY part_number) FROM usage_import_part")
    assert whole.fetchone() == (content,)
    assert sent.size_bytes == len(content)


def test_a_file_that_breaks_off_leaves_nothing(
    database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    def pieces() -> Iterator[bytes]:
        yield bytes(3 * PART_BYTES_MAX)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        receive_file(database, admin, "usage.csv", pieces())
    found = owner.execute("SELECT (SELECT count(*) FROM usage_import), (SELECT count(*) FROM audit_entry"
                          " WHERE action LIKE 'usage_import%')").fetchone()  # fmt: skip
    assert (found, parts(owner)) == ((0, 0), 0)


def test_a_file_that_is_too_large(
    files: Files, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_import_files, "FILE_BYTES_MAX", 100)
    with refused("invalid", field="file"):
        files.send(bytes(101))
    assert parts(owner) == 0


def test_only_some_come_in_at_once(files: Files, database: Database, admin: Actor) -> None:
    def pieces() -> Iterator[bytes]:
        with refused("uploads_under_way"):
            files.send(HEADER)
        yield HEADER.encode()

    def nested(depth: int) -> Iterator[bytes]:
        if depth > 1:
            receive_file(database, admin, "usage.csv", nested(depth - 1))
            yield HEADER.encode()
        else:
            yield from pieces()

    receive_file(database, admin, "usage.csv", nested(usage_imports.RECEIVED_AT_ONCE_MAX))
    assert files.send(HEADER).status == "checking"
