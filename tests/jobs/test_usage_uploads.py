"""Uploading usage files, and files that can't be imported."""

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
from billing_app.services.usage_imports.imports import start_import
from tests.billing.shop import Shop
from tests.jobs.files import HEADER, Files, counts, event_count, good_rows, part_count
from tests.refusals import refused


@pytest.fixture
def files(database: Database, admin: Actor) -> Files:
    return Files(database, admin)


PACKED = gzip.compress((HEADER + good_rows(60_000)).encode(), mtime=0)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "no_header"),
        (b"customer,quantity\nacme,1\n", "missing_columns"),
        (HEADER.encode().strip() + b",more\n", "unknown_columns"),
        (PACKED[: len(PACKED) // 2], "damaged"),
        (PACKED[:-8] + b"12345678", "damaged"),
        (PACKED + b"trailing garbage", "damaged"),
    ],
    ids=["empty", "header", "more columns", "half", "damaged", "trailing garbage"],
)
def test_unusable_file_fails_its_check_and_cannot_be_started(
    files: Files, owner: psycopg.Connection, content: bytes, rule: str
) -> None:
    failed = files.check(content)
    assert failed.status == "failed"
    assert failed.fault
    assert failed.fault.rule == rule
    with refused("import_not_checked"):
        files.database.call(files.actor, start_import, failed.public_id)
    assert (event_count(owner), part_count(owner)) == (0, 0)


def test_row_of_two_megabytes_is_rejected_and_the_others_are_not(
    files: Files, database: Database, admin: Actor
) -> None:
    Shop(database, admin).customer("acme", "2026-10")
    checked = files.check(HEADER + good_rows(1) + "a" * 2_000_000 + "\n" + good_rows(1, 1))
    assert counts(checked) == ("checked", 3, 2, 0, 0, 1)
    assert files.rejected_lines(checked) == [3]


def test_file_is_stored_in_parts_of_a_megabyte(
    files: Files, database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    content = (HEADER + good_rows(60_000)).encode()
    pieces = [content[start : start + 7_777] for start in range(0, len(content), 7_777)]
    uploaded = receive_file(database, admin, "usage.csv", pieces)
    sizes = owner.execute("SELECT octet_length(content) FROM usage_import_part ORDER BY part_number")
    assert [size for (size,) in sizes] == [PART_BYTES_MAX, len(content) - PART_BYTES_MAX]
    whole = owner.execute("SELECT string_agg(content, '' ORDER BY part_number) FROM usage_import_part")
    assert whole.fetchone() == (content,)
    assert uploaded.size_bytes == len(content)


def test_interrupted_upload_leaves_nothing(
    database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    def pieces() -> Iterator[bytes]:
        yield bytes(3 * PART_BYTES_MAX)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        receive_file(database, admin, "usage.csv", pieces())
    found = owner.execute("SELECT (SELECT count(*) FROM usage_import), (SELECT count(*) FROM audit_entry"
                          " WHERE action LIKE 'usage_import%')").fetchone()  # fmt: skip
    assert (found, part_count(owner)) == ((0, 0), 0)


def test_file_that_is_too_large_is_refused(
    files: Files, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_import_files, "FILE_BYTES_MAX", 100)
    with refused("invalid", field="file"):
        files.upload(bytes(101))
    assert part_count(owner) == 0


def test_number_of_concurrent_uploads_is_limited(files: Files, database: Database, admin: Actor) -> None:
    def pieces() -> Iterator[bytes]:
        with refused("uploads_under_way"):
            files.upload(HEADER)
        yield HEADER.encode()

    def nested(depth: int) -> Iterator[bytes]:
        if depth > 1:
            receive_file(database, admin, "usage.csv", nested(depth - 1))
            yield HEADER.encode()
        else:
            yield from pieces()

    receive_file(database, admin, "usage.csv", nested(usage_imports.CONCURRENT_UPLOADS_MAX))
    assert files.upload(HEADER).status == "checking"
