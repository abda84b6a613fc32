"""The content of a database for the manifest: rows by table, and the end of each customer's invoice chain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

import psycopg
from psycopg import sql

# A customer without invoices has number 0 and no hash.
_CHAINS = """
    COPY (
        SELECT c.customer_id, c.key, b.last_number, b.last_sha256
        FROM public.customer c JOIN public.customer_billing b USING (customer_id)
        ORDER BY c.customer_id
    ) TO STDOUT (FORMAT csv)
"""
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"


def count_rows(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Return the number of rows of every table."""
    tables = [name for (name,) in connection.execute(_TABLES)]
    return {table: _count(connection, table) for table in tables}


def _count(connection: psycopg.Connection[Any], table: str) -> int:
    query = sql.SQL("SELECT count(*) FROM public.{}").format(sql.Identifier(table))
    row = connection.execute(query).fetchone()
    assert row
    return int(row[0])


def read_chains(connection: psycopg.Connection[Any]) -> Iterator[bytes]:
    """Yield a line for each customer: its ID, key, last invoice number and that invoice's hash."""
    with connection.cursor() as cursor, cursor.copy(_CHAINS) as copy:
        for row in copy:
            yield bytes(row)


def find_differences(
    connection: psycopg.Connection[Any], rows: dict[str, int], chains: Iterable[bytes]
) -> Iterator[str]:
    """Yield a sentence for each difference between a database and a manifest; of chains, the first only."""
    found = count_rows(connection)
    for table in sorted(found.keys() | rows.keys()):
        if found.get(table) != rows.get(table):
            yield f"{table} has {_counted(found.get(table))}, but should have {_counted(rows.get(table))}"
    for ours, theirs in zip_longest(read_chains(connection), chains, fillvalue=b""):
        if ours.strip() != theirs.strip():
            key = (theirs or ours).decode().split(",")[1]
            yield f"the last invoice of {key} is a different one"
            return


def _counted(rows: int | None) -> str:
    return "no such table" if rows is None else "1 row" if rows == 1 else f"{rows:,} rows"
