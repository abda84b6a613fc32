"""Importing a file over two connections."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import Actor
from billing_app.jobs import usage_csv
from billing_app.jobs.file_import import import_usage, open_checked_file
from billing_app.services.usage_imports.rows import RejectedRow
from tests.factories import make_customer

KEYS = 150
TIME = "2026-11-10T00:00:00Z"


@pytest.fixture
def file_of_repeated_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file of small batches, in which each key is followed by itself with another quantity."""
    monkeypatch.setattr(usage_csv, "BATCH_MAX", 10)
    rows = [f"acme,key-{number},{quantity},{TIME}" for number in range(KEYS) for quantity in (1, 2)]
    path = tmp_path / "usage.csv"
    path.write_text("\n".join(["customer,idempotency_key,quantity,occurred_at", *rows]))
    return path


def test_first_row_with_a_key_is_recorded_and_rows_keep_their_order(
    database: Database, admin: Actor, owner: psycopg.Connection, file_of_repeated_keys: Path
) -> None:
    make_customer(database, key="acme")
    rejected: list[RejectedRow] = []
    progress: list[int] = []
    with open_checked_file(file_of_repeated_keys) as file:
        summary = import_usage(
            database,
            admin,
            file,
            on_rejected=rejected.append,
            on_progress=lambda summary: progress.append(summary.rows),
        )
    assert (summary.rows, summary.recorded, summary.conflicts) == (2 * KEYS, KEYS, KEYS)
    assert owner.execute("SELECT DISTINCT quantity FROM usage_event").fetchall() == [(1,)]
    assert [row.line for row in rejected] == [3 + 2 * number for number in range(KEYS)]
    assert progress == list(range(10, 2 * KEYS + 1, 10))
    entries = owner.execute("SELECT count(*) FROM audit_entry WHERE action = 'usage.file_imported'")
    assert entries.fetchone() == (1,)
