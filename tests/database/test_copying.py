"""Rows written as text by COPY are read back unchanged."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import psycopg

from billing_app.database.copying import copy_rows

ROWS: list[tuple[object, ...]] = [
    (1, None, Decimal("0.000000000001"), date(2026, 10, 1), datetime(2026, 10, 1, 1, 2, 3, 4, tzinfo=UTC)),
    (2, "", Decimal("-1E+20"), None, None),
    (3, "tab\tline\nreturn\rback\\slash", Decimal("1530.500000"), None, None),
    (4, r"\N", None, None, None),
    (5, r"\.", None, None, None),
    (6, "é € 🧾 'quoted' \"twice\" \v\f\b", None, None, None),
]


def test_rows_are_stored_as_given(owner: psycopg.Connection) -> None:
    owner.execute(
        "CREATE TEMPORARY TABLE copied (n int, words text, number numeric, day date, at timestamptz)"
    )
    with owner.cursor() as db:
        copy_rows(db, "COPY copied FROM STDIN", iter(ROWS * 200))
    assert owner.execute("SELECT DISTINCT * FROM copied ORDER BY n").fetchall() == ROWS
    assert owner.execute("SELECT count(*) FROM copied").fetchone() == (200 * len(ROWS),)


def test_no_rows(owner: psycopg.Connection) -> None:
    owner.execute("CREATE TEMPORARY TABLE copied (n int)")
    with owner.cursor() as db:
        copy_rows(db, "COPY copied FROM STDIN", iter(()))
    assert owner.execute("SELECT count(*) FROM copied").fetchone() == (0,)
