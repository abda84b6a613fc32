"""Counting the rows that a statement wrote."""

from __future__ import annotations

from typing import Any

from psycopg import Cursor


def count_returned(db: Cursor[Any]) -> int:
    """Return the number of rows of the statement's RETURNING.

    Unlike `rowcount`, it is right for an INSERT with ON CONFLICT into a table that Citus has distributed.
    """
    return db.pgresult.ntuples if db.pgresult else 0
