"""The refused rows of usage files, as pages and as a file to be mended and imported again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Row, Select, select
from sqlmodel import Session, col

from billing_app.domain.actor import Actor, Permission
from billing_app.models import UsageImportRefusal
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage_imports.imports import RefusedRow, get_import_number, row_of_import

CHUNK_ROWS = 2_000


def list_refusals(
    session: Session,
    actor: Actor,
    usage_import: str,
    *,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[RefusedRow]:
    """The first 100,000 rows that were refused, by their lines; those so far while it is under way.

    Raises NotFound (`import_not_found`).
    """
    require(actor, Permission.READ)
    import_id = row_of_import(session, get_import_number(usage_import)).import_id
    query = _refusals(import_id)
    if after := decode_cursor(cursor, int):
        query = query.where(col(UsageImportRefusal.line) > after[0])
    rows = [_row_of(found) for found in session.execute(query.limit(check_limit(limit) + 1))]
    return page_of(rows, limit, lambda row: (row.line,))


def read_refusals(session: Session, actor: Actor, usage_import: str) -> Iterator[list[RefusedRow]]:
    """All that `list_refusals` would list; at most a chunk is held at a time.

    The chunks must be read within the session's transaction. Raises NotFound (`import_not_found`)
    when called.
    """
    require(actor, Permission.READ)
    import_id = row_of_import(session, get_import_number(usage_import)).import_id

    # By a cursor of the database, so that they are of one moment.
    found = session.execute(_refusals(import_id), execution_options={"yield_per": CHUNK_ROWS})
    return ([_row_of(row) for row in chunk] for chunk in found.partitions())


def _refusals(import_id: int) -> Select[*tuple[Any, ...]]:
    return (
        select(
            col(UsageImportRefusal.line), col(UsageImportRefusal.cells), col(UsageImportRefusal.status),
            col(UsageImportRefusal.reason),
        )
        .where(col(UsageImportRefusal.import_id) == import_id)
        .order_by(col(UsageImportRefusal.line))
    )  # fmt: skip


def _row_of(row: Row[Any]) -> RefusedRow:
    cells = tuple(cell.decode("utf-8", "surrogateescape") for cell in row.cells)
    return RefusedRow(row.line, cells, row.status, Reason.from_json(row.reason))
